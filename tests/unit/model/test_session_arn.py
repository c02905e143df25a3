"""ARNs of sessions: made of what the list keeps, and read back."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from broker.model.account import AccountId, format_access_key_id
from broker.model.lineage import as_text
from broker.model.session_arn import (
    find_key_of_arn,
    session_arn,
    session_arn_by_key,
)
from tests.support.rows import rows

ACCOUNT = AccountId("111122223333")
REGION = "eu-west-3"
ACCOUNTS = st.integers(0, 10**12 - 1).map(lambda number: AccountId(f"{number:012d}"))


@given(
    ACCOUNTS, ACCOUNTS, st.integers(0, 2**39 - 1), st.binary(min_size=16, max_size=16)
)
def test_a_session_is_found_by_its_arn(
    account: AccountId, of_key: AccountId, bits: int, mint: bytes
) -> None:
    """An upstream's key id may be of another account than the session."""
    key = format_access_key_id("ASIA", of_key, bits)
    arn = session_arn(REGION, account, key, as_text(mint))
    assert find_key_of_arn(arn) == (account, key)
    head, _, name = arn.rpartition("/")
    assert head == f"arn:aws:signin:{REGION}:{account}:session"
    number = uuid.UUID(name)
    assert (number.version, number.variant) == (8, uuid.RFC_4122)


def test_sessions_with_one_access_key_id_have_two_arns() -> None:
    key = format_access_key_id("ASIA", ACCOUNT, 7)
    arns = {
        session_arn(REGION, ACCOUNT, key, as_text(bytes([n] * 16))) for n in range(9)
    }
    assert len(arns) == 9


@rows("key")
def test_an_upstreams_key_id_of_another_form_stands_as_it_is(key: str) -> None:
    arn = session_arn(REGION, ACCOUNT, key, "")
    assert arn == session_arn_by_key(REGION, ACCOUNT, key)
    assert find_key_of_arn(arn) == (ACCOUNT, key)


@rows("arn")
def test_what_names_no_session(arn: str) -> None:
    assert find_key_of_arn(arn) is None
