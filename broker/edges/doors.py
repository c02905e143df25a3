"""The entry points that open when there is something behind them.

Until something that uses one is registered anywhere in the installation, its addresses
answer as unknown ones do. What answers is imported then, in a thread, before the first
answer. A worker closes none again before it ends, unless the database went back.
"""

import asyncio
import importlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf

from msgspec import Struct

from broker.edges.api import AnyEndpoint
from broker.edges.asgi import Headers
from broker.kinds.outbound import OPTION
from broker.runtime.clock import Clock
from broker.runtime.offload import in_background
from broker.stores.directory.accounts import has_any, has_option
from broker.stores.directory.kinds import (
    INSTANCE,
    INSTANCE_PROFILE,
    JOIN_TOKEN,
    SCIM_TOKEN,
    SERVICE,
    TRUST_ANCHOR,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.errors import StoreUnavailableError

DECISIONS_PATH = "/decisions"
FORWARD_PATH = "/decisions/forward"
ACCESS_PATH = "/access"
CONFIGURATION_PATH = "/.well-known/authzen-configuration"
EVALUATION_PATH = "/access/v1/evaluation"
EVALUATIONS_PATH = "/access/v1/evaluations"
SEARCH_PATHS = tuple(
    f"/access/v1/search/{entry}" for entry in ("subject", "resource", "action")
)
"""Removed in 0.2, which still says so."""

PRIVATE_PATH = "/private"
PRIVATE_HEADERS: Headers = ((b"x-vgw-private-protocol", b"1"),)
"""On every answer below the path."""

CEPH_PATH = "/v1/data/ceph/authz"
MINIO_PATH = "/v1/data/minio/authz"
SESSIONS_PATH = "/sessions"
SCIM_PATH = "/scim"
ISSUER_PATH = "/issuer"
DATA_PATHS = (
    *(DECISIONS_PATH, FORWARD_PATH, CONFIGURATION_PATH, EVALUATION_PATH),
    *(EVALUATIONS_PATH, *SEARCH_PATHS, CEPH_PATH, MINIO_PATH),
)
"""What is answered there with data, never with a page; so is all below the private path."""

_LOOK_SECONDS = 0.25
"""Strangers' requests have the database asked no more often: they wait for it."""


class EntryPoint(Struct, frozen=True):
    """Where it stands, what opens it, and what answers."""

    name: str
    paths: tuple[str, ...]
    opened_by: str
    is_used: Callable[[DirectoryReader], Awaitable[bool]]
    """Whether there is any of what opens it."""

    modules: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)


DECISIONS = EntryPoint(
    "decisions",
    (
        *(DECISIONS_PATH, ACCESS_PATH, CONFIGURATION_PATH, PRIVATE_PATH),
        *(CEPH_PATH, MINIO_PATH),
    ),
    "a registered service",
    partial(has_any, (SERVICE,)),
    tuple(
        f"broker.edges.{name}" for name in ("decisions", "authzen", "opa", "versitygw")
    ),
)
SESSIONS = EntryPoint(
    "sessions of Roles Anywhere",
    (SESSIONS_PATH,),
    "a trust anchor",
    partial(has_any, (TRUST_ANCHOR,)),
)
SCIM = EntryPoint(
    "SCIM",
    (SCIM_PATH,),
    "a SCIM token",
    partial(has_any, (SCIM_TOKEN,)),
    ("broker.edges.scim_api",),
)
ISSUERS = EntryPoint(
    "issuers",
    (ISSUER_PATH,),
    "an account that issues tokens",
    partial(has_option, OPTION),
    ("broker.edges.issuers",),
)
MACHINES = EntryPoint(
    "machines",
    (),
    "an instance profile, a join token or a machine",
    partial(has_any, (INSTANCE_PROFILE, JOIN_TOKEN, INSTANCE)),
)
DOORS = (DECISIONS, SESSIONS, SCIM, ISSUERS, MACHINES)


class Doors:
    """The doors of one worker; ``build`` makes what answers at the paths of each."""

    def __init__(
        self,
        directory: DirectoryReader,
        clock: Clock,
        build: Mapping[EntryPoint, Callable[[], Mapping[str, AnyEndpoint]]],
    ) -> None:
        self._directory = directory
        self._monotonic = clock.monotonic
        self._build = build
        self._at = {path: door for door in DOORS for path in door.paths}
        self.endpoints: dict[str, AnyEndpoint] = {}
        """What answers at a path, or below the first part of one, of open doors."""

        self._opened: dict[EntryPoint, tuple[str, ...]] = {}
        self._looked: dict[EntryPoint, float] = {}
        self._locks: defaultdict[EntryPoint, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(self, below: str, path: str) -> AnyEndpoint | None:
        """What answers at a path, or below a first part, if a door opens there now."""
        door = self._at.get(below) or self._at.get(path)
        if door is None or not await self.is_open(door):
            return None
        return self.endpoints.get(below) or self.endpoints.get(path)

    def knows(self, below: str, path: str) -> bool:
        """Whether a door stands there, open or not."""
        return below in self._at or path in self._at

    def close(self) -> None:
        """Close all, until something is found again that opens them."""
        for paths in self._opened.values():
            for path in paths:
                del self.endpoints[path]
        self._opened.clear()

    async def is_open(self, door: EntryPoint) -> bool:
        """Whether it is, or opens now."""
        if door in self._opened:
            return True
        asked = self._monotonic()
        async with self._locks[door]:
            # A look that began after the question answers it as well.
            if door in self._opened or self._looked.get(door, -inf) > asked:
                return door in self._opened
            await asyncio.sleep(self._looked.get(door, -inf) + _LOOK_SECONDS - asked)
            self._looked[door] = self._monotonic()
            if await self._is_used(door):
                for module in door.modules:
                    await asyncio.to_thread(importlib.import_module, module)
                built = self._build[door]() if door in self._build else {}
                self.endpoints.update(built)
                self._opened[door] = tuple(built)
        return door in self._opened

    async def _is_used(self, door: EntryPoint) -> bool:
        try:
            return await door.is_used(self._directory)
        except StoreUnavailableError:
            return False  # nothing is registered meanwhile

    def opening(self) -> AbstractAsyncContextManager[None]:
        """Open in the background what is used already."""
        return in_background(self._open_used(), "doors")

    async def _open_used(self) -> None:
        for door in DOORS:
            await self.is_open(door)
