import pytest

from broker.model.account import (
    AccountId,
    find_account_of_key_id,
    format_access_key_id,
    parse_account_id,
)
from tests.support.rows import rows


@rows("key_id, account")
def test_published_key_ids_carry_their_account(key_id: str, account: str) -> None:
    assert find_account_of_key_id(key_id) == account


@pytest.mark.parametrize(
    "key_id", ["AKIAIOSFODNN7EXAMPLE", "", "AKIA", "AKIA" + "!" * 16, "ASIA" + "7" * 16]
)
def test_ids_of_another_format_carry_none(key_id: str) -> None:
    assert find_account_of_key_id(key_id) is None


def test_formatting_is_the_inverse() -> None:
    account = AccountId("123456789012")
    assert format_access_key_id("ASIA", account, 0x00010203) == "ASIARZPUZDIKAAAACAQD"
    for bits in (0, (1 << 39) - 1, 0x5A5A5A5A5A):
        key_id = format_access_key_id("AKIA", account, bits)
        assert find_account_of_key_id(key_id) == account


@pytest.mark.parametrize("text", ["1", "12345678901", "1234567890123", "12345678901a"])
def test_an_account_id_is_twelve_digits(text: str) -> None:
    with pytest.raises(ValueError, match="12-digit"):
        parse_account_id(text)
