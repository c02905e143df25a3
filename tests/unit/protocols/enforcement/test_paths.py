import json
from pathlib import Path

import pytest

from broker.protocols.enforcement import RequestAmbiguous, resource_path
from broker.protocols.enforcement.paths import PATH_BYTES_MAX
from tests.support.rows import rows

CASES = json.loads((Path(__file__).parent / "paths.json").read_text("utf-8"))


@pytest.mark.parametrize(("raw", "path"), CASES["accepted"].items())
def test_a_path_is_decoded_once(raw: str, path: str) -> None:
    assert resource_path(raw.encode("latin-1")) == path


@rows(("raw", "why"), CASES["refused"].items())
def test_what_can_be_read_in_two_ways_is_refused(raw: str, why: str) -> None:
    with pytest.raises(RequestAmbiguous, match=why):
        resource_path(raw.encode("latin-1"))


def test_a_path_is_bounded() -> None:
    assert resource_path(b"/" + b"a" * (PATH_BYTES_MAX - 1))
    with pytest.raises(RequestAmbiguous, match="longer"):
        resource_path(b"/" + b"a" * PATH_BYTES_MAX)
