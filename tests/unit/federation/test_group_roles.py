"""Groups as roles: an offer from the operator's table, within the provider's account."""

import pytest

from broker.federation.group_roles import GroupRoles
from broker.model.account import AccountId

ACCOUNT = AccountId("111122223333")
OURS = "arn:aws:iam::111122223333:role/Reader"
ADMIN = "arn:aws:iam::111122223333:role/team/Admin"
THEIRS = "arn:aws:iam::444455556666:role/Reader"


def test_only_named_groups_and_the_own_account_count() -> None:
    table = GroupRoles.parse({"GroupRoles": {"a": [OURS, THEIRS], "b": [OURS, ADMIN]}})
    assert table is not None
    assert table.attribute == "groups"
    assert table.roles_of(["a", "b", "c"], ACCOUNT) == (OURS, ADMIN)
    assert table.roles_of(["A", "a "], ACCOUNT) == ()
    assert GroupRoles.parse({}) is None


@pytest.mark.parametrize(
    "options",
    [
        {"GroupRoles": [OURS]},
        {"GroupRoles": {"a": 1}},
        {"GroupRoles": {"a": ["Reader"]}},
        {"GroupRoles": {"a": ["arn:aws:iam::111122223333:user/u"]}},
        {"GroupRoles": {}, "GroupAttribute": ""},
    ],
)
def test_a_table_of_another_form_is_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Group"):
        GroupRoles.parse(options)
