"""The cache in Redis or Valkey, shared by all workers of all machines.

Each session, entry and counter is a key of its own, with its own expiry. The index
for listing is one set of access key ids per account and hour of expiry, which expires
after that hour. No command spans two keys, so a cluster works as well. Session records
that arrive together are sent together.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.runtime.clock import Clock
from broker.stores.cache.port import SessionRecord, decode_session, encode_session
from broker.stores.cache.redis_client import UNREACHABLE, Batcher, Command, RedisLink
from broker.stores.errors import InvalidMarkerError, StoreUnavailableError
from broker.stores.stepped_timeout import SteppedTimeout
from broker.stores.times import to_millis
from broker.stores.urls import RedisLocation

TIMEOUT_SECONDS = 0.2
_HOUR = 3600
_HOUR_DIGITS = 9
# The longest session lives 129,600 seconds; one hour more for the hour begun.
_HOURS_AHEAD = 37
_RATE_SECONDS = 2
# After a failure, fail fast for this long: with a silent Redis each caller would wait
# for the time-out.
_PAUSE_SECONDS = 0.1
_START_SECONDS = 2.0


class RedisCache:
    """See ``Cache``."""

    def __init__(
        self,
        location: RedisLocation,
        *,
        prefix: str,
        clock: Clock,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._link = RedisLink(location, timeout_seconds=timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._prefix = prefix
        self._clock = clock
        self._paused_until = float("-inf")
        self._sessions = Batcher(self._put_sessions, _unavailable)
        self._hits = Batcher(self._count_hits, _unavailable)
        self._singles = Batcher(self._send_all, _unavailable)

    async def start(self) -> None:
        # Discovering a cluster or sentinels gets a longer time-out this once; a Redis
        # that is away now is found when it returns.
        with contextlib.suppress(*UNREACHABLE):
            async with asyncio.timeout(_START_SECONDS):
                await self._link.send_all([("EXISTS", self._name("start", ""))])

    async def close(self) -> None:
        for batcher in (self._sessions, self._hits, self._singles):
            await batcher.close()
        await self._link.close()

    async def ping(self) -> None:
        await self._send(("EXISTS", self._name("ping", "")))

    async def put_session(self, record: SessionRecord) -> None:
        await self._sessions.add(record)

    async def find_session(self, access_key_id: str) -> SessionRecord | None:
        text = await self._send(("GET", self._session(access_key_id)))
        return decode_session(text) if isinstance(text, bytes) else None

    async def drop_session(self, access_key_id: str) -> None:
        text = await self._send(("GETDEL", self._session(access_key_id)))
        record = decode_session(text) if isinstance(text, bytes) else None
        if record is not None:
            index = self._index(record.account, record.expires_at // _HOUR)
            await self._send(("ZREM", index, access_key_id))

    async def list_sessions(
        self, account: AccountId, page: PageRequest
    ) -> Page[SessionRecord]:
        hour = int(self._clock.now().timestamp()) // _HOUR
        last = hour + _HOURS_AHEAD
        after = ""
        if page.marker is not None:
            marked, after = _read_marker(page.marker)
            if marked < hour:
                after = ""
            hour = max(hour, marked)
        records: list[SessionRecord] = []
        while hour <= last:
            want = page.limit - len(records)
            index = self._index(account, hour)
            first = f"({after}" if after else "-"
            ids = await self._send(
                ("ZRANGEBYLEX", index, first, "+", "LIMIT", 0, max(want, 1))
            )
            names = [i.decode() for i in ids] if isinstance(ids, list) else []
            if names and want <= 0:
                return Page(tuple(records), f"{hour}:{after}")
            if not names:
                hour, after = hour + 1, ""
                continue
            records += await self._read_sessions(names)
            after = names[-1]
        return Page(tuple(records), None)

    async def put(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> None:
        name = self._entry(space, key)
        await self._send(("SET", name, value, "PXAT", to_millis(expires_at)))

    async def get(self, space: str, key: bytes) -> bytes | None:
        value = await self._send(("GET", self._entry(space, key)))
        return value if isinstance(value, bytes) else None

    async def take(self, space: str, key: bytes) -> bytes | None:
        value = await self._send(("GETDEL", self._entry(space, key)))
        return value if isinstance(value, bytes) else None

    async def drop(self, space: str, key: bytes) -> None:
        await self._send(("DEL", self._entry(space, key)))

    async def add(
        self, space: str, key: bytes, value: bytes, *, expires_at: datetime
    ) -> bool:
        name = self._entry(space, key)
        kept = await self._send(
            ("SET", name, value, "NX", "PXAT", to_millis(expires_at))
        )
        return kept is not None

    async def count(
        self, space: str, key: bytes, amount: int, *, expires_at: datetime
    ) -> int:
        name = self._entry(space, key)
        total = await self._send(("INCRBY", name, amount))
        # A count whose expiry was lost gets one at the next.
        await self._send(("PEXPIREAT", name, to_millis(expires_at), "NX"))
        if not isinstance(total, int):
            raise StoreUnavailableError("the cache did not count")
        return total

    async def hit(self, space: str, key: bytes, amount: int = 1) -> int:
        second = int(self._clock.now().timestamp())
        name = f"{self._entry(space, key)}:{second}"
        return await self._hits.add((name, amount))

    async def _put_sessions(
        self, records: Sequence[SessionRecord]
    ) -> Sequence[Exception | None]:
        answers = await self._send_all(self._session_commands(records))
        # The records' own answers come first, those of their indexes after.
        of_indexes = [a for a in answers[len(records) :] if isinstance(a, Exception)]
        if of_indexes:
            raise of_indexes[0]
        return [a if isinstance(a, Exception) else None for a in answers][
            : len(records)
        ]

    async def _count_hits(self, hits: Sequence[tuple[str, int]]) -> Sequence[int]:
        counted = Counter[str]()
        for name, amount in hits:
            counted[name] += amount
        commands: list[Command] = []
        for name, calls in counted.items():
            commands.append(("INCRBY", name, calls))
            commands.append(("EXPIRE", name, _RATE_SECONDS))
        answers = iter(await self._send_all(commands))
        totals: dict[str, int] = {}
        for name in counted:
            total, _ = next(answers), next(answers)
            if not isinstance(total, int):
                raise StoreUnavailableError("the cache did not count")
            totals[name] = total - counted[name]
        places: list[int] = []
        for name, amount in hits:
            totals[name] += amount
            places.append(totals[name])
        return places

    def _session_commands(self, records: Sequence[SessionRecord]) -> list[Command]:
        commands: list[Command] = []
        indexes: dict[tuple[str, int], list[str | int]] = {}
        for record in records:
            key_id, expires_at = record.access_key_id, record.expires_at
            name = self._session(key_id)
            commands.append(("SET", name, encode_session(record), "EXAT", expires_at))
            members = indexes.setdefault((record.account, expires_at // _HOUR), [])
            members += (0, key_id)
        for (account, hour), members in indexes.items():
            index = self._index(account, hour)
            commands.append(("ZADD", index, *members))
            commands.append(("EXPIREAT", index, (hour + 1) * _HOUR))
        return commands

    async def _read_sessions(self, ids: list[str]) -> list[SessionRecord]:
        texts = await self._send_all([("GET", self._session(i)) for i in ids])
        records = [decode_session(t) for t in texts if isinstance(t, bytes)]
        return [record for record in records if record is not None]

    async def _send(self, command: Command) -> object:
        return await self._singles.add(command)

    async def _send_all(self, commands: Sequence[Command]) -> list[object | Exception]:
        if self._clock.monotonic() < self._paused_until:
            raise StoreUnavailableError("the cache did not answer a moment ago")
        try:
            async with SteppedTimeout(self._timeout_seconds):
                answers = await self._link.send_all(commands)
        except UNREACHABLE as error:
            self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
            raise StoreUnavailableError("the cache did not answer") from error
        return [
            _unavailable(answer) if isinstance(answer, Exception) else answer
            for answer in answers
        ]

    def _name(self, kind: str, rest: str) -> str:
        return f"{self._prefix}:{kind}:{rest}"

    def _session(self, access_key_id: str) -> str:
        return f"{self._prefix}:session:{access_key_id}"

    def _index(self, account: str, hour: int) -> str:
        return f"{self._prefix}:sessions:{account}:{hour}"

    def _entry(self, space: str, key: bytes) -> str:
        return f"{self._prefix}:entry:{space}:{key.hex()}"


def _unavailable(error: Exception) -> Exception:
    first = error
    while isinstance(first.__cause__, Exception):
        first = first.__cause__
    failure = StoreUnavailableError(
        f"the cache did not do it: {str(first) or type(first).__name__}"
    )
    failure.__cause__ = error
    return failure


def _read_marker(marker: str) -> tuple[int, str]:
    hour, separator, after = marker.partition(":")
    if not separator or not (
        hour.isascii() and hour.isdecimal() and len(hour) <= _HOUR_DIGITS
    ):
        raise InvalidMarkerError("the marker is not one of this list's")
    return int(hour), after
