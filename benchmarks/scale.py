"""A large installation beside an empty one: the same calls, memory, the start.

With ``--scale`` there are a million users, a hundred thousand roles and a million
live sessions in one account, otherwise a twentieth of that. Rows go straight into the
database, and sessions into the cache: through the API it would take an hour.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import requests
from benchmarks.load import Row, find_serving, installed, measure, resident_mb, restart
from broker.model.account import AccountId
from broker.runtime.clock import SystemClock
from broker.stores.cache.port import SessionRecord, encode_session
from broker.stores.cache.redis import RedisCache
from broker.stores.urls import parse_redis_url
from tests.scenarios.installation import Installation, trust
from tests.support.broker import ACCOUNT, Key
from tests.support.evidence import keep
from tests.support.storage import STORAGES

FULL = "--scale"
_USERS, _ROLES, _SESSIONS = 1_000_000, 100_000, 1_000_000
_SMALLER = 20
_PAGE = 100
"""Users in a page of ``ListUsers``; as many are in the empty installation, too."""

_AT_ONCE = 2_000
_PREFIX = "broker"
Values = tuple[Any, ...]

_COLUMNS = {
    "users": ("user_id", "account", "name", "name_key", "path", "created_at"),
    "roles": (
        *("role_id", "account", "name", "name_key", "path", "trust_policy"),
        *("created_at", "max_session_duration_seconds"),
    ),
}


def run() -> list[Row]:
    """All figures, as label and text."""
    part = 1 if FULL in sys.argv else _SMALLER
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for storage in STORAGES:
            with installed(Path(name) / storage, storage) as (installation, ready):
                _insert(installation, users=_users(0, _PAGE))
                empty = _measure(installation, ready)
                began = time.monotonic()
                _insert(
                    installation,
                    users=_users(_PAGE, _USERS // part),
                    roles=_roles(_ROLES // part),
                )
                _keep_sessions(installation, _SESSIONS // part)
                filled = time.monotonic() - began
                large = _measure(installation, restart(installation.broker))
            label = (
                f"{storage}: {_USERS // part:,} users, {_ROLES // part:,} roles,"
                f" {_SESSIONS // part:,} sessions"
            )
            rows.append((label, f"made in {filled:.0f} s"))
            results: dict[str, Any] = dict(large.beside(empty))
            rows += [(f"{storage}: {what}", text) for what, text in results.items()]
            keep(f"scale: {label}", **results)
    return rows


@dataclass(frozen=True)
class Figures:
    """Of one state of an installation; rates are requests a second by label."""

    ready: float
    rates: dict[str, float]
    memory_mb: float

    def beside(self, empty: "Figures") -> Iterator[Row]:
        """Each figure with that of the empty installation."""
        for label, rate in self.rates.items():
            was = empty.rates[label]
            yield label, f"{rate:.0f}/s, {rate / was:.0%} of {was:.0f}/s (at least 90%)"
        more = self.memory_mb - empty.memory_mb
        yield (
            "memory of a worker",
            f"{self.memory_mb:.0f} MB, {more:+.0f} MB (at most +50)",
        )
        yield "start to ready", f"{self.ready:.2f} s, empty {empty.ready:.2f} s"


def _measure(installation: Installation, ready: float) -> Figures:
    session = Key.of(installation.web_identity()["Credentials"])
    broker = installation.broker
    loads = {
        "GetCallerIdentity": requests.signed(
            broker.url, session, 8_000, Action="GetCallerIdentity"
        ),
        "AssumeRoleWithWebIdentity": requests.web_identity(
            installation.issuer.issuer, 8_000
        ),
        f"ListUsers, a page of {_PAGE}": requests.signed(
            broker.url,
            installation.root,
            1_500,
            "iam",
            Action="ListUsers",
            MaxItems=str(_PAGE),
        ),
    }
    rates = {
        label: measure(broker.url, lines, broker.folder).per_second
        for label, lines in loads.items()
    }
    (worker,) = find_serving(broker)
    return Figures(ready, rates, resident_mb(worker))


def _users(first: int, end: int) -> Iterator[Values]:
    for number in range(first, end):
        name = f"user-{number:07}"
        yield f"AIDASCALE{number:012}", ACCOUNT, name, name, "/", number


def _roles(count: int) -> Iterator[Values]:
    text = trust(({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None))
    for number in range(count):
        name = f"role-{number:07}"
        yield f"AROASCALE{number:012}", ACCOUNT, name, name, "/", text, number, 3600


def _sessions(count: int) -> Iterator[SessionRecord]:
    now = int(datetime.now(UTC).timestamp())
    for number in range(count):
        yield SessionRecord(
            access_key_id=f"ASIASCALE{number:011}",
            account=AccountId(ACCOUNT),
            kind="web-identity",
            principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/s-{number}",
            principal_id="AROASCALE",
            issued_at_ms=now * 1000,
            expires_at=now + 3600 + number % 36_000,
            provider_arn="",
            source_identity="",
            parent_key_id="",
            tags={},
        )


def _insert(installation: Installation, **tables: Iterable[Values]) -> None:
    url = installation.broker.environment.get("BROKER_DATABASE_URL", "")
    if url:
        asyncio.run(_copy(url, tables))
        return
    connection = sqlite3.connect(_file(installation), timeout=30)
    with connection:
        for table, rows in tables.items():
            columns = _COLUMNS[table]
            places = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows
            )
    connection.close()


async def _copy(url: str, tables: dict[str, Iterable[Values]]) -> None:
    connection = await asyncpg.connect(url)
    for table, rows in tables.items():
        await connection.copy_records_to_table(
            table, records=rows, columns=_COLUMNS[table]
        )
        await connection.execute(f"ANALYZE {table}")
    await connection.close()


def _keep_sessions(installation: Installation, count: int) -> None:
    url = installation.broker.environment.get("BROKER_REDIS_URL", "")
    if url:
        asyncio.run(_put_sessions(url, count))
        return
    connection = sqlite3.connect(_file(installation), timeout=30)
    with connection:
        connection.executemany(
            "INSERT INTO cache_sessions (access_key_id, account, expires_at, body)"
            " VALUES (?, ?, ?, ?)",
            (
                (
                    record.access_key_id,
                    record.account,
                    record.expires_at,
                    encode_session(record),
                )
                for record in _sessions(count)
            ),
        )
    connection.close()


async def _put_sessions(url: str, count: int) -> None:
    cache = RedisCache(
        parse_redis_url(url), prefix=_PREFIX, clock=SystemClock(), timeout_seconds=30
    )
    await cache.start()
    waiting: list[SessionRecord] = []
    for record in _sessions(count):
        waiting.append(record)
        if len(waiting) == _AT_ONCE:
            await asyncio.gather(*map(cache.put_session, waiting))
            waiting.clear()
    await asyncio.gather(*map(cache.put_session, waiting))
    await cache.close()


def _file(installation: Installation) -> Path:
    return installation.broker.folder / "data" / "broker.db"
