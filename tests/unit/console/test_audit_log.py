"""The audit log in the console: by permission, and of one's own account only."""

import json
from typing import Any

from broker.model.entities import InlinePolicy
from tests.support.saml_idp import key_pair
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, pair, text_of

AUDIT = "/console/audit"
PAGE_BYTES_MAX = 60_000


async def auditor(world: SignInWorld) -> Any:
    role = await world.services.fresh.find_role(ACCOUNT, "Admin")
    assert role is not None
    statement = {
        "Effect": "Allow",
        "Action": "cloudtrail:LookupEvents",
        "Resource": "*",
    }
    document = {"Version": "2012-10-17", "Statement": statement}
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.put_inline_policy(
            InlinePolicy(
                account=ACCOUNT,
                owner_id=role.role_id,
                name="Given",
                document=json.dumps(document),
            )
        )
    browser = world.browser()
    await world.sign_in(browser, pair("Admin"))
    return browser


async def test_without_the_permission_the_log_is_closed(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    assert (await browser.get(AUDIT)).status_code == 403


async def test_records_are_filtered_and_shown_in_full(world: SignInWorld) -> None:
    stranger = world.browser()
    await world.sign_in(stranger, pair("Reader", OTHER), signing_key=key_pair("other"))
    foreign = (await world.recorded("sts:AssumeRoleWithSAML")).event_id
    denied = world.browser()
    await world.sign_in(denied)
    await denied.get(AUDIT)
    refused = await world.recorded("cloudtrail:LookupEvents")
    browser = await auditor(world)
    page = await browser.get(AUDIT, params={"action": "sts:AssumeRoleWithSAML"})
    assert page.text.count("<tr>") == 3
    assert foreign not in page.text
    assert len(page.content) < PAGE_BYTES_MAX
    none = await browser.get(AUDIT, params={"caller": "<b>"})
    assert "No record fits." in none.text
    assert "<b>" not in none.text
    record = await browser.get(AUDIT, params={"event": refused.event_id})
    assert refused.detail in text_of(record)
    assert "AccessDenied" in text_of(record)
    assert (await browser.get(AUDIT, params={"event": foreign})).status_code == 404


async def test_a_made_up_place_in_the_list_is_no_failure(world: SignInWorld) -> None:
    browser = await auditor(world)
    for place in ("x", "1:2", "-1", "9" * 400, "é"):
        page = await browser.get(AUDIT, params={"next": place})
        assert page.status_code < 500, place
