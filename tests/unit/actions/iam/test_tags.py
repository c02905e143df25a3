"""Tags of all taggable entities."""

import pytest

from broker.errors import InvalidInput
from tests.support.iam import Iam


def pairs(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


async def test_the_prefix_of_system_tags_is_reserved(iam: Iam) -> None:
    for key in ("aws:x", "AWS:x"):
        with pytest.raises(InvalidInput, match="reserved"):
            await iam("CreateUser", UserName="V", Tags=pairs(**{key: "1"}))
