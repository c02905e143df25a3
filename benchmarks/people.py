"""Pages of users in an account with ten thousand of them: server time a page.

Requests go through the ASGI interface of a whole broker in this process, on SQLite.
"""

import asyncio
import logging
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import structlog

from broker.model.entities import AccessKey, Group, KeyStatus, LoginProfile, User
from broker.model.page import PageRequest
from broker.stores.directory.access_keys import insert_access_key
from broker.stores.directory.groups import add_member
from broker.stores.directory.kinds import GROUP, LOGIN_PROFILE, USER
from broker.stores.directory.port import DirectoryChange
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, SignInWorld, open_world

USERS = 10_000
GROUPS = 50
EVERYBODY = 7
"""The group that all users are in."""

_AT_ONCE = 500
_TIMES = 60
Row = tuple[str, str]


def run() -> list[Row]:
    """All figures, as label and text."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measure(Path(name)))


async def _measure(folder: Path) -> list[Row]:
    async with open_world(folder) as world:
        await _fill(world)
        await grant(world, "iam:*")
        admin = await enter(world)
        last = await _last_marker(world)
        pages = {
            "first page of users": {},
            "last page of users": {"next": last},
            "search that finds many": {"q": "7"},
            "search that finds one": {"q": "user-09999"},
            "search that finds none": {"q": "nobody"},
            "one user": {"name": "user-05000"},
            "one user's credentials": {"name": "user-05000"},
            "groups": {},
            "a group of thousands": {"name": f"group-{EVERYBODY:02}"},
        }
        paths = {
            "one user": "/console/users/user",
            "one user's credentials": "/console/users/credentials",
            "groups": "/console/groups",
            "a group of thousands": "/console/groups/group",
        }
        return [
            (
                f"{USERS} users: {label}",
                await _time(admin, paths.get(label, "/console/users"), query),
            )
            for label, query in pages.items()
        ]


async def _time(admin: Administrator, path: str, query: dict[str, str]) -> str:
    taken = []
    page: httpx.Response | None = None
    for _ in range(_TIMES):
        began = time.perf_counter()
        page = await admin.see(path, **query)
        taken.append((time.perf_counter() - began) * 1000)
    assert page is not None
    worst = sorted(taken)[int(len(taken) * 0.95)]
    return (
        f"median {statistics.median(taken):.1f} ms, 95% {worst:.1f} ms,"
        f" {len(page.content) / 1000:.0f} kB"
    )


async def _last_marker(world: SignInWorld) -> str:
    """Where the last page of the list begins."""
    page = await world.services.stores.directory.page_of(
        USER, ACCOUNT, PageRequest(None, USERS - 25)
    )
    assert page.marker is not None
    return page.marker


async def _fill(world: SignInWorld) -> None:
    """Users with a password and a key each, in a few groups, all of them used."""
    now = world.clock.now() - timedelta(days=100)
    directory, uses = world.services.stores.directory, world.services.uses
    async with directory.change(ACCOUNT) as change:
        for number in range(GROUPS):
            await change.insert(
                GROUP,
                Group(
                    account=ACCOUNT,
                    group_id=f"AGPA{number:017}",
                    name=f"group-{number:02}",
                    path="/",
                    created_at=now,
                ),
            )
    for start in range(0, USERS, _AT_ONCE):
        async with directory.change(ACCOUNT) as change:
            for number in range(start, start + _AT_ONCE):
                await _insert(change, number, now)
                uses.note(ACCOUNT, f"AKIA{number:016}", "sts", "", now, "us-east-1")
    await uses.flush()


async def _insert(change: DirectoryChange, number: int, now: datetime) -> None:
    user = f"AIDA{number:017}"
    await change.insert(
        USER,
        User(
            account=ACCOUNT,
            user_id=user,
            name=f"user-{number:05}",
            path=f"/team-{number % 20}/",
            created_at=now,
        ),
    )
    await insert_access_key(
        change,
        AccessKey(
            access_key_id=f"AKIA{number:016}",
            account=ACCOUNT,
            user_id=user,
            status=KeyStatus.ACTIVE,
            sealed_secret=b"s" * 60,
            created_at=now,
        ),
    )
    await change.insert(
        LOGIN_PROFILE,
        LoginProfile(
            account=ACCOUNT,
            user_id=user,
            sealed=b"s" * 120,
            created_at=now,
            changed_at=now,
            reset_required=False,
        ),
    )
    for group in {number % GROUPS, EVERYBODY}:
        await add_member(change, ACCOUNT, f"AGPA{group:017}", user)
