from typing import Any

import pytest

from broker.actions.sts.session_policies import read_session_policies
from broker.errors import ValidationError
from broker.model.account import AccountId
from tests.support.broker import ACCOUNT

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
NOWHERE: Any = None


async def test_a_policy_without_its_arn_is_refused() -> None:
    """A misspelt member must not make a session that is not narrowed at all."""
    with pytest.raises(ValidationError) as caught:
        await read_session_policies(
            {"PolicyArns": [{"arn": READ_ONLY}, {}]}, AccountId(ACCOUNT), NOWHERE
        )
    assert caught.value.message == (
        "1 validation error detected: Value null at 'policyArns.2.member.arn' failed to"
        " satisfy constraint: Member must not be null"
    )
