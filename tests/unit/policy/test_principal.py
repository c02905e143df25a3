"""The account that a principal of a document is of."""

from broker.policy.principal import find_account
from tests.support.rows import rows


@rows("text, account")
def test_an_account_has_two_forms(text: str, account: str | None) -> None:
    assert find_account(text) == account
