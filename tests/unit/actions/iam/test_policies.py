"""Managed and inline policies, versions and attachments."""

import json
from urllib.parse import unquote

import pytest
from msgspec.structs import replace

from broker.errors import (
    AccessDenied,
    DeleteConflict,
    LimitExceeded,
    NoSuchEntity,
    ValidationError,
)
from broker.kinds.accounts import UNLISTED_POLICIES
from broker.kinds.managed_policies import aws_managed_arns
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support.iam import ACCOUNT, Iam, policy, set_quotas, trust
from tests.support.rows import cases

AWS = "arn:aws:iam::aws:policy"
USAGES = ("Policy", "Boundary")


def sized(characters: int) -> str:
    """A valid policy of that many characters, none of them white space."""
    empty = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::"})
    missing = characters - len("".join(empty.split()))
    return policy(
        {
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": "arn:aws:s3:::" + "b" * missing,
        }
    )


async def make(iam: Iam, name: str = "P", **more: object) -> str:
    made = await iam(
        "CreatePolicy", **{"PolicyName": name, "PolicyDocument": policy(), **more}
    )
    arn: str = made["Policy"]["Arn"]
    return arn


async def make_role(iam: Iam, name: str = "R") -> None:
    await iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust())


async def test_a_managed_policy_may_have_6144_characters(iam: Iam) -> None:
    await make(iam, "Fits", PolicyDocument=sized(6144).replace(",", ",\n\n  "))
    with pytest.raises(LimitExceeded) as caught:
        await make(iam, "TooLong", PolicyDocument=sized(6145))
    assert caught.value.message == "Cannot exceed quota for PolicySize: 6144"
    await set_quotas(iam, PolicySize=7000)
    await make(iam, "TooLong", PolicyDocument=sized(6145))


async def test_inline_policies_of_a_role_share_10240_characters(iam: Iam) -> None:
    await make_role(iam)

    async def put(name: str, size: int) -> None:
        await iam(
            "PutRolePolicy", RoleName="R", PolicyName=name, PolicyDocument=sized(size)
        )

    await put("a", 5000)
    await put("b", 5240)
    with pytest.raises(LimitExceeded) as caught:
        await put("c", 200)
    assert caught.value.message == (
        "Maximum policy size of 10240 bytes exceeded for role R"
    )
    await put("b", 5000)
    await put("c", 240)


async def test_versions_are_numbered_once_and_at_most_five(iam: Iam) -> None:
    arn = await make(iam)
    for _ in range(4):
        await iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy())
    with pytest.raises(LimitExceeded, match="can have up to 5 versions"):
        await iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy())
    await iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v5")
    made = await iam(
        "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy(), SetAsDefault=True
    )
    assert made["PolicyVersion"]["VersionId"] == "v6"
    assert made["PolicyVersion"]["IsDefaultVersion"]
    listed = await iam("ListPolicyVersions", PolicyArn=arn)
    assert [v["VersionId"] for v in listed["Versions"]] == [
        "v6",
        "v4",
        "v3",
        "v2",
        "v1",
    ]
    assert [v["IsDefaultVersion"] for v in listed["Versions"]] == [True] + 4 * [False]
    first = await iam("ListPolicyVersions", PolicyArn=arn, MaxItems=3)
    rest = await iam("ListPolicyVersions", PolicyArn=arn, Marker=first["Marker"])
    assert [v["VersionId"] for v in rest["Versions"]] == ["v2", "v1"]


async def test_the_version_in_force_is_switched_and_not_deleted(iam: Iam) -> None:
    arn = await make(iam)
    other = policy({"Effect": "Deny", "Action": "*", "Resource": "*"})
    await iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=other)
    with pytest.raises(DeleteConflict, match="Cannot delete the default version"):
        await iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v1")
    await iam("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v2")
    got = await iam("GetPolicyVersion", PolicyArn=arn, VersionId="v2")
    assert json.loads(unquote(got["PolicyVersion"]["Document"])) == json.loads(other)
    assert (await iam("GetPolicy", PolicyArn=arn))["Policy"]["DefaultVersionId"] == "v2"
    with pytest.raises(DeleteConflict, match="more than one version"):
        await iam("DeletePolicy", PolicyArn=arn)
    await iam("DeletePolicyVersion", PolicyArn=arn, VersionId="v1")
    await iam("DeletePolicy", PolicyArn=arn)


async def test_a_role_has_at_most_ten_managed_policies(iam: Iam) -> None:
    await make_role(iam)
    arns = [await make(iam, f"P{i}") for i in range(11)]
    for arn in arns[:10]:
        await iam("AttachRolePolicy", RoleName="R", PolicyArn=arn)
    with pytest.raises(LimitExceeded) as caught:
        await iam("AttachRolePolicy", RoleName="R", PolicyArn=arns[10])
    assert caught.value.message == "Cannot exceed quota for PoliciesPerRole: 10"
    await iam("AttachRolePolicy", RoleName="R", PolicyArn=arns[0])
    first = await iam("ListAttachedRolePolicies", RoleName="R", MaxItems=4)
    rest = await iam("ListAttachedRolePolicies", RoleName="R", Marker=first["Marker"])
    view = first["AttachedPolicies"] + rest["AttachedPolicies"]
    assert [item["PolicyArn"] for item in view] == sorted(arns[:10])


async def test_aws_managed_policies_are_there_and_not_to_be_changed(iam: Iam) -> None:
    arn = f"{AWS}/ReadOnlyAccess"
    await make_role(iam)
    await iam("AttachRolePolicy", RoleName="R", PolicyArn=arn)
    got = (await iam("GetPolicy", PolicyArn=arn))["Policy"]
    assert (got["PolicyName"], got["AttachmentCount"]) == ("ReadOnlyAccess", 1)
    version = await iam(
        "GetPolicyVersion", PolicyArn=arn, VersionId=got["DefaultVersionId"]
    )
    assert "s3:Get*" in unquote(version["PolicyVersion"]["Document"])
    for name, more in (
        ("DeletePolicy", {}),
        ("CreatePolicyVersion", {"PolicyDocument": policy()}),
        ("TagPolicy", {"Tags": [{"Key": "k", "Value": "v"}]}),
    ):
        with pytest.raises(AccessDenied):
            await iam(name, PolicyArn=arn, **more)
    entities = await iam("ListEntitiesForPolicy", PolicyArn=arn, EntityFilter="Role")
    assert [role["RoleName"] for role in entities["PolicyRoles"]] == ["R"]


async def test_aws_managed_policies_count_whom_they_bound(iam: Iam) -> None:
    arn = f"{AWS}/PowerUserAccess"
    await make_role(iam)
    await iam("PutRolePermissionsBoundary", RoleName="R", PermissionsBoundary=arn)
    await iam("CreateUser", UserName="U", PermissionsBoundary=arn)
    details = await iam("GetAccountAuthorizationDetails", Filter=["AWSManagedPolicy"])
    bounding = {"OnlyAttached": True, "PolicyUsageFilter": "PermissionsBoundary"}
    listed = await iam("ListPolicies", **bounding)
    got = await iam("GetPolicy", PolicyArn=arn)
    for entry in (*details["Policies"], *listed["Policies"], got["Policy"]):
        counts = entry["AttachmentCount"], entry["PermissionsBoundaryUsageCount"]
        assert (entry["Arn"], *counts) == (arn, 0, 2)
    assert len(details["Policies"]) == len(listed["Policies"]) == 1


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_lists_of_any_scope_come_in_pages(iam: Iam, size: int) -> None:
    for name in ("b", "A", "c"):
        await make(iam, name)

    async def names(**params: object) -> list[str]:
        results: list[str] = []
        marker: dict[str, object] = {}
        while True:
            page = await iam("ListPolicies", MaxItems=size, **marker, **params)
            assert len(page["Policies"]) <= size
            results += [item["PolicyName"] for item in page["Policies"]]
            if not page["IsTruncated"]:
                return results
            marker = {"Marker": page["Marker"]}

    own = ["A", "b", "c"]
    assert await names(Scope="Local") == own
    root_tasks = await names(Scope="AWS", PathPrefix="/root-task/")
    assert len(root_tasks) == 5
    assert "IAMAuditRootUserCredentials" in root_tasks
    await make(iam, "d", Path="/root-task/")
    assert await names(PathPrefix="/root-task/") == [*root_tasks, "d"]


async def test_a_list_of_everything_has_all_that_aws_manages(iam: Iam) -> None:
    await make(iam, "A")
    names: list[str] = []
    marker: dict[str, object] = {}
    while True:
        page = await iam("ListPolicies", MaxItems=1000, **marker)
        names += [item["PolicyName"] for item in page["Policies"]]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert len(names) == len(set(names)) == len(aws_managed_arns()) + 1
    assert (names[0], names[-1]) == ("AdministratorAccess", "A")


@cases("operation, given")
async def test_a_malformed_arn_is_refused_as_recorded_from_aws(
    iam: Iam, operation: str, given: dict[str, object]
) -> None:
    """Recorded for AttachRolePolicy (2026); one parameter, one rule.

    A recording of 2025 has "Invalid ARN:  Could not be parsed!"; the newer one counts.
    """
    await make_role(iam)
    await iam("CreateUser", UserName="U")
    await iam("CreateGroup", GroupName="G")
    for wrong in ("longpolicynamebutnoarn", await make(iam) and "PolicyWithThisName00"):
        with pytest.raises(ValidationError) as caught:
            await iam(operation, PolicyArn=wrong, **given)
        assert caught.value.message == f"ARN {wrong} is not valid."


async def accept_unlisted(iam: Iam, *, accept: bool) -> None:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    options = {UNLISTED_POLICIES: True} if accept else {}
    async with iam.directory.change(ACCOUNT) as change:
        await update_account(change, replace(account, options=options))


async def test_a_name_that_is_not_listed_is_a_policy_where_the_operator_says_so(
    iam: Iam,
) -> None:
    await make_role(iam)
    arn = f"{AWS}/service-role/MadeUpYesterday"
    attach = {"RoleName": "R", "PolicyArn": arn}
    with pytest.raises(NoSuchEntity):
        await iam("AttachRolePolicy", **attach)
    await accept_unlisted(iam, accept=True)
    await iam("AttachRolePolicy", **attach)
    await iam("PutRolePermissionsBoundary", RoleName="R", PermissionsBoundary=arn)
    got = (await iam("GetPolicy", PolicyArn=arn))["Policy"]
    assert (got["Path"], got["PolicyName"]) == ("/service-role/", "MadeUpYesterday")
    version = await iam("GetPolicyVersion", PolicyArn=arn, VersionId="v1")
    assert "Allow" not in unquote(version["PolicyVersion"]["Document"])
    details = await iam("GetAccountAuthorizationDetails", Filter=["AWSManagedPolicy"])
    used = await iam("ListPolicies", OnlyAttached=True)
    for (view,) in (details["Policies"], used["Policies"]):
        assert (view["Arn"], view["AttachmentCount"]) == (arn, 1)
    with pytest.raises(NoSuchEntity):
        await iam("AttachRolePolicy", RoleName="R", PolicyArn=f"{AWS}//x")
    await accept_unlisted(iam, accept=False)
    with pytest.raises(NoSuchEntity):
        await iam("GetPolicy", PolicyArn=arn)
    await iam("DetachRolePolicy", **attach)


async def test_a_usage_filter_counts_for_attached_policies_only(iam: Iam) -> None:
    """As recorded."""
    arn = {name: await make(iam, name) for name in ("attached", "both", "bound", "no")}
    await iam("CreateUser", UserName="U", PermissionsBoundary=arn["bound"])
    await iam("CreateUser", UserName="V", PermissionsBoundary=arn["both"])
    for name in ("attached", "both"):
        await iam("AttachUserPolicy", UserName="U", PolicyArn=arn[name])

    async def names(**params: object) -> list[str]:
        page = await iam("ListPolicies", Scope="Local", **params)
        return [item["PolicyName"] for item in page["Policies"]]

    for usage in ({}, *({"PolicyUsageFilter": f"Permissions{u}"} for u in USAGES)):
        assert await names(**usage) == ["attached", "both", "bound", "no"]
        assert await names(**usage, OnlyAttached=False) == list(arn)
    assert await names(OnlyAttached=True) == ["attached", "both", "bound"]
    only = {"OnlyAttached": True}
    policies, boundaries = [
        await names(**only, PolicyUsageFilter=f"Permissions{u}") for u in USAGES
    ]
    assert policies == ["attached", "both"]
    assert boundaries == ["both", "bound"]
