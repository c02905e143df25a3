"""Groups as roles: an offer from the operator's table, within the provider's account."""

from broker.model.account import AccountId
from broker.proofs.provider_options import ProviderOptions

ACCOUNT = AccountId("111122223333")
OURS = "arn:aws:iam::111122223333:role/Reader"
ADMIN = "arn:aws:iam::111122223333:role/team/Admin"
THEIRS = "arn:aws:iam::444455556666:role/Reader"


def test_only_named_groups_and_the_own_account_count() -> None:
    roles = {"a": [OURS, THEIRS], "b": [OURS, ADMIN]}
    table = ProviderOptions.parse({"GroupRoles": roles}).group_roles
    assert table is not None
    assert table.attribute == "groups"
    assert table.roles_of(["a", "b", "c"], ACCOUNT) == (OURS, ADMIN)
    assert table.roles_of(["A", "a "], ACCOUNT) == ()
    assert ProviderOptions.parse({}).group_roles is None
