"""The deletion of a service's own role waits for the sessions of it."""

from typing import Any

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
