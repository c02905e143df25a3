"""Groups, memberships and the password policy in templates."""

from typing import Any

import pytest
import yaml

from broker.kinds.yaml_text import TemplateError
from broker.stores.directory import kinds
from broker.template.apply import Change, apply_template
from broker.template.section import TemplateContext
from tests.support.exported import exported_text
from tests.support.iam import ACCOUNT, Iam, policy
from tests.support.rows import cases

SURROUNDINGS = TemplateContext(is_internal=lambda *_: False)
READ_ONLY = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
READERS = {
    "GroupName": "Readers",
    "Path": "/team/",
    "ManagedPolicyArns": [READ_ONLY],
    "Policies": [{"PolicyName": "Own", "PolicyDocument": yaml.safe_load(policy())}],
}
ANN = {"UserName": "ann", "Groups": ["Readers"]}


async def apply(iam: Iam, *, prune: bool = False, **sections: Any) -> list[Change]:
    return await apply_template(
        yaml.safe_dump({"Accounts": {ACCOUNT: sections}}),
        directory=iam.directory,
        context=SURROUNDINGS,
        operator="ops",
        now=iam.now,
        prune=prune,
    )


async def exported(iam: Iam) -> Any:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    text = await exported_text(iam.directory, account)
    return yaml.safe_load(text)["Accounts"][ACCOUNT]


async def test_groups_and_their_members_are_made_exported_and_stay(iam: Iam) -> None:
    changes = await apply(iam, Users=[ANN], Groups=[READERS])
    assert [f"{change.kind} {change.entity}" for change in changes] == [
        "+ group Readers",
        "+ user ann",
    ]
    view = await exported(iam)
    assert view["Groups"] == [READERS]
    assert view["Users"] == [{"UserName": "ann", "Path": "/", "Groups": ["Readers"]}]
    assert await apply(iam, **view) == []


async def test_memberships_are_taken_away_only_when_pruned(iam: Iam) -> None:
    await apply(iam, Users=[ANN], Groups=[READERS])
    (kept,) = await apply(iam, Users=[{"UserName": "ann"}])
    assert kept.entity == "membership in Readers of user ann"
    assert (await iam("ListGroupsForUser", UserName="ann"))["Groups"]
    await apply(iam, prune=True, Users=[{"UserName": "ann"}])
    assert not (await iam("ListGroupsForUser", UserName="ann"))["Groups"]


async def test_pruned_users_and_groups_go_with_all_they_have(iam: Iam) -> None:
    await apply(iam, Users=[ANN], Groups=[READERS])
    await iam("CreateLoginProfile", UserName="ann", Password="Correct-Horse-7")
    await apply(iam, prune=True, Users=[], Groups=[])
    assert not (await iam("ListUsers"))["Users"]
    assert not (await iam("ListGroups"))["Groups"]


async def test_a_password_policy_is_applied_completed_and_exported(iam: Iam) -> None:
    (change,) = await apply(iam, PasswordPolicy={"MinimumPasswordLength": 14})
    assert change.details == ("PasswordPolicy: changed",)
    password_policy = (await iam("GetAccountPasswordPolicy"))["PasswordPolicy"]
    assert password_policy["MinimumPasswordLength"] == 14
    view = await exported(iam)
    assert await apply(iam, **view) == []
    assert await apply(iam) == []
    assert await iam("GetAccountPasswordPolicy")


@cases("sections, place")
async def test_what_cannot_be_is_refused_with_its_place(
    iam: Iam, sections: dict[str, Any], place: str
) -> None:
    with pytest.raises(TemplateError, match=place):
        await apply(iam, **sections)
