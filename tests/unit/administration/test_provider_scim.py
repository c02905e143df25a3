"""A provider's SCIM page: switched on, given tokens, watched."""

from typing import Any

import pytest
from lxml import html

from tests.support.administrator import Administrator, enter, grant
from tests.support.scim import InProcess, open_directory, set_options
from tests.support.signin import ACCOUNT, ORIGIN, SignInWorld, provider_arn, text_of

ARN = provider_arn()
PATH = "/console/providers/scim"
FORM = f"{PATH}?arn=arn%3Aaws%3Aiam%3A%3A{ACCOUNT}%3Asaml-provider/Corp#secret"


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "*")
    return await enter(world)


async def make_token(admin: Administrator, **typed: str) -> Any:
    page = await admin.see(PATH, arn=ARN)
    return await admin.send(page, FORM, do="make-token", **typed)


def shown_token(page: Any) -> str:
    (token,) = html.fromstring(page.text).xpath("//pre[@id='token']//text()")
    return str(token)


async def test_it_is_off_until_the_option_is_set(
    world: SignInWorld, admin: Administrator
) -> None:
    page = await admin.see(PATH, arn=ARN)
    text = text_of(page)
    assert "SCIMoff" in text.replace(" ", "")
    assert f"broker providers set {ARN} ScimSubject=userName" in text
    assert f"{ORIGIN}/scim/v2/{ACCOUNT}" in text
    assert "New token" not in text
    await set_options(world, ScimSubject="userName")
    text = text_of(await admin.see(PATH, arn=ARN))
    assert "SCIMon" in text.replace(" ", "")
    assert "userName and the NameID Groups" in text
    assert "no one can sign in with this provider" in text


async def test_a_token_is_made_used_and_revoked(
    world: SignInWorld, admin: Administrator
) -> None:
    await set_options(world, ScimSubject="userName")
    made = await make_token(admin, days="30", addresses="127.0.0.0/8")
    assert made.status_code == 200, text_of(made)
    token = shown_token(made)
    record = await world.recorded("broker:CreateScimToken")
    assert record.parameters["ProviderArn"] == ARN
    corp = InProcess(world, ACCOUNT, token)
    await corp.user("Alice", externalId="e-7")
    page = await admin.see(PATH, arn=ARN)
    assert token not in page.text
    assert "127.0.0.0/8" in page.text
    (token_id,) = html.fromstring(page.text).xpath(
        "//section[@id='tokens']//tbody//th//text()"
    )
    await admin.do(page, FORM.removesuffix("#secret"), do="revoke", token=token_id)
    assert (await corp.send("GET", "/Users")).status_code == 401
    for days in ("0", "400", "many"):
        refused = await make_token(admin, days=days)
        assert refused.status_code == 400
        assert "days" in text_of(refused).lower()
    assert token not in str(await world.audit())


async def test_people_and_groups_are_shown(
    world: SignInWorld, admin: Administrator
) -> None:
    corp = await open_directory(world, ScimUnknown="allow")
    world.clock.stop()
    for number in range(52):
        world.clock.move(1)
        await corp.user(f"person-{number:02d}", active=number != 7)
    admins = await corp.group("Admins", externalId="g-1")
    match = (await corp.send("GET", '/Users?filter=userName eq "person-07"')).json()
    member = match["Resources"][0]["id"]
    await corp.patch(
        f"/Groups/{admins}",
        {"op": "add", "path": "members", "value": [{"value": member}]},
    )

    async def people(**query: str) -> list[str]:
        page = await admin.see(PATH, arn=ARN, **query)
        return [
            str(cell)
            for cell in html.fromstring(page.text).xpath(
                "//section[@id='people']//tbody//th//text()"
            )
        ]

    first = await people()
    assert (first[0], len(first)) == ("person-00", 50)
    assert await people(page="2") == ["person-50", "person-51"]
    assert await people(state="inactive") == ["person-07"]
    assert await people(q="PERSON-03") == ["person-03"]
    assert await people(q="person") == []
    text = text_of(await admin.see(PATH, arn=ARN, state="inactive"))
    assert "52, 1 inactive" in text
    assert "person-07 inactive None Admins" in text
    assert "g-1" in text


async def test_permissions(world: SignInWorld) -> None:
    await set_options(world, ScimSubject="userName", ScimUnknown="allow")
    await grant(world, "iam:*")
    admin = await enter(world)
    refused = await admin.browser.get(PATH, params={"arn": ARN})
    assert refused.status_code == 403
    await grant(world, "broker:ListScimUsers")
    admin = await enter(world)
    page = await admin.see(PATH, arn=ARN)
    assert "broker:ListScimTokens" in text_of(page)
