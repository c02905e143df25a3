"""Logouts as a real browser takes part in them: frames, cookies, pages."""

import json
from datetime import timedelta

import pytest
from playwright.async_api import expect

from broker.compose import app as composition
from broker.console.console_session import SessionOrigin
from broker.console.context import ConsoleContext
from broker.model.entities import OidcProvider
from broker.model.session import SessionKind
from broker.proofs.code_flow import CodeFlow
from broker.stores.directory.kinds import OIDC_PROVIDER
from tests.support.browser import Scene
from tests.support.oidc_issuer import OidcIssuer
from tests.support.signin import ACCOUNT

SID = "the session at the provider"


async def register(scene: Scene) -> OidcProvider:
    """The provider whose pages the browser sees on another site."""
    issuer = OidcIssuer(f"http://localhost:{scene.idp.port}", audience="broker")
    provider = OidcProvider(
        account=ACCOUNT,
        unique_id="OIDCPAAAA",
        url=issuer.url,
        client_ids=("broker",),
        thumbprints=(),
        created_at=scene.world.clock.now(),
        options={"ClientId": "broker", "StaticJwks": json.dumps(issuer.jwks())},
    )
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(OIDC_PROVIDER, provider)
    return provider


async def cookie_of(
    scene: Scene, provider: OidcProvider, context: ConsoleContext
) -> str:
    """Of a console session that began at the provider."""
    minted = await scene.world.mint(SessionKind.WEB_IDENTITY)
    credentials = minted.credentials
    fields = {
        "provider_arn": provider.arn,
        "provider_id": provider.unique_id,
        "client_id": "broker",
        "subject": "alice",
        "session_id": SID,
        "issued_at": (scene.world.clock.now() - timedelta(seconds=5)).timestamp(),
        "can_end": True,
    }
    handle = await context.logins.open(
        fields, "the.id.token", credentials.access_key_id, credentials.expiration
    )
    return await context.sessions.open(
        credentials.access_key_id,
        credentials.session_token.reveal(),
        credentials.expiration,
        SessionOrigin(door="oidc", login=handle),
    )


async def test_a_frame_on_the_providers_site_ends_the_session(scene: Scene) -> None:
    """The browser sends our cookie into no foreign frame; the session id will do."""
    provider = await register(scene)
    context = ConsoleContext(composition.console_deps(scene.world.services, ()))
    cookie = await cookie_of(scene, provider, context)
    page = await scene.page()
    await page.context.add_cookies(
        [{"name": context.cookie.name, "value": cookie, "url": scene.origin}]
    )
    await page.goto(f"{scene.origin}/console/")
    await expect(page.locator("h1")).not_to_have_text("Your session has ended")
    await page.goto(f"http://localhost:{scene.idp.port}/logout")
    start = f"{scene.origin}/signin/{ACCOUNT}/with/{provider.unique_id}"
    async with page.expect_response("**/frontchannel-logout*") as answered:
        await page.evaluate(
            """([url, iss, sid]) => {
                const frame = document.createElement("iframe");
                frame.src = url + "?" + new URLSearchParams({iss, sid});
                document.body.append(frame);
            }""",
            [f"{start}/frontchannel-logout", provider.url, SID],
        )
    assert (await answered.value).status == 200
    await expect(page.frame_locator("iframe").locator("html")).to_have_count(1)
    await page.goto(f"{scene.origin}/console/")
    await expect(page.locator("h1")).to_have_text("Your session has ended")
    framing = [text for text in scene.complaints if "frame" in text.lower()]
    assert framing == []


@pytest.mark.parametrize("scripts", [True, False])
async def test_anyone_who_signs_out_may_sign_out_there_too(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, scripts: bool
) -> None:
    end = f"http://localhost:{scene.idp.port}/end"

    async def end_session(*_: object, token: str, **__: str) -> object:
        return end, {"id_token_hint": token}

    monkeypatch.setattr(CodeFlow, "end", end_session)
    provider = await register(scene)
    context = ConsoleContext(composition.console_deps(scene.world.services, ()))
    cookie = await cookie_of(scene, provider, context)
    page = await scene.page(scripts=scripts)
    await page.context.add_cookies(
        [{"name": context.cookie.name, "value": cookie, "url": scene.origin}]
    )
    await page.goto(f"{scene.origin}/console/")
    await page.click("#signout_button")
    await expect(page.locator("h1")).to_have_text("You are signed out")
    await expect(page.locator("main")).to_contain_text(
        f"You are still signed in at localhost:{scene.idp.port}"
    )
    await expect(page.locator("#sign_out_there")).to_contain_text("Also sign out of ")
    async with page.expect_request(end) as sent:
        await page.click("#sign_out_there")
        if not scripts:
            await page.click("main button")
    request = await sent.value
    assert (request.method, request.post_data) == ("POST", "id_token_hint=the.id.token")
    assert "referer" not in request.headers
    assert scene.complaints == []
