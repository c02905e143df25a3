"""Switching STS on and off by region, never in ``us-east-1``."""

from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import InvalidInput
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support.iam import ACCOUNT, Iam


async def switch(iam: Iam, region: str, *, active: bool) -> None:
    await iam("SetSTSRegionalEndpointStatus", Region=region, Active=active)


async def off(iam: Iam) -> Any:
    return (await iam("ListSTSRegionalEndpointsStatus"))["Disabled"]


async def test_a_region_is_switched_off_and_on_again(iam: Iam) -> None:
    assert await off(iam) == set()
    await switch(iam, "eu-west-3", active=False)
    await switch(iam, "ap-south-1", active=False)
    await switch(iam, "ap-south-1", active=False)
    assert await off(iam) == {"eu-west-3", "ap-south-1"}
    await switch(iam, "ap-south-1", active=True)
    assert await off(iam) == {"eu-west-3"}


@pytest.mark.parametrize(
    "region", ["us-east-1", "", "everywhere", "eu-west-3\n", "../x", "e" * 4000]
)
async def test_unknown_and_fixed_regions_are_refused(iam: Iam, region: str) -> None:
    with pytest.raises(InvalidInput):
        await switch(iam, region, active=False)
    assert await off(iam) == set()


async def test_the_list_of_regions_stays_bounded(iam: Iam) -> None:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    full = [f"xx-test-{number}" for number in range(200)]
    async with iam.directory.change(ACCOUNT) as change:
        await update_account(
            change, replace(account, options={"DisabledRegions": full})
        )
    with pytest.raises(InvalidInput, match="at most"):
        await switch(iam, "eu-west-3", active=False)
    await switch(iam, "xx-test-7", active=True)
    assert len(await off(iam)) == 199


async def test_the_permissions_are_those_of_aws(iam: Iam) -> None:
    status = await iam.need("ListSTSRegionalEndpointsStatus")
    switched = await iam.need(
        "SetSTSRegionalEndpointStatus", Region="eu-west-3", Active=False
    )
    assert (status.action, status.resource) == (
        "iam:ListSTSRegionalEndpointsStatus",
        "*",
    )
    assert (switched.action, switched.resource) == (
        "iam:SetSTSRegionalEndpointStatus",
        "*",
    )
