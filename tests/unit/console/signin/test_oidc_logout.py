"""Logouts that an OpenID Connect provider tells of, by either channel."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec import Struct
from msgspec.structs import asdict, replace

from broker.compose import app as composition
from broker.console.console_session import SessionOrigin
from broker.console.context import ConsoleContext
from broker.console.provider_logins import LOGINS_MAX, ProviderLogin
from broker.errors import AccessDenied, ExpiredToken
from broker.model.account import AccountId
from broker.model.entities import InlinePolicy, OidcProvider
from broker.model.session import SessionKind
from broker.protocols.oidc.logout import EVENT
from broker.sessions.issue import MintResult
from broker.sessions.lineage import descend
from broker.stores.directory.kinds import OIDC_PROVIDER, ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.oidc_issuer import OidcIssuer
from tests.support.signin import (
    ACCOUNT,
    COOKIE,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    text_of,
)
from tests.unit.console.signin.test_command_line import Terminal, allow, is_live

CLIENT = "broker"
ISSUER = OidcIssuer("https://idp.example/tenant", audience=CLIENT)
STRANGER = OidcIssuer("https://idp.example/tenant", audience=CLIENT)
STRANGER.add_key("key-1", number=5)


class Scene(Struct):
    world: SignInWorld
    context: ConsoleContext

    async def register(
        self, account: AccountId = ACCOUNT, issuer: OidcIssuer = ISSUER
    ) -> OidcProvider:
        provider = OidcProvider(
            account=account,
            unique_id=f"OIDCP{account}AAAA",
            url=issuer.url,
            client_ids=(CLIENT, "app"),
            thumbprints=(),
            created_at=self.world.clock.now(),
            options={"ClientId": CLIENT, "StaticJwks": issuer.jwks()},
        )
        async with self.world.services.stores.directory.change(account) as change:
            await change.insert(OIDC_PROVIDER, provider)
        return provider

    def login(self, provider: OidcProvider, **changed: Any) -> ProviderLogin:
        usual = ProviderLogin(
            provider_arn=provider.arn,
            provider_id=provider.unique_id,
            client_id=CLIENT,
            subject="alice",
            session_id=uuid.uuid4().hex,
            issued_at=self.world.clock.now().timestamp() - 5,
            can_end=False,
            token="the.id.token",
        )
        return replace(usual, **changed)

    async def sign_in(self, login: ProviderLogin) -> tuple[Any, MintResult]:
        """A browser with a console session from this login."""
        minted = await self.world.mint(SessionKind.WEB_IDENTITY)
        credentials = minted.credentials
        fields = asdict(login)
        handle = await self.context.logins.open(
            fields,
            fields.pop("token"),
            credentials.access_key_id,
            credentials.expiration,
        )
        cookie = await self.context.sessions.open(
            credentials.access_key_id,
            credentials.session_token.reveal(),
            credentials.expiration,
            SessionOrigin(door="oidc", login=handle),
        )
        return self.world.browser(cookies={COOKIE: cookie}), minted


@pytest.fixture
def scene(world: SignInWorld) -> Scene:
    return Scene(world, ConsoleContext(composition.console_deps(world.services, ())))


def logout_token(issuer: OidcIssuer = ISSUER, **claims: Any) -> str:
    """A token about ``sid``, or about ``sub`` when there is none."""
    drop = () if "sub" in claims else ("sub",)
    now = int(time.time())
    params = {"jti": uuid.uuid4().hex, "events": {EVENT: {}}, "exp": now + 120}
    return issuer.token(header={"typ": "logout+jwt"}, drop=drop, **{**params, **claims})


def channel(provider: OidcProvider, which: str) -> str:
    return f"/signin/{provider.account}/with/{provider.unique_id}/{which}channel-logout"


async def tell(scene: Scene, provider: OidcProvider, token: str) -> Any:
    return await scene.world.browser().post(
        channel(provider, "back"), data={"logout_token": token}
    )


async def is_in(browser: Any) -> bool:
    page = await browser.get("/console/")
    assert page.status_code in {200, 403}, page.text
    return bool(page.status_code == 200)


async def listed(scene: Scene, minted: MintResult) -> None:
    """Wait until the cache knows the session."""
    cache = scene.world.services.stores.cache
    key = minted.credentials.access_key_id
    async with asyncio.timeout(5):
        while await cache.find_session(key) is None:  # noqa: ASYNC110  # written in the background
            await asyncio.sleep(0.01)


async def works(scene: Scene, minted: MintResult) -> bool:
    credentials = minted.credentials
    try:
        await scene.world.services.resolver.resolve(
            credentials.access_key_id,
            credentials.session_token.reveal(),
            datetime.now(UTC),
        )
    except ExpiredToken:
        return False
    return True


async def test_the_provider_ends_one_session_and_what_was_made_from_it(
    scene: Scene,
) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, minted = await scene.sign_in(login)
    child = await scene.world.mint(
        SessionKind.WEB_IDENTITY, lineage=descend(minted.session)
    )
    grandchild = await scene.world.mint(
        SessionKind.WEB_IDENTITY, lineage=descend(child.session)
    )
    for made in (child, grandchild):
        await listed(scene, made)
    other, stranger = await scene.sign_in(scene.login(provider))
    assert await is_in(browser)
    answer = await tell(scene, provider, logout_token(sid=login.session_id))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not await is_in(browser)
    assert await is_in(other)
    assert not await works(scene, minted)
    assert not await works(scene, child)
    assert not await works(scene, grandchild)
    assert await works(scene, stranger)
    record = await scene.world.recorded("signin:EndConsoleSessions")
    assert record.caller_arn == provider.arn
    assert record.parameters["AccessKeyIds"] == [minted.credentials.access_key_id]


async def test_a_subject_alone_ends_what_was_vouched_for_until_then(
    scene: Scene,
) -> None:
    provider = await scene.register()
    now = scene.world.clock.now().timestamp()
    ended = [await scene.sign_in(scene.login(provider)) for _ in range(3)]
    later, _ = await scene.sign_in(scene.login(provider, issued_at=now + 30))
    other, _ = await scene.sign_in(scene.login(provider, subject="bob"))
    app, _ = await scene.sign_in(scene.login(provider, client_id="app"))
    answer = await tell(scene, provider, logout_token(sub="alice"))
    assert answer.status_code == 200
    assert [await is_in(browser) for browser, _ in ended] == [False] * 3
    assert [await is_in(browser) for browser in (later, other, app)] == [True] * 3


async def test_a_session_that_is_another_persons_is_left_alone(scene: Scene) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    token = logout_token(sid=login.session_id, sub="bob")
    assert (await tell(scene, provider, token)).status_code == 200
    assert await is_in(browser)


async def test_the_answer_does_not_tell_whether_there_was_a_session(
    scene: Scene,
) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    await scene.sign_in(login)
    known = await tell(scene, provider, logout_token(sid=login.session_id))
    again = await tell(scene, provider, logout_token(sid=login.session_id))
    never = await tell(scene, provider, logout_token(sid="never-was"))
    view = {
        (a.status_code, a.content, a.headers["cache-control"])
        for a in (known, again, never)
    }
    assert view == {(200, b"", "no-store")}


async def details(scene: Scene) -> set[str]:
    return {record.detail for record in await scene.world.audit()}


async def test_a_logout_token_is_good_once(scene: Scene) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    token = logout_token(sid=login.session_id)
    assert (await tell(scene, provider, token)).status_code == 200
    assert (await tell(scene, provider, token)).status_code == 400
    assert not await is_in(browser)
    async with asyncio.timeout(5):
        while "The logout token was already used." not in await details(scene):  # noqa: ASYNC110  # the record is written in the background
            await asyncio.sleep(0.02)


BAD: dict[str, Callable[[str], str]] = {
    "another's key": lambda sid: logout_token(STRANGER, sid=sid),
    "no token": lambda _: "",
    "an ID token": lambda sid: ISSUER.token(sid=sid),
    "another client": lambda sid: logout_token(sid=sid, aud="app"),
    "a nonce": lambda sid: logout_token(sid=sid, nonce="n"),
    "too old": lambda sid: logout_token(sid=sid, iat=1000, exp=1100),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_malformed_logout_token_ends_nothing(scene: Scene, case: str) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    answer = await tell(scene, provider, BAD[case](login.session_id))
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_request"}
    assert await is_in(browser)


async def test_no_provider_ends_another_accounts_sessions(scene: Scene) -> None:
    """The same issuer and keys in two accounts: still two providers."""
    provider, two = await scene.register(), await scene.register(OTHER)
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    token = logout_token(sid=login.session_id, sub="alice")
    assert (await tell(scene, two, token)).status_code == 200
    assert await is_in(browser)
    wrong = f"/signin/{OTHER}/with/{provider.unique_id}/backchannel-logout"
    answer = await scene.world.browser().post(wrong, data={"logout_token": token})
    assert answer.status_code == 400


async def test_a_sign_in_on_its_way_does_not_outlive_the_logout(scene: Scene) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    await tell(scene, provider, logout_token(sid=login.session_id))
    with pytest.raises(AccessDenied):
        await scene.sign_in(login)
    await tell(scene, provider, logout_token(sub="alice"))
    await tell(scene, provider, logout_token(sub="alice"))
    with pytest.raises(AccessDenied):
        await scene.sign_in(scene.login(provider))
    later = scene.world.clock.now().timestamp() + 2
    browser, _ = await scene.sign_in(scene.login(provider, issued_at=later))
    assert await is_in(browser)


async def test_one_more_sign_in_than_there_may_be_ends_the_oldest(scene: Scene) -> None:
    provider = await scene.register()
    now = scene.world.clock.now().timestamp()
    browsers = [
        (await scene.sign_in(scene.login(provider, issued_at=now - 100 + number)))[0]
        for number in range(LOGINS_MAX + 1)
    ]
    assert [await is_in(browser) for browser in browsers] == [False] + [
        True
    ] * LOGINS_MAX
    await tell(scene, provider, logout_token(sub="alice"))
    assert [await is_in(browser) for browser in browsers] == [False] * len(browsers)


async def test_without_the_cache_the_provider_is_told_to_come_again(
    scene: Scene,
) -> None:
    provider = await scene.register()
    await scene.world.services.stores.cache.close()
    answer = await tell(scene, provider, logout_token(sid="s"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


async def test_a_frame_of_the_providers_page_ends_the_session_it_names(
    scene: Scene,
) -> None:
    """Without a cookie: browsers send none into a foreign site's frame."""
    provider = await scene.register()
    login = scene.login(provider)
    browser, minted = await scene.sign_in(login)
    query = {"iss": provider.url, "sid": login.session_id}
    path = channel(provider, "front")
    page = await scene.world.browser().get(path, params=query)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy == "default-src 'none'; frame-ancestors https://idp.example"
    assert not await is_in(browser)
    assert await works(scene, minted)  # nothing was proved: no more than signing out
    assert (await scene.world.recorded("signin:FrontChannelLogout")).caller_arn == (
        provider.arn
    )
    again = await scene.world.browser().get(path, params={**query, "sid": "never"})
    assert (again.status_code, again.text) == (page.status_code, page.text)


@pytest.mark.parametrize(
    "query",
    [
        {"sid": "{sid}"},
        {"iss": "{iss}"},
        {"iss": "https://idp.example", "sid": "{sid}"},
        {"iss": "{iss}", "sid": "other"},
    ],
)
async def test_a_frame_that_does_not_fit_ends_nothing(
    scene: Scene, query: dict[str, str]
) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    params = {
        name: value.format(iss=provider.url, sid=login.session_id)
        for name, value in query.items()
    }
    page = await browser.get(channel(provider, "front"), params=params)
    assert page.status_code == 200
    assert await is_in(browser)


async def test_a_frame_that_names_nothing_ends_the_browsers_own_session(
    scene: Scene,
) -> None:
    provider = await scene.register()
    browser, _ = await scene.sign_in(scene.login(provider))
    page = await browser.get(channel(provider, "front"))
    assert page.headers["set-cookie"].startswith(f'{COOKIE}=""')
    assert not await is_in(browser)
    saml = scene.world.browser()
    await scene.world.sign_in(saml)
    await saml.get(channel(provider, "front"))
    assert await is_in(saml)


async def test_a_frame_after_the_end_says_nothing_and_leaves_no_record(
    scene: Scene,
) -> None:
    provider = await scene.register()
    browser, _ = await scene.sign_in(scene.login(provider))
    await browser.get(channel(provider, "front"))
    assert (await scene.world.recorded("signin:FrontChannelLogout")).account == ACCOUNT
    cookie = dict(browser.cookies)
    browser, _ = await scene.sign_in(scene.login(provider))
    await scene.world.browser().get(
        channel(provider, "front"), params={"iss": provider.url, "sid": "unknown"}
    )
    ended = scene.world.browser(cookies=cookie)
    assert (await ended.get(channel(provider, "front"))).status_code == 200
    records = [each.action for each in await scene.world.audit()]
    assert records.count("signin:FrontChannelLogout") == 1
    assert await is_in(browser)


async def test_a_page_that_is_only_prefetched_ends_nothing(scene: Scene) -> None:
    provider = await scene.register()
    browser, _ = await scene.sign_in(scene.login(provider))
    early = {"sec-purpose": "prefetch"}
    for path in (channel(provider, "front"), "/signin/sign-out-there?handle=x"):
        assert (await browser.get(path, headers=early)).status_code == 503
    assert await is_in(browser)


async def test_a_frame_of_another_provider_leaves_the_browsers_session_alone(
    scene: Scene,
) -> None:
    mine = await scene.register()
    other = await scene.register(OTHER)
    browser, _ = await scene.sign_in(scene.login(mine))
    await browser.get(channel(other, "front"))
    assert await is_in(browser)


async def test_only_openid_connect_providers_have_channels(scene: Scene) -> None:
    saml = f"/signin/{ACCOUNT}/with/SAMLSP{ACCOUNT}AAAA"
    browser = scene.world.browser()
    back = await browser.post(f"{saml}/backchannel-logout", data={"logout_token": "x"})
    assert (back.status_code, back.json()) == (400, {"error": "invalid_request"})
    assert (await browser.get(f"{saml}/frontchannel-logout")).status_code == 404


async def test_a_role_that_was_switched_to_ends_with_the_sign_in(scene: Scene) -> None:
    provider = await scene.register()
    await let_switch(scene)
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    answer = await browser.post(
        "/console/switch",
        data={**fields, "role": "Admin"},
        headers={"sec-fetch-site": "same-origin"},
    )
    cookie = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    switched = scene.world.browser(cookies={COOKIE: cookie})
    assert "assumed-role/Admin/" in text_of(await switched.get("/console/"))
    query = {"iss": provider.url, "sid": login.session_id}
    await scene.world.browser().get(channel(provider, "front"), params=query)
    assert not await is_in(switched)


async def test_a_terminals_login_ends_with_a_logout_in_the_same_browser(
    scene: Scene,
) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    terminal = Terminal(scene.world, scene.world.browser())
    answer = await allow(terminal, browser)
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    gave = (await terminal.redeem(code)).json()
    assert await is_live(scene.world, gave)
    query = {"iss": provider.url, "sid": login.session_id}
    await browser.get(channel(provider, "front"), params=query)
    assert not await is_in(browser)
    assert not await is_live(scene.world, gave)
    assert (await terminal.renew(gave["refreshToken"])).status_code == 401


async def let_switch(scene: Scene) -> None:
    """From Reader to Admin."""
    fresh = scene.world.services.fresh
    reader = await fresh.named(ROLE, ACCOUNT, "Reader")
    admin = await fresh.named(ROLE, ACCOUNT, "Admin")
    assert reader is not None
    assert admin is not None
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    trusts = {**may, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    del trusts["Resource"]
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=reader.role_id,
                name="Switch",
                document=json.dumps({"Version": "2012-10-17", "Statement": may}),
            ),
        )
        document = json.dumps({"Version": "2012-10-17", "Statement": trusts})
        await change.update(ROLE, replace(admin, trust_policy=document))


async def test_the_providers_page_says_what_to_register_there(scene: Scene) -> None:
    provider = await scene.register()
    reader = await scene.world.services.fresh.named(ROLE, ACCOUNT, "Reader")
    assert reader is not None
    may = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=reader.role_id,
                name="All",
                document=json.dumps({"Version": "2012-10-17", "Statement": may}),
            ),
        )
    browser = scene.world.browser()
    await scene.world.sign_in(browser)
    page = await browser.get(
        "/console/providers/provider", params={"arn": provider.arn}
    )
    assert page.status_code == 200
    for path in (
        *(channel(provider, "back"), channel(provider, "front")),
        *("/signin/signed-out", "/signin/oidc/callback"),
    ):
        assert f">{ORIGIN}{path}<" in page.text


async def test_a_session_that_is_replaced_makes_room(scene: Scene) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    asked = await scene.world.sign_in(browser)
    fields = form_fields(asked, "/signin/continue")
    answer = await browser.post(
        "/signin/continue", data=fields, headers={"origin": ORIGIN}
    )
    assert COOKIE in answer.cookies
    assert not await scene.context.logins.find(
        provider.unique_id, CLIENT, session_id=login.session_id, subject=None, until=0
    )


async def test_signing_out_offers_the_providers_own_way_out(scene: Scene) -> None:
    provider = await scene.register()
    browser, _ = await scene.sign_in(scene.login(provider, can_end=True))
    left = await browser.get("/federation", params={"Action": "logout"})
    page = await browser.get(left.headers["location"])
    assert "You are still signed in at idp.example/tenant" in text_of(page)
    without, _ = await scene.sign_in(scene.login(provider))
    left = await without.get("/federation", params={"Action": "logout"})
    assert left.headers["location"] == "/signin/signed-out"


async def test_the_way_out_is_of_the_browser_that_signed_out(scene: Scene) -> None:
    """It leads to a form with the person's ID token."""
    provider = await scene.register()
    browser, _ = await scene.sign_in(scene.login(provider, can_end=True))
    left = await browser.get("/federation", params={"Action": "logout"})
    shown = left.headers["location"]
    handle = parse_qs(urlsplit(shown).query)["there"][0]
    path = f"/signin/sign-out-there?handle={handle}"
    other, _ = await scene.sign_in(scene.login(provider))
    for stranger in (other, scene.world.browser()):
        assert "still signed in" not in (await stranger.get(shown)).text
        refused = await stranger.get(path)
        assert (refused.status_code, "the.id.token" in refused.text) == (400, False)
        assert "link has expired" in text_of(refused)
    assert await is_in(other)
    # Its own gets as far as the provider, which no one can reach here.
    assert "cannot be reached" in text_of(await browser.get(path))


@pytest.mark.parametrize("unique_id", ["", "OIDCPNEW"])
async def test_the_way_out_is_of_the_provider_that_vouched(
    scene: Scene, unique_id: str
) -> None:
    """Not of one that has its name since."""
    provider = await scene.register()
    browser, _ = await scene.sign_in(scene.login(provider, can_end=True))
    left = await browser.get("/federation", params={"Action": "logout"})
    handle = parse_qs(urlsplit(left.headers["location"]).query)["there"][0]
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        await change.remove(OIDC_PROVIDER, provider)
        if unique_id:
            await change.insert(OIDC_PROVIDER, replace(provider, unique_id=unique_id))
    out = await browser.get("/signin/sign-out-there", params={"handle": handle})
    assert (out.status_code, "link has expired" in text_of(out)) == (400, True)


@pytest.mark.parametrize("handle", ["", "x", "A" * 43, "A" * 500])
async def test_a_made_up_way_out_leads_nowhere(scene: Scene, handle: str) -> None:
    browser = scene.world.browser()
    page = await browser.get("/signin/signed-out", params={"there": handle})
    assert page.status_code == 200
    assert "still signed in" not in page.text
    out = await browser.get("/signin/sign-out-there", params={"handle": handle})
    assert out.status_code == 400


async def test_signing_out_makes_room(scene: Scene) -> None:
    provider = await scene.register()
    first, _ = await scene.sign_in(scene.login(provider, issued_at=1.0))
    for _ in range(LOGINS_MAX + 2):
        browser, _ = await scene.sign_in(scene.login(provider))
        await browser.get("/federation", params={"Action": "logout"})
    assert await is_in(first)
