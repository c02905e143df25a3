"""People who leave a provider that tells nobody lose what they opened."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from lxml import etree, html
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import select, text

from broker.compose import app as composition
from broker.compose.resealing import count_sealed
from broker.errors import ExpiredToken
from broker.model.sealing import KeyKind
from broker.proofs.addresses import parse_internal_issuers
from broker.proofs.code_flow import CodeFlow
from broker.proofs.provider_health import watch_findings
from broker.proofs.provider_options import ProviderOptions
from broker.sessions.revoke import revoke_issued_before, revoke_person, revoke_session
from broker.sessions.vault import key_number
from broker.sessions.watched import WatchedSignIns
from broker.stores.directory.kinds import OIDC_PROVIDER
from broker.stores.oidc_sign_ins import OidcSignIns
from broker.stores.schema import OIDC_SIGN_INS
from tests.support.iam import rotate_keys
from tests.support.portal import Person, Terminal
from tests.support.signin import (
    ACCOUNT,
    SignInWorld,
    form_fields,
    open_world,
    role_arn,
)
from tests.support.token_endpoint import (
    CLIENT,
    PROVIDER_ID,
    Provider,
    serving_people,
    sign_in,
    trust_provider,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

PAUSE = 31


class Scene(Struct):
    world: SignInWorld
    provider: Provider

    async def ask(self, seconds: float = PAUSE) -> None:
        self.world.clock.move(seconds)
        await self.world.services.token_watch.ask()

    async def rows(self) -> list[Any]:
        return list(
            await self.world.services.stores.database.rows(select(OIDC_SIGN_INS))
        )

    async def console(self, name: str) -> httpx.AsyncClient:
        return await sign_in(self.world, self.provider, name)

    async def recorded(self, action: str) -> list[Any]:
        return [
            record
            for record in await self.world.audit()
            if record.action == f"broker:{action}"
        ]

    async def state(self) -> Any:
        return await self.world.services.oidc_sign_ins.state_of(
            PROVIDER_ID, self.world.clock.now()
        )


@asynccontextmanager
async def opened(
    folder: Path, options: dict[str, object] | None = None, **groups: list[str]
) -> AsyncIterator[Scene]:
    with serving_people(**groups) as provider:
        internal = parse_internal_issuers(provider.server.host_and_path)
        async with open_world(folder, internal_issuers=internal) as world:
            provider.now = world.clock.now
            await trust_provider(world, provider, **(options or {}))
            yield Scene(world, provider)


async def is_open(browser: httpx.AsyncClient) -> bool:
    return (await browser.get("/console/")).status_code == 200


class Terminals(Struct):
    """What a sign-in to the portal has led to."""

    browser: httpx.AsyncClient
    terminal: Terminal
    tokens: dict[str, Any]

    async def role(self, name: str = "Staff") -> httpx.Response:
        return await self.terminal.role(self.tokens["accessToken"], name)

    async def refresh(self) -> httpx.Response:
        return await self.terminal.token(
            "refresh_token", refreshToken=self.tokens["refreshToken"]
        )


async def to_portal(scene: Scene, name: str) -> Terminals:
    person = Person(scene.world)
    person.browser = await sign_in(
        scene.world, scene.provider, name, f"/portal/{ACCOUNT}"
    )
    terminal = await Terminal(scene.world).register()
    tokens = (await terminal.redeem(await person.code_for(terminal))).json()
    return Terminals(person.browser, terminal, tokens)


async def test_who_is_still_there_keeps_everything(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console, portal = await scene.console("ann"), await to_portal(scene, "ann")
        for _ in range(3):
            await scene.ask()
        assert len(scene.provider.refreshed) == 6
        assert len(set(scene.provider.refreshed)) == 6  # each was a new one
        assert await is_open(console)
        assert (await portal.role()).status_code == 200
        assert (await portal.refresh()).status_code == 200
        assert await scene.recorded("EndProviderSessions") == []


async def test_nobody_is_asked_more_often_than_the_operator_says(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, {"WatchSeconds": 60}, ann=["staff"]) as scene:
        await scene.console("ann")
        await scene.ask(31)
        assert scene.provider.refreshed == []
        await scene.ask(30)
        assert len(scene.provider.refreshed) == 1


async def test_who_leaves_loses_the_console_the_portal_and_what_came_from_them(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"], bob=["staff"]) as scene:
        stays = await scene.console("bob")
        console, portal = await scene.console("ann"), await to_portal(scene, "ann")
        taken = (await portal.role()).json()["roleCredentials"]
        del scene.provider.groups["ann"]
        await scene.ask()
        assert not await is_open(console)
        assert (await portal.browser.get(f"/portal/{ACCOUNT}")).status_code != 200
        assert (await portal.role()).status_code == 401
        assert (await portal.refresh()).json()["error"] == "invalid_grant"
        with pytest.raises(ExpiredToken):
            await scene.world.services.resolver.resolve(
                taken["accessKeyId"],
                taken["sessionToken"],
                scene.world.clock.now(),
            )
        assert await is_open(stays)
        (record,) = await scene.recorded("EndProviderSessions")
        assert record.parameters["Subject"] == "ann"
        assert record.parameters["Person"] is True
        assert [row.subject for row in await scene.rows()] == ["bob"]


async def test_one_sign_in_that_is_over_ends_no_other_of_the_person(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        over, stays = await scene.console("ann"), await scene.console("ann")
        scene.provider.grants[0].is_over = True
        await scene.ask()
        assert not await is_open(over)
        assert await is_open(stays)
        (record,) = await scene.recorded("EndProviderSessions")
        assert record.parameters["Person"] is False


async def test_a_person_who_left_may_come_back(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        scene.provider.grants[0].is_over = True
        await scene.ask()
        assert not await is_open(console)
        scene.world.clock.move(5)
        assert await is_open(await scene.console("ann"))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": "invalid_client"}),
        (401, {"error": "unauthorized_client"}),
        (403, {"error": "access_denied"}),
        (401, {"error": "invalid_grant"}),
        (400, {"error": "invalid_request", "error_description": "invalid_grant"}),
        (400, {"error": "invalid_scope"}),
        (400, {"error": ["invalid_grant"]}),
        (400, b'{"error": "other", "error": "invalid_grant"}'),
        (429, {"error": "slow_down"}),
        (500, {"error": "invalid_grant"}),
        (503, b"<html>invalid_grant</html>"),
        (200, {"error": "invalid_grant"}),
        (200, {"token_type": "Bearer"}),
        (200, b"garbage"),
        (200, b"[" * 100_000),
        (200, b"x" * 1_000_000),
        (302, {"error": "invalid_grant"}),
        (400, b""),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_no_other_answer_ends_anything(
    tmp_path: Path, status: int, body: dict[str, Any] | bytes
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        scene.provider.fails = lambda _token: (status, body, {})
        before = scene.world.clock.now()
        await scene.ask()
        await scene.ask(61)
        assert len(scene.provider.refreshed) == 2
        assert await is_open(console)
        state = await scene.state()
        assert before < state.failing_since < scene.world.clock.now()
        assert state.problem.startswith(str(status)) or len(body) > 100_000
        scene.provider.fails = lambda _token: None
        await scene.ask(61)
        assert (await scene.state()).failing_since is None
        assert await is_open(console)
        # It is asked as before: with the token that it knows.
        del scene.provider.groups["ann"]
        await scene.ask()
        assert not await is_open(console)


async def test_a_provider_that_is_away_ends_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        await scene.ask()
        scene.provider.server.down = True
        await scene.ask()
        assert await is_open(console)
        assert (await scene.state()).failing_since is not None
        scene.provider.server.down = False
        await scene.ask(61)
        assert await is_open(console)
        assert (await scene.state()).failing_since is None


async def test_a_refusal_after_a_lost_answer_is_no_evidence(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        scene.provider.loses_answers = True
        await scene.ask()
        scene.provider.loses_answers = False
        await scene.ask(61)
        assert len(scene.provider.refreshed) == 2
        assert await is_open(console)
        assert await scene.recorded("EndProviderSessions") == []
        # The provider cannot be asked about this sign-in any more; it counts as unasked
        # until it expires.
        await scene.ask()
        assert len(scene.provider.refreshed) == 2
        assert ((await scene.state()).asked, (await scene.state()).unasked) == (0, 1)
        # The next one is asked about, and with it all of the person's end.
        again = await scene.console("ann")
        del scene.provider.groups["ann"]
        await scene.ask()
        assert not await is_open(again)
        assert not await is_open(console)
        await scene.ask(3 * 3600)
        assert await scene.rows() == []


async def test_a_worker_that_died_with_a_token_under_way_leaves_a_doubt(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        scene.world.clock.move(PAUSE)
        sign_ins = scene.world.services.oidc_sign_ins
        (claimed,) = await sign_ins.claim(PROVIDER_ID, scene.world.clock.now())
        assert not claimed.is_doubtful
        scene.provider.grants[0].is_over = True
        await scene.ask(1)
        assert scene.provider.refreshed == []  # it is another's for now
        await scene.ask()
        assert len(scene.provider.refreshed) == 1
        assert await is_open(console)


async def test_workers_never_send_the_same_token(tmp_path: Path) -> None:
    names = {f"p{number}": ["staff"] for number in range(20)}
    async with opened(tmp_path, **names) as scene:
        browsers = []
        for name in names:
            browsers.append(await scene.console(name))
            scene.world.clock.move(1)  # so many may begin in a second
        scene.provider.pause_seconds = 0.05
        settings = scene.world.services.settings
        async with open_world_again(scene, settings) as other:
            for _ in range(2):
                scene.world.clock.move(PAUSE)
                await asyncio.gather(
                    *(
                        watch.ask()
                        for watch in (scene.world.services.token_watch, other) * 2
                    )
                )
                # Whoever found the provider taken asks again.
                await scene.world.services.token_watch.ask()
        sent = scene.provider.refreshed
        assert len(sent) == len(set(sent)) == 2 * len(names)
        assert 2 <= scene.provider.most_at_once <= 8
        assert all([await is_open(browser) for browser in browsers])


@asynccontextmanager
async def open_world_again(scene: Scene, settings: Any) -> AsyncIterator[Any]:
    """A second worker on the same database."""
    async with composition.open_services(settings, scene.world.clock) as services:
        yield services.token_watch


async def test_the_new_token_is_kept_before_anything_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing can be ended now, the next answer is evidence as this one was."""
    async with opened(tmp_path, ann=["staff"], bob=["staff"]) as scene:
        gone, stays = await scene.console("ann"), await scene.console("bob")
        del scene.provider.groups["ann"]
        directory = scene.world.services.stores.directory
        whole = directory.change

        def fails(*_: object) -> None:
            raise ConnectionResetError

        monkeypatch.setattr(directory, "change", fails)
        with pytest.raises(ConnectionResetError):
            await scene.ask()
        monkeypatch.setattr(directory, "change", whole)
        await scene.ask(1)
        assert not await is_open(gone)
        await scene.ask()
        assert await is_open(stays)
        sent = scene.provider.refreshed
        assert len(set(sent)) == len(sent) - 1  # only the refused one came twice


@pytest.mark.parametrize("header", ["120", "date"])
async def test_it_is_asked_when_it_wants_to_be(tmp_path: Path, header: str) -> None:
    async with opened(tmp_path, ann=["staff"], bob=["staff"]) as scene:
        await scene.console("ann")
        scene.world.clock.move(20)
        await scene.console("bob")
        if header == "date":
            header = format_datetime(
                datetime.now(UTC) + timedelta(seconds=120), usegmt=True
            )
        headers = {"retry-after": header}
        scene.provider.fails = lambda _token: (429, {}, headers)
        await scene.ask(11)
        assert len(scene.provider.refreshed) == 1
        await scene.ask(100)
        assert len(scene.provider.refreshed) == 1
        scene.provider.fails = lambda _token: None
        await scene.ask(21)
        assert len(scene.provider.refreshed) == 3


async def test_a_role_goes_with_its_group_and_all_its_sessions(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff", "admins"], bob=["admins"]) as scene:
        portal, console = await to_portal(scene, "ann"), await scene.console("bob")
        boss = (await portal.role("Boss")).json()["roleCredentials"]
        staff = (await portal.role()).json()["roleCredentials"]
        scene.provider.groups["ann"] = ["staff"]
        await scene.ask()
        resolve, now = scene.world.services.resolver.resolve, scene.world.clock.now()
        with pytest.raises(ExpiredToken):
            await resolve(boss["accessKeyId"], boss["sessionToken"], now)
        await resolve(staff["accessKeyId"], staff["sessionToken"], now)
        assert (await portal.role("Boss")).status_code == 403
        assert (await portal.role()).status_code == 200
        assert (await portal.refresh()).status_code == 200
        assert await is_open(console)
        (record,) = await scene.recorded("EndRoleSessions")
        assert [arn.rpartition("/")[2] for arn in record.parameters["RoleArns"]] == [
            "Boss"
        ]
        # Nothing more ends, and whoever gets the group again has the role again.
        await scene.ask()
        assert len(await scene.recorded("EndRoleSessions")) == 1
        scene.provider.groups["ann"] = ["staff", "admins"]
        await scene.ask()
        again = (await portal.role("Boss")).json()["roleCredentials"]
        now = scene.world.clock.now()
        await resolve(again["accessKeyId"], again["sessionToken"], now)
        with pytest.raises(ExpiredToken):
            await resolve(boss["accessKeyId"], boss["sessionToken"], now)


async def test_a_console_session_goes_with_its_group(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        scene.provider.groups["ann"] = []
        await scene.ask()
        assert not await is_open(console)


async def test_the_id_token_of_another_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"], bob=[]) as scene:
        console = await scene.console("ann")
        for claims in ({"sub": "bob"}, {"aud": "other"}, {"iss": "https://other"}):
            at = int(scene.world.clock.now().timestamp()) + PAUSE
            usual = {"sub": "ann", "aud": CLIENT, "iat": at, "exp": at + 300}
            forged = scene.provider.server.issuer.token(
                **{**usual, "groups": [], **claims}
            )
            tokens = {"access_token": "a", "id_token": forged}
            scene.provider.fails = lambda _token, tokens=tokens: (200, tokens, {})
            await scene.ask()
            assert await is_open(console)
        scene.provider.fails = lambda _token: None
        await scene.ask()
        assert await is_open(console)


async def test_the_token_is_revoked_at_sign_out(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        await scene.ask()
        await sign_out(console)
        await scene.ask(0)
        assert scene.provider.revoked == [scene.provider.grants[0].token]
        assert await scene.rows() == []


async def test_the_token_of_a_portal_sign_in_is_revoked_at_sign_out(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        portal = await to_portal(scene, "ann")
        out = await portal.terminal.ask("logout", portal.tokens["accessToken"])
        assert out.status_code == 200
        await scene.ask(0)
        assert scene.provider.revoked == [scene.provider.grants[0].token]
        assert await scene.rows() == []


async def test_who_signs_out_in_one_browser_stays_in_the_other(tmp_path: Path) -> None:
    """Some providers revoke all of a person's tokens with one."""
    async with opened(tmp_path, ann=["staff"]) as scene:
        first, second = await scene.console("ann"), await scene.console("ann")
        await sign_out(first)
        await scene.ask(0)
        await scene.ask()
        assert scene.provider.revoked == []
        assert await is_open(second)
        await sign_out(second)
        await scene.ask(0)
        assert scene.provider.revoked == [scene.provider.grants[1].token]
        await scene.ask(5 * 60)
        assert len(scene.provider.revoked) == 2
        assert await scene.rows() == []


async def test_who_signs_in_while_a_token_is_revoked_is_not_taken_for_a_leaver(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        await sign_out(await scene.console("ann"))
        again: list[httpx.AsyncClient] = []
        flow, revoke = scene.world.services.code_flow, CodeFlow.revoke

        async def revoke_late(*about: Any) -> bool:
            again.append(await scene.console("ann"))
            return await revoke(flow, *about)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(flow, "revoke", revoke_late)
            await scene.ask(0)
        await scene.ask()
        assert await is_open(again[0])


async def sign_out(browser: httpx.AsyncClient) -> None:
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    out = await browser.post(
        "/console/sign-out", data=fields, headers={"sec-fetch-site": "same-origin"}
    )
    assert out.status_code == 303


@pytest.mark.parametrize("target", ["person", "provider", "session"])
async def test_a_token_is_revoked_once_the_sign_in_was_ended_in_any_other_way(
    tmp_path: Path, target: str
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        ((sign_in,),) = [await scene.rows()]
        await end(scene, target, sign_in.access_key_id)
        assert not await is_open(console)
        await scene.ask()
        assert scene.provider.refreshed == []
        assert scene.provider.revoked == [scene.provider.grants[0].token]


async def end(scene: Scene, target: str, access_key_id: str) -> None:
    """As ``broker sessions revoke`` does."""
    now, issuer = scene.world.clock.now(), scene.provider.server.issuer.url
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        if target == "person":
            await revoke_person(
                change, account=ACCOUNT, issuers=(issuer,), subject="ann", now=now
            )
        elif target == "provider":
            arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{scene.provider.server.host_and_path}"
            await revoke_issued_before(change, account=ACCOUNT, target=arn, now=now)
        else:
            record = await scene.world.services.stores.cache.find_session(access_key_id)
            assert record is not None
            await revoke_session(change, record, now=now)


async def test_keys_copied_from_the_console_end_too(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        home = await console.get("/console/")
        shown = await console.post(
            "/console/credentials",
            data=form_fields(home, "/console/credentials"),
            headers={"sec-fetch-site": "same-origin"},
        )
        (bash,) = html.fromstring(shown.text).xpath("//pre[@id='bash']")
        keys = dict(re.findall(r"export (\w+)=(\S+)", bash.text_content()))
        copied = keys["AWS_ACCESS_KEY_ID"], keys["AWS_SESSION_TOKEN"]
        resolve = scene.world.services.resolver.resolve
        await resolve(*copied, scene.world.clock.now())
        del scene.provider.groups["ann"]
        await scene.ask()
        with pytest.raises(ExpiredToken):
            await resolve(*copied, scene.world.clock.now())


async def test_an_exchanged_tokens_session_ends_with_the_person(
    tmp_path: Path,
) -> None:
    """It came from no sign-in, but all sign-ins of the person say that they left."""
    async with opened(tmp_path, ann=["staff"]) as scene:
        await scene.console("ann")
        exchanged = await exchange(scene, "ann")
        resolve = scene.world.services.resolver.resolve
        await resolve(*exchanged, scene.world.clock.now())
        del scene.provider.groups["ann"]
        await scene.ask()
        with pytest.raises(ExpiredToken):
            await resolve(*exchanged, scene.world.clock.now())


async def test_an_id_token_from_before_a_role_was_lost_opens_it_no_more(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"], bob=["staff"]) as scene:
        for person in ("ann", "bob"):
            await scene.console(person)
        old = {person: id_token(scene, person) for person in ("ann", "bob")}
        scene.provider.groups["ann"] = []
        await scene.ask()
        assert (await present(scene, old["ann"])).status_code == 403
        assert (await present(scene, old["bob"])).status_code == 200
        scene.world.clock.move(5)
        assert (await present(scene, id_token(scene, "ann"))).status_code == 200


def id_token(scene: Scene, subject: str) -> str:
    """One that says the person is in the group."""
    at = int(scene.world.clock.now().timestamp())
    token: str = scene.provider.server.issuer.token(
        sub=subject, aud=CLIENT, iat=at, exp=at + 300, groups=["staff"]
    )
    return token


async def exchange(scene: Scene, subject: str) -> tuple[str, str]:
    """The session that a program gets for an ID token."""
    answer = await present(scene, id_token(scene, subject))
    assert answer.status_code == 200, answer.text
    parsed = etree.fromstring(answer.content)
    return tuple(  # type: ignore[return-value]
        parsed.findtext(f".//{{*}}{name}") for name in ("AccessKeyId", "SessionToken")
    )


async def present(scene: Scene, token: str) -> httpx.Response:
    """An ID token, at STS."""
    return await scene.world.browser().post(
        "/",
        data={
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role_arn("Staff"),
            "RoleSessionName": "job",
            "WebIdentityToken": token,
        },
    )


async def test_a_sign_in_that_opens_nothing_leaves_nothing_there(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["nothing"]) as scene:
        browser = scene.world.browser()
        sent = await browser.get(f"/signin/{ACCOUNT}/with/{PROVIDER_ID}")
        back = scene.provider.authorize(sent.headers["location"], "ann")
        assert (await browser.get(back)).status_code == 403
        await scene.ask(31 * 60)
        assert scene.provider.revoked == [scene.provider.grants[0].token]
        assert await scene.rows() == []


async def test_a_token_that_cannot_be_revoked_is_tried_for_a_while(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["nothing"]) as scene:
        browser = scene.world.browser()
        sent = await browser.get(f"/signin/{ACCOUNT}/with/{PROVIDER_ID}")
        await browser.get(scene.provider.authorize(sent.headers["location"], "ann"))
        scene.provider.server.down = True
        await scene.ask(31 * 60)
        assert len(await scene.rows()) == 1
        await scene.ask(16 * 60)
        assert await scene.rows() == []


async def test_without_a_refresh_token_it_is_said_that_nobody_is_asked(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        scene.provider.gives_tokens = False
        console = await scene.console("ann")
        assert (await scene.state()).unasked == 1
        assert not await count_sealed(scene.world.services.stores.directory)
        del scene.provider.groups["ann"]
        await scene.ask()
        assert scene.provider.refreshed == []
        assert await is_open(console)
        assert (await scene.state()).unasked == 1
        await scene.ask(3 * 3600)
        assert await scene.rows() == []


async def test_nothing_is_kept_unless_the_operator_wants_it(tmp_path: Path) -> None:
    options: dict[str, object] = {"Watch": "", "WatchSeconds": 300}
    async with opened(tmp_path, options, ann=["staff"]) as scene:
        browser = scene.world.browser()
        sent = await browser.get(f"/signin/{ACCOUNT}/with/{PROVIDER_ID}")
        assert "offline_access" not in sent.headers["location"]
        await scene.console("ann")
        assert await scene.rows() == []


async def test_a_watch_that_is_switched_off_gives_the_tokens_back(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        await change_options(scene, Watch="", WatchSeconds=300)
        await scene.ask()
        assert scene.provider.refreshed == []
        assert scene.provider.revoked == [scene.provider.grants[0].token]
        assert await is_open(console)


async def test_another_clients_token_is_evidence_of_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        await change_options(scene, ClientId="another")
        await scene.ask()
        assert scene.provider.refreshed == []
        assert await is_open(console)
        # It is told as long as the sign-in lasts.
        assert (await scene.state()).unasked == 1
        await scene.ask(3 * 3600)
        assert await scene.rows() == []


@pytest.mark.parametrize("unique_id", ["", "OIDCPNEW"])
async def test_a_provider_that_is_gone_is_forgotten(
    tmp_path: Path, unique_id: str
) -> None:
    """Nor is a token sent to one that has its name since."""
    async with opened(tmp_path, ann=["staff"]) as scene:
        console = await scene.console("ann")
        async with scene.world.services.stores.directory.change(ACCOUNT) as change:
            name = scene.provider.server.host_and_path
            provider = await change.named(OIDC_PROVIDER, ACCOUNT, name)
            assert provider is not None
            await change.remove(OIDC_PROVIDER, provider)
            if unique_id:
                new = replace(provider, unique_id=unique_id)
                await change.insert(OIDC_PROVIDER, new)
        await scene.ask()
        assert not await is_open(console)
        assert scene.provider.refreshed == scene.provider.revoked == []
        assert await scene.rows() == []


async def test_a_token_opens_in_no_other_row(tmp_path: Path) -> None:
    """Whoever may write to the database can have nobody asked with another's token."""
    async with opened(tmp_path, ann=["staff"], bob=["staff"]) as scene:
        await scene.console("ann")
        await scene.console("bob")
        for row in await scene.rows():
            assert scene.provider.grants[0].token.encode() not in row.sealed
        move = text(
            "UPDATE oidc_sign_ins SET sealed ="
            " (SELECT sealed FROM oidc_sign_ins WHERE subject = 'ann')"
        )
        await scene.world.services.stores.database.write(move)
        await scene.ask()
        assert len(scene.provider.refreshed) == 1
        assert {row.subject: bool(row.sealed) for row in await scene.rows()} == {
            "ann": True,
            "bob": False,
        }


async def change_options(scene: Scene, **options: object) -> None:
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        name = scene.provider.server.host_and_path
        provider = await change.named(OIDC_PROVIDER, ACCOUNT, name)
        assert provider is not None
        changed = replace(provider, options={**provider.options, **options})
        await change.update(OIDC_PROVIDER, changed)


async def test_a_token_is_sealed_again_after_a_rotation_and_still_opens(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, ann=["staff"], bob=["staff"]) as scene:
        for name in ("ann", "bob"):
            await scene.console(name)
        services = scene.world.services
        before = await scene.rows()
        old = {key_number(row.sealed) for row in before}
        watched = WatchedSignIns(
            OidcSignIns(services.stores.database), services.vault, services.clock
        )
        assert await watched.reseal() == 0
        await services.stores.database.write(
            OIDC_SIGN_INS.update()
            .where(OIDC_SIGN_INS.c.sign_in_id == before[0].sign_in_id)
            .values(sealed=before[1].sealed)
        )
        rotate_keys(services.vault._keyring, services.clock, KeyKind.STORAGE)
        scene.world.clock.move(120)
        # One row has another's, which does not open there: it is left as it is.
        assert await watched.reseal() == 1
        assert await watched.reseal() == 0
        mixed, again = await scene.rows()
        assert key_number(mixed.sealed) in old
        assert key_number(again.sealed) not in old
        await services.stores.database.write(
            OIDC_SIGN_INS.update()
            .where(OIDC_SIGN_INS.c.sign_in_id == before[0].sign_in_id)
            .values(sealed=before[0].sealed)
        )
        assert await watched.reseal() == 1
        await scene.ask()
        assert len(scene.provider.refreshed) == 2


async def test_the_pages_say_what_cannot_be_asked(tmp_path: Path) -> None:
    async with opened(tmp_path, ann=["staff"]) as scene:
        assert await findings(scene) == []
        await scene.console("ann")
        scene.provider.gives_tokens = False
        await scene.console("ann")
        (said,) = await findings(scene)
        assert "For 1 of 2 sign-ins there is no refresh token" in said
        scene.provider.fails = lambda _token: (401, {"error": "invalid_client"}, {})
        await scene.ask()
        failing, _ = await findings(scene)
        since = (await scene.state()).failing_since
        assert f"cannot be asked who has left since {since:%Y-%m-%d %H:%M}" in failing
        assert "401 invalid_client" in failing
        unasked = await scene.world.services.token_watch.find_unasked()
        assert unasked.keys() == {PROVIDER_ID}
        await change_options(scene, Watch="", WatchSeconds=300)
        (off,) = await findings(scene)
        assert "Who leaves it is noticed only if it tells" in off


async def findings(scene: Scene) -> list[str]:
    """What the provider's health says of leavers."""
    provider = await scene.world.services.stores.directory.named(
        OIDC_PROVIDER, ACCOUNT, scene.provider.server.host_and_path
    )
    assert provider is not None
    options = ProviderOptions.parse(provider.options)
    return [each.text for each in watch_findings(options, await scene.state())]
