"""People who leave a real slapd lose what they opened."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec import Struct
from msgspec.structs import replace

from broker.errors import ExpiredToken
from broker.model.entities import LdapProvider
from broker.proofs.ldap.people import LdapPeople
from broker.stores.directory.kinds import LDAP_PROVIDER
from broker.stores.ldap_sign_ins import LdapSignIn, LdapSignIns
from tests.support.directory_world import (
    PROVIDER,
    PROVIDER_ID,
    describe,
    directory_world,
    send_password,
    sign_in,
    trust_directory,
)
from tests.support.portal import Person, Terminal
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    form_fields,
    role_arn,
    text_of,
)
from tests.support.slapd import Slapd, dn_of, group, person, start_slapd

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

MINUTE = 60
NAMES = ("disabled", "deleted", "expired", "locked", "stays", "moved", "away")


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        *map(person, NAMES),
        group("staff", *map(dn_of, NAMES)),
        group("others", dn_of("moved")),
    ) as server:
        yield server


class Signed(Struct):
    """What one person has opened: the console, the portal, a terminal."""

    console: httpx.AsyncClient
    portal: httpx.AsyncClient
    terminal: Terminal
    tokens: dict[str, Any]

    async def role(self) -> httpx.Response:
        return await self.terminal.role(self.tokens["accessToken"], "Staff")

    async def refresh(self) -> httpx.Response:
        answer = await self.terminal.token(
            "refresh_token", refreshToken=self.tokens["refreshToken"]
        )
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer


@asynccontextmanager
async def opened(
    slapd: Slapd,
    folder: Path,
    *names: str,
    directory: Mapping[str, Any] | None = None,
    **others: Mapping[str, Any],
) -> AsyncIterator[tuple[SignInWorld, dict[str, Signed]]]:
    groups = {"staff": ["Staff"], "others": ["Other"]}
    async with directory_world(
        folder, slapd, groups, others=others, **(directory or {})
    ) as world:
        results = {}
        for name in names:
            console = world.browser()
            await _to_console(console, name)
            someone = Person(world)
            sent = await send_password(
                someone.browser, name, destination=f"/portal/{ACCOUNT}"
            )
            assert sent.status_code == 303, text_of(sent)
            arrived = await someone.browser.get(sent.headers["location"])
            assert arrived.headers["location"] == f"/portal/{ACCOUNT}", arrived.text
            terminal = await Terminal(world).register()
            code = await someone.code_for(terminal)
            tokens = (await terminal.redeem(code)).json()
            results[name] = Signed(console, someone.browser, terminal, tokens)
        yield world, results


async def _to_console(browser: httpx.AsyncClient, name: str) -> None:
    if name != "moved":
        assert "Staff" in await sign_in(browser, name)


async def is_open(signed: Signed) -> bool:
    page = await signed.console.get("/console/")
    return page.status_code == 200


def leave(slapd: Slapd, name: str) -> None:
    dn = dn_of(name)
    match name:
        case "disabled":
            slapd.modify(
                dn, "add: pwdAccountLockedTime", "pwdAccountLockedTime: 000001010000Z"
            )
        case "deleted":
            slapd.delete(dn)
        case "expired":
            slapd.modify(dn, "add: shadowExpire", "shadowExpire: 1")


@pytest.mark.parametrize("name", ["disabled", "deleted", "expired"])
async def test_who_leaves_loses_everything_within_a_minute(
    slapd: Slapd, tmp_path: Path, name: str
) -> None:
    async with opened(slapd, tmp_path, name, "stays") as (world, people):
        gone, stays = people[name], people["stays"]
        taken = (await gone.role()).json()["roleCredentials"]
        leave(slapd, name)
        # Nothing new from now on, before anybody was polled.
        assert (await gone.role()).status_code == 401
        assert (await gone.refresh()).json()["error"] == "invalid_grant"
        assert await is_open(gone)
        world.clock.move(MINUTE)
        assert not await world.services.leavers.ask()
        assert not await is_open(gone)
        with pytest.raises(ExpiredToken):
            await world.services.resolver.resolve(
                taken["accessKeyId"], taken["sessionToken"], world.clock.now()
            )
        record = await world.recorded("broker:EndDirectorySessions")
        assert record.resources == (PROVIDER,)
        assert await is_open(stays)
        assert (await stays.role()).status_code == 200
        assert (await stays.refresh()).status_code == 200
        # Once is enough: nobody is asked about who is gone.
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        ends = [
            entry
            for entry in await world.audit()
            if entry.action == "broker:EndDirectorySessions"
        ]
        assert len(ends) == 1


STAFF_ONLY = {"Filter": "(&(objectClass=person)(uid={username})(title=staff))"}


async def test_who_no_longer_matches_the_filter_loses_everything(
    slapd: Slapd, tmp_path: Path
) -> None:
    for name in ("away", "stays"):
        slapd.modify(dn_of(name), "add: title", "title: staff")
    async with opened(slapd, tmp_path, "away", "stays", directory=STAFF_ONLY) as (
        world,
        people,
    ):
        gone, stays = people["away"], people["stays"]
        taken = (await gone.role()).json()["roleCredentials"]
        slapd.modify(dn_of("away"), "delete: title")
        assert (await gone.role()).status_code == 401
        assert (await gone.refresh()).json()["error"] == "invalid_grant"
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        assert not await is_open(gone)
        with pytest.raises(ExpiredToken):
            await world.services.resolver.resolve(
                taken["accessKeyId"], taken["sessionToken"], world.clock.now()
            )
        assert await is_open(stays)
        assert (await stays.role()).status_code == 200


async def test_who_loses_a_group_loses_the_sessions_of_its_roles(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with opened(slapd, tmp_path, "moved", "stays") as (world, people):
        moved = people["moved"]
        staff, other = [
            (await moved.terminal.role(moved.tokens["accessToken"], name)).json()[
                "roleCredentials"
            ]
            for name in ("Staff", "Other")
        ]
        leave_group(slapd, "moved")
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        resolve, now = world.services.resolver.resolve, world.clock.now()
        with pytest.raises(ExpiredToken):
            await resolve(staff["accessKeyId"], staff["sessionToken"], now)
        await resolve(other["accessKeyId"], other["sessionToken"], now)
        record = await world.recorded("broker:EndRoleSessions")
        assert record.parameters["RoleArns"] == [role_arn("Staff")]
        assert await is_open(people["stays"])
        assert (await moved.refresh()).status_code == 200
        # Once is enough.
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        actions = [entry.action for entry in await world.audit()]
        assert actions.count("broker:EndRoleSessions") == 1


async def test_a_role_that_was_lost_is_not_renewed(
    slapd: Slapd, tmp_path: Path
) -> None:
    """Nor is the console session that has it, before anybody asked."""
    async with opened(slapd, tmp_path, "away") as (world, people):
        console = people["away"].console
        assert (await copy_keys(console)).status_code == 200
        leave_group(slapd, "away")
        assert (await copy_keys(console)).status_code == 403
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        assert not await is_open(people["away"])


async def copy_keys(browser: httpx.AsyncClient) -> httpx.Response:
    fields = form_fields(await browser.get("/console/"), "/console/credentials")
    same = {"sec-fetch-site": "same-origin"}
    return await browser.post("/console/credentials", data=fields, headers=same)


def leave_group(slapd: Slapd, name: str) -> None:
    groups = dn_of("x").partition(",")[2].replace("people", "groups")
    slapd.modify(f"cn=staff,{groups}", "delete: member", f"member: {dn_of(name)}")


async def test_wrong_passwords_of_a_stranger_end_nothing_that_runs(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with opened(slapd, tmp_path, "locked") as (world, people):
        signed = people["locked"]
        taken = (await signed.role()).json()["roleCredentials"]
        slapd.lock("locked")
        refused = await send_password(world.browser(), "locked")
        assert refused.status_code == 403
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        assert await is_open(signed)
        assert (await signed.role()).status_code == 200
        assert (await signed.refresh()).status_code == 200
        await world.services.resolver.resolve(
            taken["accessKeyId"], taken["sessionToken"], world.clock.now()
        )


async def test_a_returning_person_signs_in_again(slapd: Slapd, tmp_path: Path) -> None:
    async with opened(slapd, tmp_path, "expired") as (world, people):
        leave(slapd, "expired")
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        assert not await is_open(people["expired"])
        slapd.modify(dn_of("expired"), "delete: shadowExpire")
        world.clock.move(MINUTE)
        assert "Staff" in await sign_in(world.browser(), "expired")


async def test_a_role_goes_with_the_group(slapd: Slapd, tmp_path: Path) -> None:
    async with opened(slapd, tmp_path, "moved") as (_, people):
        moved = people["moved"]
        assert (await moved.role()).status_code == 200
        leave_group(slapd, "moved")
        refused = await moved.role()
        assert refused.status_code == 403, refused.text
        other = await moved.terminal.role(moved.tokens["accessToken"], "Other")
        assert other.status_code == 200


async def test_without_the_directory_nothing_new_is_made_and_nobody_loses_anything(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with opened(slapd, tmp_path, "away") as (world, people):
        away = people["away"]
        slapd.stop()
        assert (await away.role()).status_code == 503
        assert (await away.refresh()).status_code == 503
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        assert await is_open(away)
        slapd.start()
        world.clock.move(MINUTE)
        # For two seconds nobody waits for a directory that did not answer.
        async with asyncio.timeout(20):
            while (await away.role()).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await away.refresh()).status_code == 200


async def test_who_is_found_to_have_left_is_ended_without_waiting(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with opened(slapd, tmp_path, "expired") as (world, people):
        gone = people["expired"]
        leave(slapd, "expired")
        await world.services.leavers.ask()
        assert await is_open(gone)
        assert (await gone.role()).status_code == 401
        await world.services.leavers.ask()
        assert not await is_open(gone)


async def test_a_directory_is_asked_once_for_all_accounts_that_trust_it(
    slapd: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    find_over = LdapPeople.find_over

    async def noted(
        self: LdapPeople, subjects: Sequence[str], now: datetime
    ) -> Mapping[str, str]:
        asked.append(tuple(subjects))
        return await find_over(self, subjects, now)

    monkeypatch.setattr(LdapPeople, "find_over", noted)
    async with opened(slapd, tmp_path, "disabled", "stays") as (world, people):
        await trust_directory(world, OTHER, {"staff": ["Boss"]})
        there = world.browser()
        start = f"/signin/{OTHER}/with/{PROVIDER_ID}{OTHER}"
        sent = await send_password(there, "disabled", start=start)
        arrived = await there.get(sent.headers["location"])
        assert (await there.get(arrived.headers["location"])).status_code == 200
        leave(slapd, "disabled")
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        assert [len(subjects) for subjects in asked] == [2]
        assert not await is_open(people["disabled"])
        assert (await there.get("/console/")).status_code != 200
        assert await is_open(people["stays"])


async def test_a_provider_that_is_created_again_ends_no_sessions(
    slapd: Slapd, tmp_path: Path
) -> None:
    """They have not signed in with it: what they opened ended with the one before."""
    async with opened(slapd, tmp_path, "disabled") as (world, _):
        async with world.services.stores.directory.change(ACCOUNT) as change:
            before = await change.named(LDAP_PROVIDER, ACCOUNT, "corp")
            assert before is not None
            await change.remove(LDAP_PROVIDER, before)
            await change.insert(LDAP_PROVIDER, replace(before, unique_id="LDAPPANEW"))
        leave(slapd, "disabled")
        world.clock.move(MINUTE)
        await world.services.leavers.ask()
        ended = [entry.action for entry in await world.audit()]
        assert "broker:EndDirectorySessions" not in ended


async def test_a_directory_that_hangs_delays_no_others_leavers(
    slapd: Slapd, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hanging.setblocking(False)
        slow = describe(
            slapd,
            tmp_path,
            Servers=[f"ldap://127.0.0.1:{hanging.getsockname()[1]}"],
            AllowPlaintext=True,
            TimeoutSeconds=30,
        )
        async with opened(slapd, tmp_path, "disabled", slow=slow) as (world, people):
            await _vouch(world, "slow")
            world.clock.move(MINUTE)
            async with world.services.leavers.watching(interval_seconds=0.02):
                loop = asyncio.get_running_loop()
                connection, _ = await loop.sock_accept(hanging)
                with connection:
                    leave(slapd, "disabled")
                    world.clock.move(MINUTE)
                    async with asyncio.timeout(20):
                        while await is_open(people["disabled"]):  # noqa: ASYNC110
                            await asyncio.sleep(0.02)


async def _vouch(world: SignInWorld, name: str) -> None:
    """Have a directory that authenticated somebody who must be checked."""
    provider = LdapProvider(
        account=ACCOUNT,
        unique_id=f"LDAPP{name.upper()}",
        name=name,
        directory=name,
        created_at=world.clock.now(),
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(LDAP_PROVIDER, provider)
    await LdapSignIns(world.services.stores.database).note(
        LdapSignIn(
            account=ACCOUNT,
            provider=name,
            provider_id=provider.unique_id,
            subject="somebody",
        ),
        world.clock.now(),
    )
