"""Writes that break an account's invariants are refused, whatever made them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import AccessDenied
from broker.kinds.accounts import require_account
from broker.kinds.control_policies import (
    ControlKind,
    ControlPolicy,
    check_control_policies,
    option_value,
)
from broker.model.entities import InlinePolicy
from broker.permit.invariants import find_broken
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.policies import put_inline_policy
from tests.support.iam import ACCOUNT, Iam, policy, trust

BACKUPS = "arn:aws:s3:::backups/*"
ROOT = f"arn:aws:iam::{ACCOUNT}"
SRE = f"{ROOT}:role/sre"
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": BACKUPS}
ALL_OF_S3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
NO_READING = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": BACKUPS}
OTHERS = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::logs/*"}
ONLY_SRE = {
    **NO_READING,
    "Condition": {"ArnNotEquals": {"aws:PrincipalArn": SRE}},
}
REQUEST = "s3:GetObject on arn:aws:s3:::backups/"


async def state(
    iam: Iam, *statements: Mapping[str, object], controls: list[str] | None = None
) -> None:
    """Give the account one invariant of these statements, and control policies."""
    stated = [ControlPolicy("backups", policy(*statements))] if statements else []
    check_control_policies(ControlKind.INVARIANT, stated)
    async with iam.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        options = dict(account.options)
        options["Invariants"] = option_value(stated)
        if controls is not None:
            listed = [ControlPolicy(f"c{n}", text) for n, text in enumerate(controls)]
            options["ServiceControlPolicies"] = option_value(listed)
        await update_account(change, replace(account, options=options))


async def state_above(iam: Iam, *statements: Mapping[str, object]) -> None:
    """The same, whatever breaks it already."""
    stated = option_value([ControlPolicy("backups", policy(*statements))])
    async with iam.directory.change(ACCOUNT, is_above=True) as change:
        account = await require_account(change, ACCOUNT)
        options = {**account.options, "Invariants": stated}
        await update_account(change, replace(account, options=options))


async def make_role(iam: Iam, name: str, *statements: Mapping[str, object]) -> None:
    await iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust(ACCOUNT))
    if statements:
        await put(iam, name, *statements)


async def put(iam: Iam, role: str, *statements: Mapping[str, object]) -> None:
    document = policy(*statements)
    await iam("PutRolePolicy", RoleName=role, PolicyName="p", PolicyDocument=document)


async def managed(iam: Iam, name: str, *statements: Mapping[str, object]) -> str:
    answer = await iam(
        "CreatePolicy", PolicyName=name, PolicyDocument=policy(*statements)
    )
    arn: str = answer["Policy"]["Arn"]
    return arn


def refused(principal: str = "role/ci") -> Any:
    return pytest.raises(
        AccessDenied,
        match=f"The invariant backups would be broken: .*:{principal} could {REQUEST}",
    )


@pytest.fixture
async def scene(iam: Iam) -> Iam:
    """SRE reads backups, CI writes logs, and no one else may read backups."""
    await make_role(iam, "sre", ALL_OF_S3)
    await make_role(iam, "ci", OTHERS)
    await state(iam, ONLY_SRE)
    return iam


async def test_an_inline_policy_is_refused_with_the_request(scene: Iam) -> None:
    with refused():
        await put(scene, "ci", ALL_OF_S3)
    answer = await scene("GetRolePolicy", RoleName="ci", PolicyName="p")
    assert "logs" in answer["PolicyDocument"]
    await put(scene, "sre", READ)


async def test_attaching_is_refused(scene: Iam) -> None:
    arn = await managed(scene, "reads", READ)
    with refused():
        await scene("AttachRolePolicy", RoleName="ci", PolicyArn=arn)
    await scene("AttachRolePolicy", RoleName="sre", PolicyArn=arn)


async def test_a_policy_of_aws_is_refused(scene: Iam) -> None:
    with refused():
        await scene(
            "AttachRolePolicy",
            RoleName="ci",
            PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess",
        )


@pytest.mark.parametrize("call", ["CreatePolicyVersion", "SetDefaultPolicyVersion"])
async def test_a_new_default_version_is_refused(scene: Iam, call: str) -> None:
    arn = await managed(scene, "grows", OTHERS)
    await scene("AttachRolePolicy", RoleName="ci", PolicyArn=arn)
    at_once = call == "CreatePolicyVersion"
    version = {"PolicyArn": arn, "PolicyDocument": policy(READ)}
    if at_once:
        with refused():
            await scene(call, **version, SetAsDefault=True)
        return
    await scene("CreatePolicyVersion", **version)
    with refused():
        await scene(call, PolicyArn=arn, VersionId="v2")


async def test_adding_to_a_group_is_refused(scene: Iam) -> None:
    await scene("CreateUser", UserName="ann")
    await scene("CreateGroup", GroupName="readers")
    group = {"GroupName": "readers"}
    await scene("PutGroupPolicy", **group, PolicyName="p", PolicyDocument=policy(READ))
    with refused("user/ann"):
        await scene("AddUserToGroup", **group, UserName="ann")


async def test_a_policy_of_a_group_is_refused_for_its_members(scene: Iam) -> None:
    await scene("CreateUser", UserName="ann")
    await scene("CreateGroup", GroupName="readers")
    await scene("AddUserToGroup", GroupName="readers", UserName="ann")
    arn = await managed(scene, "reads", READ)
    with refused("user/ann"):
        await scene("AttachGroupPolicy", GroupName="readers", PolicyArn=arn)


async def test_a_lost_deny_is_refused(scene: Iam) -> None:
    deny = await managed(scene, "no", NO_READING)
    await scene("AttachRolePolicy", RoleName="ci", PolicyArn=deny)
    await put(scene, "ci", ALL_OF_S3)
    with refused():
        await scene("DetachRolePolicy", RoleName="ci", PolicyArn=deny)
    await scene("CreatePolicyVersion", PolicyArn=deny, PolicyDocument=policy(OTHERS))
    with refused():
        await scene("SetDefaultPolicyVersion", PolicyArn=deny, VersionId="v2")
    narrower = {**NO_READING, "Action": "s3:Get*"}
    version = {"PolicyArn": deny, "PolicyDocument": policy(narrower)}
    await scene("CreatePolicyVersion", **version, SetAsDefault=True)


@pytest.mark.parametrize(
    ("call", "more"), [("DeleteRolePermissionsBoundary", {}), ("Put", {})]
)
async def test_a_lost_boundary_is_refused(
    scene: Iam, call: str, more: dict[str, str]
) -> None:
    boundary = await managed(scene, "bounds", OTHERS)
    wide = await managed(scene, "wide", ALL_OF_S3)
    role = {"RoleName": "ci"}
    await scene("PutRolePermissionsBoundary", **role, PermissionsBoundary=boundary)
    await put(scene, "ci", ALL_OF_S3)
    with refused():
        if call == "Put":
            await scene("PutRolePermissionsBoundary", **role, PermissionsBoundary=wide)
        else:
            await scene(call, **role, **more)
    document = policy(ALL_OF_S3)
    with refused():
        await scene(
            "CreatePolicyVersion",
            PolicyArn=boundary,
            PolicyDocument=document,
            SetAsDefault=True,
        )


async def test_a_lost_control_policy_is_refused(iam: Iam) -> None:
    await make_role(iam, "ci", ALL_OF_S3)
    await state(iam, ONLY_SRE, controls=[policy(ALL_OF_S3, NO_READING)])
    with refused():
        await state(iam, ONLY_SRE, controls=[policy(ALL_OF_S3)])
    with refused():
        await state(iam, ONLY_SRE, controls=[])


async def test_a_new_invariant_tells_what_breaks_it(iam: Iam) -> None:
    await make_role(iam, "ci", ALL_OF_S3)
    await make_role(iam, "cd", READ)
    with pytest.raises(AccessDenied) as caught:
        await state(iam, ONLY_SRE)
    assert str(caught.value).count("The invariant backups would be broken") == 2
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert not account.options.get("Invariants")


async def test_an_older_violation_is_left_as_it_was(iam: Iam) -> None:
    await make_role(iam, "ci", READ)
    await state_above(iam, ONLY_SRE)
    await put(iam, "ci", READ, OTHERS)
    await iam("TagRole", RoleName="ci", Tags=[{"Key": "a", "Value": "b"}])
    wider = {**READ, "Action": "s3:Get*"}
    await put(iam, "ci", wider)
    deleting = {**READ, "Action": "s3:DeleteObject"}
    await state(iam, ONLY_SRE)
    await put(iam, "ci", READ, deleting)
    await make_role(iam, "cd", OTHERS)
    with refused("role/cd"):
        await put(iam, "cd", READ)
    account = await require_account(iam.directory, ACCOUNT)
    (finding,) = await find_broken(iam.directory, account)
    assert finding.principal.endswith(":role/ci")


async def test_what_an_older_violation_did_not_reach_is_refused(iam: Iam) -> None:
    """A Deny that took part of it away is not given up."""
    await make_role(iam, "ci", READ)
    one = {**NO_READING, "Resource": "arn:aws:s3:::backups/keys/*"}
    await put(iam, "ci", READ, one)
    await state_above(iam, ONLY_SRE)
    with pytest.raises(AccessDenied, match=r"arn:aws:s3:::backups/keys/"):
        await put(iam, "ci", READ)


async def test_two_writes_that_break_it_only_together(scene: Iam) -> None:
    """One takes a Deny away, the other adds an Allow: one of them is refused."""
    deny = await managed(scene, "no", NO_READING)
    await scene("AttachRolePolicy", RoleName="ci", PolicyArn=deny)
    outcomes = await asyncio.gather(
        scene("DetachRolePolicy", RoleName="ci", PolicyArn=deny),
        put(scene, "ci", ALL_OF_S3),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, AccessDenied) for outcome in outcomes) == 1


async def test_a_deny_that_is_added_and_taken_back_in_one_transaction(
    scene: Iam,
) -> None:
    deny = await managed(scene, "no", NO_READING)
    outcomes = await asyncio.gather(
        scene("AttachRolePolicy", RoleName="ci", PolicyArn=deny),
        put(scene, "ci", ALL_OF_S3),
        scene("DetachRolePolicy", RoleName="ci", PolicyArn=deny),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, AccessDenied) for outcome in outcomes) == 1


async def test_an_invariant_is_new_for_all_that_share_its_transaction(
    iam: Iam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before the transaction excuses nothing that came after it."""
    monkeypatch.setattr("broker.stores.change_queue.OPEN_SECONDS_MAX", 60.0)
    await make_role(iam, "ci", READ)
    role = await iam.directory.named(kinds.ROLE, ACCOUNT, "ci")
    assert role is not None

    async def write(*statements: Mapping[str, object]) -> None:
        async with iam.directory.change(ACCOUNT) as change:
            await put_inline_policy(
                change,
                InlinePolicy(
                    account=ACCOUNT,
                    owner_id=role.role_id,
                    name="p",
                    document=policy(*statements),
                ),
            )

    outcomes = await asyncio.gather(
        write(OTHERS), state(iam, ONLY_SRE), write(READ), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        type(None),
        AccessDenied,
    ]


async def test_names_with_colons_do_not_let_everything_reach_everything(
    iam: Iam,
) -> None:
    prod = "arn:aws:secretsmanager:*:*:secret:prod/*"
    app = "arn:aws:secretsmanager:*:*:secret:app-1/*"
    read = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": app}
    await state(iam, {**NO_READING, "Action": "secretsmanager:*", "Resource": prod})
    await make_role(iam, "app", read)
    with pytest.raises(AccessDenied, match=r":secret:prod/"):
        await put(iam, "app", {**read, "Resource": app.replace("app-1", "*")})


async def test_trust_is_judged_by_statements_about_assuming_roles(scene: Iam) -> None:
    await scene("CreateUser", UserName="ann")
    ann = f"arn:aws:iam::{ACCOUNT}:user/ann"
    document = trust(ann)
    change = {"RoleName": "sre", "PolicyDocument": document}
    await scene("UpdateAssumeRolePolicy", **change)
    await scene("UpdateAssumeRolePolicy", RoleName="sre", PolicyDocument=trust(ACCOUNT))
    no_assuming = {**NO_READING, "Action": "sts:AssumeRole", "Resource": SRE}
    await state(scene, ONLY_SRE, no_assuming)
    with pytest.raises(AccessDenied, match=f"user/ann could sts:AssumeRole on {SRE}"):
        await scene("UpdateAssumeRolePolicy", **change)
    with pytest.raises(AccessDenied, match="role/ci could sts:AssumeRole"):
        await put(scene, "ci", {**ALL_OF_S3, "Action": "sts:*"})


async def test_what_a_resource_granted_is_left_as_it_was(iam: Iam) -> None:
    """A Deny goes, and another one still denies the same."""
    await make_role(iam, "sre")
    await iam("CreateUser", UserName="ann")
    no_assuming = {**NO_READING, "Action": "sts:AssumeRole", "Resource": SRE}
    inside = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    user = {"UserName": "ann"}
    for name in ("p", "q"):
        document = policy({**no_assuming, **inside})
        await iam("PutUserPolicy", **user, PolicyName=name, PolicyDocument=document)
    change = {"RoleName": "sre", "PolicyDocument": trust(f"{ROOT}:user/ann")}
    await iam("UpdateAssumeRolePolicy", **change)
    await state_above(iam, no_assuming)
    await iam("DeleteUserPolicy", **user, PolicyName="q")
    with pytest.raises(AccessDenied, match=r"could sts:AssumeRole .* 10\."):
        await iam("DeleteUserPolicy", **user, PolicyName="p")


async def test_tags_of_a_user_decide(iam: Iam) -> None:
    tagged = {"StringNotEquals": {"aws:PrincipalTag/Team": "sre"}}
    await state(iam, {**NO_READING, "Condition": tagged})
    team = [{"Key": "team", "Value": "sre"}]
    await iam("CreateUser", UserName="ann", Tags=team)
    user = {"UserName": "ann"}
    await iam("PutUserPolicy", **user, PolicyName="p", PolicyDocument=policy(READ))
    with refused("user/ann"):
        await iam("UntagUser", **user, TagKeys=["team"])
    await iam("CreateUser", UserName="bob")
    with refused("user/bob"):
        await iam(
            "PutUserPolicy", UserName="bob", PolicyName="p", PolicyDocument=policy(READ)
        )


async def test_what_is_not_decided_is_refused(scene: Iam) -> None:
    places = "".join("?" * n + "a" for n in range(1, 12))
    hard = [f"arn:aws:s3:::*{places}{n}*/*{places}" for n in range(40)]
    with pytest.raises(AccessDenied, match=r"cannot be decided|would be broken"):
        await put(scene, "ci", {**READ, "Resource": hard})


async def test_a_change_above_the_invariants_is_recorded(scene: Iam) -> None:
    account = await require_account(scene.directory, ACCOUNT)
    role = await scene.directory.named(kinds.ROLE, ACCOUNT, "ci")
    assert role is not None
    above = Iam(scene.directory, scene.vault, scene.actions, scene.caller)
    recorded: list[Any] = []
    async with scene.directory.change(ACCOUNT, is_above=True) as change:
        record = change.record

        async def keep(entry: Any) -> None:
            recorded.append(entry)
            await record(entry)

        change.record = keep  # type: ignore[method-assign]
        action = above.actions["PutRolePolicy"]
        call = above._call(action)
        call.directory = call.opened = change
        document = policy(READ)
        await action.handle(
            {"RoleName": "ci", "PolicyName": "p", "PolicyDocument": document}, call
        )
    (entry,) = recorded
    assert entry.action == "broker:OverrideInvariant"
    assert REQUEST in json.dumps(entry.parameters)
    (finding,) = await find_broken(scene.directory, account)
    assert finding.invariant == "backups"
