"""The deletion of a service's own role waits for the sessions of it."""

from typing import Any

import pytest

from broker.errors import UnmodifiableEntity
from broker.stores.uses import UseBuffer
from tests.support.iam import ACCOUNT, Iam

ROLE = "AWSServiceRoleForAutoScaling"


async def delete(iam: Iam) -> Any:
    task = (await iam("DeleteServiceLinkedRole", RoleName=ROLE))["DeletionTaskId"]
    return await iam("GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task)


async def test_a_role_in_use_stays_and_the_task_says_where_it_is_used(
    iam: Iam,
) -> None:
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


async def test_the_description_can_be_changed_by_either_operation(iam: Iam) -> None:
    await iam("CreateServiceLinkedRole", AWSServiceName="autoscaling.amazonaws.com")
    for name, text in (("UpdateRole", "one"), ("UpdateRoleDescription", "two")):
        await iam(name, RoleName=ROLE, Description=text)
        got = await iam("GetRole", RoleName=ROLE)
        assert got["Role"]["Description"] == text
    with pytest.raises(UnmodifiableEntity):
        await iam("UpdateRole", RoleName=ROLE, Description="x", MaxSessionDuration=7200)


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("lex", "LexBots"),
        ("eks-nodegroup", "AmazonEKSNodegroup"),
        ("replication.dynamodb", "DynamoDBReplication"),
        ("ops.apigateway", "APIGateway"),
    ],
)
async def test_services_with_roles_of_their_own(
    iam: Iam, service: str, name: str
) -> None:
    made = await iam(
        "CreateServiceLinkedRole", AWSServiceName=f"{service}.amazonaws.com"
    )
    assert made["Role"]["RoleName"] == f"AWSServiceRoleFor{name}"
