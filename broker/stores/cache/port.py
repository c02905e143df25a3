"""The cache's port: state that may be lost without any credential failing.

A cache may refuse or speed up, never grant. Every entry has an expiry and reads as
absent after it. No bearer secret is stored: handles and cookies come as SHA-256
digests, values that matter come sealed. Every method raises
``StoreUnavailableError`` when the cache is away (time-outs of at most 200 ms), and
works again within a second of its return.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict, astuple

from broker.model.account import AccountId
from broker.model.lineage import NO_LINEAGE, Lineage, lineage_row, read_lineage
from broker.model.page import Page, PageRequest
from broker.model.upstream import UpstreamOrigin, origin_row, read_origin
from broker.stores.json_text import decode_json, encode_json


class SessionClient(Struct, frozen=True, kw_only=True):
    """The OAuth client that a session was made for.

    ``used_at`` is when it last renewed, in seconds since 1970, 0 if never; ``agent`` and
    ``region`` are those of that call, or of the one that made the session.
    """

    client_id: str
    agent: str = ""
    region: str = ""
    used_at: int = 0


class SessionRecord(Struct, frozen=True, kw_only=True):
    """A live session in the cache: metadata for look-up and listing.

    ``provider_id``, ``mint_id`` and ``lineage`` are as in ``Session``. ``upstream`` is
    None where the broker issued the credentials itself, ``client`` where no program asked
    for the session.
    """

    access_key_id: str
    account: AccountId
    kind: str
    principal_arn: str
    principal_id: str
    issued_at_ms: int
    expires_at: int
    provider_arn: str = ""
    source_identity: str = ""
    parent_key_id: str = ""
    tags: Mapping[str, str] = {}
    provider_id: str = ""
    mint_id: str = ""
    lineage: Lineage = NO_LINEAGE
    upstream: UpstreamOrigin | None = None
    client: SessionClient | None = None


_PLAIN = SessionRecord.__struct_fields__[:-3]
"""The members that JSON can hold as they are; those after them are rows, or an object."""


def encode_session(record: SessionRecord) -> str:
    """The record as the JSON text that both caches keep."""
    *plain, lineage, upstream, client = astuple(record)
    row = [*plain, lineage_row(lineage), *origin_row(upstream)]
    if client is not None:
        row.append(asdict(client))
    return encode_json(row, default=dict)


def decode_session(text: str | bytes) -> SessionRecord | None:
    """Parse a record; None for another version or anything else."""
    try:
        row = decode_json(text)
        client = SessionClient(**row.pop()) if isinstance(row[-1], dict) else None
        plain, (lineage, *upstream) = row[: len(_PLAIN)], row[len(_PLAIN) :]
        return SessionRecord(
            **dict(zip(_PLAIN, plain, strict=True)),
            lineage=read_lineage(lineage),
            upstream=read_origin(upstream),
            client=client,
        )
    except (ValueError, TypeError, LookupError):
        return None


class HandleStore(Protocol):
    """Values under a space and a key, each until its own end."""

    async def put(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> None:
        """Keep ``value`` under (``space``, ``key``), replacing what was there."""
        ...

    async def get(self, space: str, key: bytes) -> bytes | None: ...
    async def take(self, space: str, key: bytes) -> bytes | None:
        """Delete and return in one atomic step: at most one caller gets it."""
        ...

    async def drop(self, space: str, key: bytes) -> None: ...

    async def add(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> bool:
        """Keep the value only if nothing is there; whether it was kept. A lock."""
        ...


class Cache(HandleStore, Protocol):
    """Shared short-term memory of all workers."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def ping(self) -> None: ...

    async def put_session(self, record: SessionRecord) -> None:
        """Keep a session's record until its own expiry."""
        ...

    async def find_session(self, access_key_id: str) -> SessionRecord | None: ...
    async def drop_session(self, access_key_id: str) -> None: ...
    async def list_sessions(
        self, account: AccountId, page: PageRequest
    ) -> Page[SessionRecord]:
        """Sessions of an account; order is the implementation's own.

        Raises:
            InvalidMarkerError: the page's marker is none of ours.
        """
        ...

    async def count(
        self, space: str, key: bytes, amount: int, *, expires_at: datetime
    ) -> int:
        """Add to a counter (a negative amount, too) and return the total.

        The call that starts the counter sets its expiry.
        """
        ...

    async def hit(self, space: str, key: bytes, amount: int = 1) -> int:
        """Count something in the current second: how much it is by now."""
        ...
