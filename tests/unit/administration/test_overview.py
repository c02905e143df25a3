"""*Overview*: its numbers are the audit log's, and each part has its own permission."""

from datetime import timedelta
from typing import Any

import pytest
from lxml import html

from broker.model.entities import ManagedPolicy, PolicyVersion, Role
from broker.proofs.refusals import name_reason
from broker.stores.directory.kinds import ROLE
from tests.support.administrator import Administrator, enter, grant
from tests.support.policies import insert_policy
from tests.support.saml_idp import key_pair
from tests.support.signin import ACCOUNT, SignInWorld, text_of

OVERVIEW = "/console/overview"
ALL = (
    "cloudtrail:LookupEvents",
    "iam:ListRoles",
    "iam:GetRole",
    "iam:GetCredentialReport",
    "iam:GetAccountAuthorizationDetails",
)


async def count_records(world: SignInWorld) -> None:
    while await world.services.stores.ledger.count(name_reason):
        pass


def card(page: Any, name: str) -> Any:
    tree = html.fromstring(page.text)
    (match,) = tree.xpath(f"//section[@aria-labelledby='{name}']")
    return match


def numbers(match: Any) -> dict[str, int]:
    return {
        item.xpath("string(./a)"): int(item.xpath("string(./span[@class='count'])"))
        for item in match.xpath(".//ul[@class='counts']/li")
    }


async def in_the_log(admin: Administrator, link: str) -> int:
    tree = html.fromstring((await admin.see(link)).text)
    return len(tree.xpath("//table[@class='log']/tbody/tr"))


async def test_the_numbers_are_those_of_the_audit_log(world: SignInWorld) -> None:
    for _ in range(4):
        await world.sign_in(world.browser())
    for signer in ("stranger", "stranger", "other"):
        forged = world.response(signing_key=key_pair(signer))
        await world.browser().post("/saml", data={"SAMLResponse": forged})
    denied = world.browser()
    await world.sign_in(denied)
    await denied.get(OVERVIEW)
    await grant(world, *ALL)
    admin = await enter(world)
    await admin.see(OVERVIEW)
    await world.recorded("signin:GetActivity")
    await count_records(world)
    page = await admin.see(OVERVIEW)
    providers = card(page, "by-provider")
    assert numbers(providers) == {"saml-provider/Corp": 6}
    (link,) = providers.xpath(".//a/@href")
    assert await in_the_log(admin, link) == 6
    reasons = card(page, "by-reason")
    assert sum(numbers(reasons).values()) == await in_the_log(
        admin, reasons.xpath(".//a/@href")[0]
    )
    assert numbers(reasons)["Signature invalid"] == 3
    assert numbers(reasons)["AccessDenied"] >= 1
    assert "rising" not in text_of(page)  # there was nothing to rise from


async def test_each_part_takes_its_own_permission(world: SignInWorld) -> None:
    admin = await enter(world)
    parts = {
        "by-provider": ALL[:1],
        "unused": ALL[1:3],
        "ending": ALL[3:4],
        "broad": ALL[4:],
    }
    page = await admin.see(OVERVIEW)
    for name in parts:
        assert "Not shown" in text_of_card(page, name), name
    for name, actions in parts.items():
        await grant(world, *actions)
        page = await admin.see(OVERVIEW)
        for other in parts:
            assert ("Not shown" in text_of_card(page, other)) is (other != name)


def text_of_card(page: Any, name: str) -> str:
    return " ".join(card(page, name).text_content().split())


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, *ALL)
    return await enter(world)


async def test_unused_roles_and_broad_policies_are_named(admin: Administrator) -> None:
    now = admin.world.clock.now()
    statement = '{"Effect":"Allow","Action":"*","Resource":"*"}'
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            ROLE,
            Role(
                account=ACCOUNT,
                role_id="AROAOLD",
                name="Forgotten",
                path="/",
                trust_policy="{}",
                created_at=now - timedelta(days=400),
            ),
        )
    page = await admin.see(OVERVIEW)
    assert "Forgotten" in text_of_card(page, "unused")
    assert "No policy allows everything" in text_of_card(page, "broad")
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        await insert_policy(
            change,
            ManagedPolicy(
                account=ACCOUNT,
                policy_id="ANPAWIDE",
                name="Wide",
                path="/",
                description=None,
                default_version=PolicyVersion(
                    version_id="v1",
                    document=f'{{"Statement":{statement}}}',
                    created_at=now,
                ),
                next_version=2,
                created_at=now,
                updated_at=now,
            ),
        )
    # What is kept of the account's policies is of its state before.
    broad = text_of_card(await admin.see(OVERVIEW), "broad")
    assert "Wide allows everything" in broad


async def test_certificates_that_end_are_counted_down(admin: Administrator) -> None:
    before = text_of_card(await admin.see(OVERVIEW), "ending")
    assert "No certificate or service credential ends" in before
    admin.world.clock.move(3600 * 24 * 365 * 50)
    again = await enter(admin.world)
    after = text_of_card(await again.see(OVERVIEW), "ending")
    assert "Corp, signing certificate" in after
    assert "ended" in after
