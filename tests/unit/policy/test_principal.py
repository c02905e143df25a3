"""The account that a principal of a document is of."""

import pytest

from broker.policy.principal import find_account


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("111122223333", "111122223333"),
        ("arn:aws:iam::111122223333:root", "111122223333"),
        ("arn:aws-us-gov:iam::111122223333:root", "111122223333"),
        ("arn:aws:iam::111122223333", None),
        ("111122223333:root", None),
        ("11112222333", None),
        ("1111222233334", None),
        ("arn:aws:sts::111122223333:root", None),
        ("111122223333\n", None),
    ],
)
def test_an_account_has_two_forms(text: str, account: str | None) -> None:
    assert find_account(text) == account
