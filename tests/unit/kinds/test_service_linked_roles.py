"""The deletion of a service's own role waits for the sessions of it."""

from typing import Any

import pytest

from broker.errors import InvalidInput, UnmodifiableEntity
from broker.kinds.managed_policies import aws_managed_arns
from broker.kinds.service_linked_roles import linked_services
from broker.stores.directory.policies import count_used_policies
from broker.stores.uses import UseBuffer
from tests.support.iam import ACCOUNT, Iam
from tests.support.rows import cases, of_file

ROLE = "AWSServiceRoleForAutoScaling"


async def delete(iam: Iam) -> Any:
    task = (await iam("DeleteServiceLinkedRole", RoleName=ROLE))["DeletionTaskId"]
    return await iam("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task)


async def test_a_role_in_use_stays_and_the_task_says_where_it_is_used(iam: Iam) -> None:
    made = await iam(
        "CreateServiceLinkedRole", AWSServiceName="autoscaling.amazonaws.com"
    )
    uses = UseBuffer(iam.directory._database)
    role_id = made["Role"]["RoleId"]
    for region in ("eu-west-3", "us-east-1"):
        uses.note(ACCOUNT, role_id, "ec2", region, iam.now, region)
    await uses.flush()
    answer = await delete(iam)
    assert answer["Status"] == "FAILED"
    assert "session" in answer["Reason"]["Reason"]
    assert answer["Reason"]["RoleUsageList"] == [
        {"Region": region, "Resources": [made["Role"]["Arn"]]}
        for region in ("eu-west-3", "us-east-1")
    ]
    assert (await iam("GetRole", RoleName=ROLE))["Role"]["RoleId"] == role_id
    iam.tick(hours=1)
    assert await delete(iam) == {"Status": "SUCCEEDED"}


@cases("service, described")
async def test_a_role_is_described_as_aws_does(
    iam: Iam, service: str, described: str | None
) -> None:
    domain = f"{service}.amazonaws.com"
    made = await iam("CreateServiceLinkedRole", AWSServiceName=domain)
    assert made["Role"].get("Description") == described


async def test_a_description_of_ones_own_counts(iam: Iam) -> None:
    made = await iam(
        "CreateServiceLinkedRole",
        AWSServiceName="rds.amazonaws.com",
        Description="Ours",
    )
    assert made["Role"]["Description"] == "Ours"


async def test_the_description_can_be_changed_by_either_operation(iam: Iam) -> None:
    await iam("CreateServiceLinkedRole", AWSServiceName="autoscaling.amazonaws.com")
    for name, text in (("UpdateRole", "one"), ("UpdateRoleDescription", "two")):
        await iam(name, RoleName=ROLE, Description=text)
        got = await iam("GetRole", RoleName=ROLE)
        assert got["Role"]["Description"] == text
    with pytest.raises(UnmodifiableEntity):
        await iam("UpdateRole", RoleName=ROLE, Description="x", MaxSessionDuration=7200)


RECORDED = of_file(__file__, "RECORDED")
"""From localstack/localstack, test_service_role_lifecycle (recorded from AWS)."""

NEWER_THAN_THE_CATALOGUE = {"AmazonLexBotPolicy"}


@pytest.mark.parametrize(("service", "name", "policy"), RECORDED)
async def test_services_with_roles_of_their_own(
    iam: Iam, service: str, name: str, policy: str
) -> None:
    made = await iam(
        "CreateServiceLinkedRole", AWSServiceName=f"{service}.amazonaws.com"
    )
    role = f"AWSServiceRoleFor{name}"
    assert made["Role"]["RoleName"] == role
    assert made["Role"]["Path"] == f"/aws-service-role/{service}.amazonaws.com/"
    listed = await iam("ListAttachedRolePolicies", RoleName=role)
    arn = f"arn:aws:iam::aws:policy/aws-service-role/{policy}"
    assert listed["AttachedPolicies"] == [{"PolicyArn": arn, "PolicyName": policy}]
    assert (await iam("ListRolePolicies", RoleName=role))["PolicyNames"] == []
    await iam("DeleteServiceLinkedRole", RoleName=role)
    assert await count_used_policies(iam.directory, ACCOUNT) == 0


async def test_every_service_has_a_role_and_a_policy_of_aws(iam: Iam) -> None:
    services = linked_services()
    assert len({each.role for each in services.values()}) == len(services)
    unknown = {each.policy for each in services.values()} - {
        arn.rpartition("/")[2] for arn in aws_managed_arns("/aws-service-role/")
    }
    assert unknown == NEWER_THAN_THE_CATALOGUE
    for service in services:
        await iam("CreateServiceLinkedRole", AWSServiceName=f"{service}.amazonaws.com")
    details = await iam("GetAccountAuthorizationDetails", MaxItems=1000)
    assert len(details["RoleDetailList"]) == len(details["Policies"]) == len(services)


@pytest.mark.parametrize("service", ["autoscaling", "connect", "lexv2"])
async def test_some_services_take_a_suffix(iam: Iam, service: str) -> None:
    """Recorded in test_service_role_lifecycle_custom_suffix."""
    made = await iam(
        "CreateServiceLinkedRole",
        AWSServiceName=f"{service}.amazonaws.com",
        CustomSuffix="x1",
    )
    plain = await iam(
        "CreateServiceLinkedRole", AWSServiceName=f"{service}.amazonaws.com"
    )
    assert made["Role"]["RoleName"] == f"{plain['Role']['RoleName']}_x1"


async def test_others_take_none(iam: Iam) -> None:
    """Recorded in test_service_role_lifecycle_custom_suffix_not_allowed."""
    for service in ("ops.apigateway", "ecs", "codestar-notifications"):
        principal = f"{service}.amazonaws.com"
        with pytest.raises(InvalidInput) as caught:
            await iam(
                "CreateServiceLinkedRole",
                AWSServiceName=principal,
                CustomSuffix="testsuffix",
            )
        assert caught.value.message == f"Custom suffix is not allowed for {principal}"
