"""Roles are made, shown, changed and deleted as recorded in AWS."""

import json
from urllib.parse import unquote

import pytest

from broker.errors import (
    LimitExceeded,
    MalformedPolicyDocument,
    UnsupportedOperation,
)
from broker.kinds.documents import shown_trust_policies
from broker.policy import PolicyKind, parse_policy
from broker.stores.directory.kinds import ROLE
from tests.support.iam import ACCOUNT, OTHER, Iam, policy, trust
from tests.support.rows import cases


def shown_principal(role: dict[str, str]) -> object:
    document = json.loads(unquote(role["AssumeRolePolicyDocument"]))
    return document["Statement"][0]["Principal"]["AWS"]


async def test_an_update_leaves_what_it_does_not_name(iam: Iam) -> None:
    await iam(
        "CreateRole",
        RoleName="R",
        AssumeRolePolicyDocument=trust(),
        Description="d",
        MaxSessionDuration=7200,
    )
    await iam("UpdateRole", RoleName="R", Description="e")
    role = (await iam("GetRole", RoleName="R"))["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("e", 7200)
    await iam("UpdateRole", RoleName="R", Description="", MaxSessionDuration=3600)
    role = (await iam("GetRole", RoleName="R"))["Role"]
    assert "Description" not in role
    assert role["MaxSessionDuration"] == 3600


@pytest.mark.parametrize("name", ["CreateRole", "UpdateRole"])
async def test_a_member_that_is_not_honoured_is_refused_by_name(
    iam: Iam, name: str
) -> None:
    with pytest.raises(UnsupportedOperation, match="MaxSigninSessionDuration"):
        await iam(
            name,
            RoleName="R",
            AssumeRolePolicyDocument=trust(),
            MaxSigninSessionDuration=3600,
        )


async def test_a_trusted_user_is_shown_by_name_until_it_is_deleted(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann", Path="/p/")
    arn = f"arn:aws:iam::{ACCOUNT}:user/p/ann"
    made = await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust(arn))
    assert shown_principal(made["Role"]) == arn
    await iam("UpdateUser", UserName="ann", NewUserName="anna", NewPath="/")
    got = (await iam("GetRole", RoleName="R"))["Role"]
    assert shown_principal(got) == f"arn:aws:iam::{ACCOUNT}:user/anna"
    user_id = (await iam("GetUser", UserName="anna"))["User"]["UserId"]
    await iam("DeleteUser", UserName="anna")
    await iam("CreateUser", UserName="anna")
    got = (await iam("GetRole", RoleName="R"))["Role"]
    assert shown_principal(got) == user_id


async def test_the_trust_policy_is_stored_with_unique_ids(iam: Iam) -> None:
    user = (await iam("CreateUser", UserName="ann"))["User"]
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust(user["Arn"]))
    role = await iam.directory.named(ROLE, ACCOUNT, "R")
    assert role is not None
    assert user["UserId"] in role.trust_policy
    assert user["Arn"] not in role.trust_policy


async def test_a_number_in_a_trust_policy_keeps_its_digits(iam: Iam) -> None:
    user = (await iam("CreateUser", UserName="U"))["User"]["Arn"]
    condition = {"StringEquals": {"aws:PrincipalTag/version": 9876}}
    statement = {**json.loads(trust(user))["Statement"][0], "Condition": condition}
    document = policy(statement).replace("9876", "1.10")
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=document)
    role = await iam.directory.named(ROLE, ACCOUNT, "R")
    assert role is not None
    for text in (
        role.trust_policy,
        (await shown_trust_policies(iam.directory, [role.trust_policy]))[0],
    ):
        (stored,) = parse_policy(text, PolicyKind.TRUST).statements
        assert stored.conditions[0].values == ("1.10",)


@cases("principal")
async def test_a_principal_that_does_not_exist_is_refused(
    iam: Iam, principal: str
) -> None:
    await iam("CreateUser", UserName="ann")
    await iam(
        "CreateRole", RoleName="Other", Path="/p/", AssumeRolePolicyDocument=trust()
    )
    with pytest.raises(MalformedPolicyDocument) as caught:
        await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust(principal))
    assert caught.value.message == f'Invalid principal in policy: "AWS":"{principal}"'


async def test_accounts_and_sessions_are_trusted_as_they_are_named(iam: Iam) -> None:
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/R/s"
    names = [OTHER, f"arn:aws:iam::{ACCOUNT}:root", session]
    made = await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust(names))
    # As it was sent, as recorded from AWS; then as it is stored.
    assert unquote(made["Role"]["AssumeRolePolicyDocument"]) == trust(names)
    got = await iam("GetRole", RoleName="R")
    listed = await iam("ListRoles")
    details = await iam("GetAccountAuthorizationDetails", Filter=["Role"])
    for role in (got["Role"], *listed["Roles"], *details["RoleDetailList"]):
        assert shown_principal(role) == [
            f"arn:aws:iam::{OTHER}:root",
            f"arn:aws:iam::{ACCOUNT}:root",
            session,
        ]


async def test_a_role_of_another_account_is_shown_by_its_arn(iam: Iam) -> None:
    from broker.model.principal import Principal
    from broker.model.session import Caller

    other = iam.as_caller(Caller(principal=Principal.root(OTHER)))
    theirs = await other("CreateRole", RoleName="T", AssumeRolePolicyDocument=trust())
    arn = theirs["Role"]["Arn"]
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust(arn))
    assert shown_principal((await iam("GetRole", RoleName="R"))["Role"]) == arn
    role = await iam.directory.named(ROLE, ACCOUNT, "R")
    assert role is not None
    assert theirs["Role"]["RoleId"] in role.trust_policy


async def test_a_shared_issuer_needs_a_tenant_condition(iam: Iam) -> None:
    issuer = "cognito-identity.amazonaws.com"
    document = trust({"Federated": issuer}, action="sts:AssumeRoleWithWebIdentity")
    with pytest.raises(MalformedPolicyDocument, match="Cognito provider"):
        await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=document)


@cases("document, message")
async def test_a_broken_trust_policy_is_refused(
    iam: Iam, document: str, message: str
) -> None:
    with pytest.raises(MalformedPolicyDocument, match=message):
        await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=document)


async def test_a_trust_policy_has_a_quota_without_white_space(iam: Iam) -> None:
    padded = trust() + " " * 5000
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=padded)
    long = trust([f"arn:aws:iam::{ACCOUNT}:root"] * 60)
    with pytest.raises(LimitExceeded, match="ACLSizePerRole: 2048"):
        await iam("UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=long)
