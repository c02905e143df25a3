"""Every request is answered twice: by a broker that has answered others, and by a new one.

The new one remembers nothing, and works on a copy of the stores. Both have the same time
and the same randomness, so that what they make must be the same: the answer's bytes, the
rows of the database (among them the audit record, the replay mark and the session's
record), the lines of the log, and what was counted. Session tokens are the same only if
what is sealed in them is.
"""

import asyncio
import gc
import io
import json
import logging
import random
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import httpx2 as httpx
import structlog

from broker.cli.logs import configure_logs
from broker.compose import app as composition
from broker.compose.services import Services, open_services
from broker.edges.asgi import App, Receive, Scope, Send
from broker.edges.metrics import Metrics
from broker.model.account import AccountId
from broker.model.page import PageRequest
from broker.protocols.query import renderer
from broker.runtime import entropy
from broker.runtime.bounded import SHARED, BoundedCache, remembered
from broker.settings import LogFormat
from broker.stores.cache.sqlite import SqliteCache
from tests.support.in_process import ORIGIN, InProcess

_FORGOTTEN = 1 / 8
"""How often the process forgets, too, what it remembers for all brokers in it."""

_MAKES_KEYS = b"Action=EnableOutboundWebIdentityFederation&"
"""OpenSSL draws randomness of its own."""

_NO_ACCOUNT = AccountId("0" * 12)
_PAGES = composition._pages


class _Made(NamedTuple):
    """All that came of a request."""

    messages: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    counted: dict[Any, Any]


@asynccontextmanager
async def answered_twice(broker: InProcess, folder: Path) -> AsyncIterator["Twice"]:
    """From now on, what differs fails the request. For embedded stores."""
    app = Twice(broker, folder)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        with patch.object(broker, "http", http):
            yield app


class Twice:
    """The application of both brokers.

    ``at`` is the time of day for both; None is the present.
    """

    def __init__(self, broker: InProcess, folder: Path) -> None:
        self.at: datetime | None = None
        self._broker = broker
        self._warm = composition.compose(broker.services, ())
        self._data = folder / "cold"
        settings = broker.services.settings
        shutil.copytree(settings.data_dir, self._data, ignore=lambda *_: ["broker.db"])
        self._settings = settings.model_copy(update={"data_dir": self._data})
        self._chance = random.Random(4)
        self._one_at_a_time = asyncio.Lock()
        self._modules = 0
        self._memories: list[Callable[[], None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the broker that is tested.

        Raises:
            AssertionError: the two differ.
        """
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with self._one_at_a_time:
            answer = await self._answer(scope, body)
        for message in answer:
            await send(message)

    async def _answer(self, scope: Scope, body: bytes) -> list[dict[str, Any]]:
        services, clock = self._broker.services, self._broker.clock
        await _settle(services)
        for file in self._data.glob("broker.db*"):
            file.unlink()
        copy = self._data / "broker.db"
        copy.touch(0o600)
        with _open(services) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        seed = self._chance.random()
        with clock.held(self.at):
            warm = await _make(self._warm, services, scope, body, seed)
            if body.startswith(_MAKES_KEYS):
                return warm.messages
            if self._chance.random() < _FORGOTTEN:
                self._forget()
            async with open_services(self._settings, clock) as fresh:
                with patch.object(composition, "_pages", _pages_later):
                    app = composition.compose(fresh, ())
                cold = await _make(app, fresh, scope, body, seed)
                different = [*_other_rows(services, copy)]
        different += [m for m in zip(warm, cold, strict=True) if m[0] != m[1]]
        assert not different, different
        return warm.messages

    def _forget(self) -> None:
        """Drop what the process remembers of what callers sent.

        What it knows of the program itself has no bound, and stays.
        """
        if len(sys.modules) > self._modules:
            self._modules = len(sys.modules)
            self._memories = [*_memories()]
        for clear in self._memories:
            clear()


_RECALL = cast("FunctionType", remembered()(len)).__code__
"""Of every function whose values are remembered."""


def _memories() -> Iterator[Callable[[], None]]:
    for thing in gc.get_objects():
        if isinstance(thing, renderer._Structure):
            yield thing._layouts.clear
        elif isinstance(thing, FunctionType) and thing.__code__ is _RECALL:
            (cache,) = (
                cell.cell_contents
                for cell in thing.__closure__ or ()
                if isinstance(cell.cell_contents, BoundedCache)
            )
            yield partial(cache.clear, SHARED)


def _other_rows(services: Services, copy: Path) -> Iterator[tuple[Any, ...]]:
    """The rows that only one of them has, with the name of their table."""
    with _open(services) as database:
        database.execute("ATTACH ? AS cold", (str(copy),))
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in names.fetchall():
            warm, cold = f'SELECT * FROM main."{name}"', f'SELECT * FROM cold."{name}"'
            for text in (f"{warm} EXCEPT {cold}", f"{cold} EXCEPT {warm}"):
                yield from ((name, *row) for row in database.execute(text))


async def _make(
    app: App, services: Services, scope: Scope, body: bytes, seed: float
) -> _Made:
    _take_counted(services.metrics)
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    with _alike(seed), _logged() as lines:
        await app({**scope, "state": {}}, receive, send)
        await _settle(services)
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    return _Made(
        messages,
        [{**line, "timestamp": ""} for line in logged],
        _take_counted(services.metrics),
    )


def _pages_later(services: Services, *params: Any) -> App:
    """The pages, made when one is asked for: they take longer than all the rest."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await _PAGES(services, *params)(scope, receive, send)

    return answer


async def _settle(services: Services) -> None:
    """Let everything be done that a call leaves to be done later."""
    await services.uses.flush()
    await services.decisions.close()  # both count on afterwards
    await services.auditor.close()
    await services.stores.cache.list_sessions(_NO_ACCOUNT, PageRequest())
    await cast("SqliteCache", services.stores.cache).purge()
    services.decisions._first_uses.clear()  # of the day, in each worker


def _open(services: Services) -> sqlite3.Connection:
    return sqlite3.connect(services.settings.data_dir / "broker.db")


def _take_counted(metrics: Metrics) -> dict[Any, Any]:
    """What was counted since the last time."""
    counted = {(c._name, of): n for (c, of), n in metrics._counted.items()}
    counted |= {of: [*numbers] for of, numbers in metrics._seen.items()}
    metrics._flush()
    return counted


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """The lines that are logged inside."""
    configured, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    lines = io.StringIO()
    configure_logs(LogFormat.JSON, stream=lines)
    try:
        yield lines
    finally:
        structlog.configure(**configured)
        root.handlers, root.level = handlers, level


@contextmanager
def _alike(seed: float) -> Iterator[None]:
    """Randomness that is the same each time, in identifiers, too."""
    no_time = SimpleNamespace(time_ns=int)
    drawn = random.Random(seed).randbytes
    with (
        patch.object(entropy._POOL, "take", drawn),
        patch.object(entropy, "time", no_time),
    ):
        yield
