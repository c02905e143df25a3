"""Issuers' key sets: fetched rarely, shared widely, kept through an outage.

A key set is fresh for ``REFRESH_SECONDS``; then it is fetched again in the background
while it is still used. After ``AGE_SECONDS_MAX`` callers wait for the new one, and only
while the issuer cannot be reached is the last known set used, until ``STALE_SECONDS``.
At most one fetch per issuer runs in a process and, with a shared cache, in the
installation; after each there is a cool-down in which an unknown key id fetches
nothing. A set that another process has fetched is used within ``LOOK_SECONDS``.

Key sets are kept per issuer URL, except where a provider's own registration decides
what is fetched (static keys, thumbprints, internal addresses): one account's keys
must never verify another account's tokens.

Source: OpenID Connect Core 10.1.1.
"""

import asyncio
import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.proofs.addresses import was_refused
from broker.proofs.outbound import FetchFailedError, OutboundClient
from broker.proofs.provider_options import ProviderOptions
from broker.protocols.oidc.discovery import (
    DISCOVERY_BYTES_MAX,
    discovery_url,
    parse_discovery,
)
from broker.protocols.oidc.jwks import JWKS_BYTES_MAX, KeySet, parse_jwks
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.runtime.bounded import SHARED, BoundedCache, leave_out, remembered
from broker.runtime.clock import Clock
from broker.runtime.offload import offload_long
from broker.runtime.shares import SharedWork
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError

REFRESH_SECONDS = 300
AGE_SECONDS_MAX = 600
STALE_SECONDS = 3600
COOL_DOWN_SECONDS = 10
LOOK_SECONDS = 1
_SPACE = "jwks"
_LOCK_SPACE = "jwks-lock"
_FETCHING = b"fetching"
_FAILED = b"failed"
_POLL_SECONDS = 0.05
_FAILURE_CHARACTERS = 500
_TIME_BYTES = 8


leave_out(SharedWork)  # a slot holds what is under way, which has no size


class KeySetSeal(Protocol):
    """Protects shared key sets: write access to the cache must not inject keys."""

    def seal(self, slot: str, plain: bytes) -> bytes:
        """Seal a key set for one slot."""
        ...

    def find_opened(self, slot: str, sealed: bytes) -> bytes | None:
        """The key set; None when it was not sealed by us for this slot."""
        ...


class IssuerUnreachableError(Exception):
    """No usable key set is known, and none could be fetched; try again later."""


class KnownKeys(Struct, frozen=True):
    """What is known of an issuer's keys, for its administrators.

    ``problem`` says why the last fetch of this process failed, or is empty, and
    ``was_refused`` that the operator's address rules did not permit it;
    times are None for keys that were registered and never fetched.
    """

    keys: KeySet | None
    fetched_at: datetime | None = None
    attempted_at: datetime | None = None
    problem: str = ""
    was_refused: bool = False
    is_static: bool = False


class _Slot(Struct):
    """One key set in this process. Times are wall-clock seconds."""

    name: str
    issuer: str
    account: AccountId
    thumbprints: tuple[str, ...]
    keys: KeySet | None = None
    fetched_at: float = 0.0
    attempted_at: float = 0.0
    looked_at: float = 0.0
    failure: Exception | None = None
    running: SharedWork[None] | None = None


class IssuerKeys:
    """Key sets of all providers. ``cache`` and ``seal`` together share them."""

    def __init__(
        self,
        fetcher: OutboundClient,
        clock: Clock,
        *,
        cache: Cache | None = None,
        seal: KeySetSeal | None = None,
        fetch_seconds: float = 12.0,
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._cache = cache if seal is not None else None
        self._seal = seal
        self._fetch_seconds = fetch_seconds
        self._slots = BoundedCache[str, _Slot]()
        self._names = BoundedCache[str, tuple[OidcProvider, str]]()
        self._static = BoundedCache[str, tuple[str, KeySet]]()
        self._fetches: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop background fetches."""
        tasks = [*self._fetches]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def is_private(self, provider: OidcProvider, options: ProviderOptions) -> bool:
        """Whether the key set is for this provider alone."""
        if options.static_jwks or provider.thumbprints:
            return True
        rules = self._fetcher.rules
        return rules.are_special_for(provider.account) or rules.names(
            provider.account, *_place_of(provider.url)
        )

    async def keys_of(self, provider: OidcProvider, options: ProviderOptions) -> KeySet:
        """The provider's key set, usually without waiting.

        Raises:
            IssuerUnreachableError: none is known and the issuer does not answer.
            OidcRejected: BAD_DISCOVERY or BAD_KEY_SET, when its answer is malformed.
        """
        if options.static_jwks:
            return self._static_keys(provider, options.static_jwks)
        slot = self._slot_of(provider, options)
        now = self._clock.now().timestamp()
        if not 0 <= now - slot.looked_at < LOOK_SECONDS:
            slot.looked_at = now
            await self._look(slot)
        age = now - slot.fetched_at
        if slot.keys is not None and 0 <= age < REFRESH_SECONDS:
            return slot.keys
        resting = 0 <= now - slot.attempted_at < COOL_DOWN_SECONDS
        if slot.keys is not None and 0 <= age < AGE_SECONDS_MAX:
            if not resting:
                self._start(slot)
            return slot.keys
        if slot.running is not None or not resting:
            await self._wait(slot)
        if slot.keys is None or self._age(slot) >= STALE_SECONDS:
            raise _failure_of(slot)
        return slot.keys

    async def keys_for(
        self, provider: OidcProvider, options: ProviderOptions, kid: str | None
    ) -> KeySet:
        """The key set to verify a token of ``kid`` with: `keys_of`, or a newer one.

        Raises:
            IssuerUnreachableError, OidcRejected: as the other two.
        """
        keys = await self.keys_of(provider, options)
        if kid and keys.find(kid) is None:
            keys = await self.newer_keys_of(provider, options, keys, kid)
        return keys

    async def newer_keys_of(
        self, provider: OidcProvider, options: ProviderOptions, seen: KeySet, kid: str
    ) -> KeySet:
        """A key set newer than ``seen``, for a token whose ``kid`` is not in it.

        All callers share one fetch; within the cool-down there is none, and ``seen`` is
        returned.

        Raises:
            IssuerUnreachableError: the issuer does not answer.
            OidcRejected: its answer is malformed.
        """
        if options.static_jwks:
            return seen
        slot = self._slot_of(provider, options)
        if slot.keys is not None and slot.keys is not seen:
            return slot.keys
        now = self._clock.now().timestamp()
        if (
            slot.running is not None
            or not 0 <= now - slot.attempted_at < COOL_DOWN_SECONDS
        ):
            await self._wait(slot, kid)
        if slot.failure is not None or slot.keys is None:
            raise _failure_of(slot)
        return slot.keys

    async def refresh(self, provider: OidcProvider, options: ProviderOptions) -> None:
        """Fetch the key set now; all processes use it within ``LOOK_SECONDS``.

        The provider must not have a static key set.

        Raises:
            IssuerUnreachableError: the issuer does not answer.
            OidcRejected: its answer is malformed.
        """
        slot = self._slot_of(provider, options)
        slot.attempted_at = self._clock.now().timestamp()
        try:
            async with asyncio.timeout(self._fetch_seconds):
                self._renew(slot, *await self._fetch(slot))
        except (FetchFailedError, TimeoutError) as error:
            slot.failure = _without_frames(error)
            raise _failure_of(slot)  # noqa: B904  # it has its cause

    async def known_of(
        self, provider: OidcProvider, options: ProviderOptions
    ) -> KnownKeys:
        """What this process or the installation knows; nothing is fetched.

        Raises:
            OidcRejected: the provider's static keys are not a key set.
        """
        if options.static_jwks:
            registered = self._static_keys(provider, options.static_jwks)
            return KnownKeys(registered, is_static=True)
        name = self._name_of(provider, options)
        slot = self._slots.get(SHARED, name)
        if slot is None:
            slot = _Slot(name, provider.url, provider.account, provider.thumbprints)
        keys, fetched_at = slot.keys, slot.fetched_at
        if keys is None and self._cache is not None and self._seal is not None:
            with suppress(StoreUnavailableError, OidcRejected):
                sealed = await self._cache.get(_SPACE, _cache_key(slot))
                opened = _open_shared(slot, self._seal, sealed)
                if opened is not None:
                    keys, fetched_at = await _parse(opened[0]), opened[1]
        failure = slot.failure
        return KnownKeys(
            keys,
            fetched_at=_from_timestamp(fetched_at),
            attempted_at=_from_timestamp(max(slot.attempted_at, fetched_at)),
            problem="" if failure is None else str(failure) or type(failure).__name__,
            was_refused=was_refused(failure),
        )

    def _static_keys(self, provider: OidcProvider, text: str) -> KeySet:
        known = self._static.get(provider.account, provider.unique_id)
        if known is not None and known[0] == text:
            return known[1]
        keys = parse_jwks(text.encode("utf-8", "replace"))
        self._static.put(provider.account, provider.unique_id, (text, keys))
        return keys

    def _name_of(self, provider: OidcProvider, options: ProviderOptions) -> str:
        known = self._names.get(provider.account, provider.unique_id)
        # The directory remembers a provider until it changes, and then has another.
        if known is not None and known[0] is provider:
            return known[1]
        name = provider.url
        if self.is_private(provider, options):
            # The name covers thumbprints and URL, so a changed provider starts from
            # scratch.
            name = f"{provider.unique_id} {name} {' '.join(provider.thumbprints)}"
        self._names.put(provider.account, provider.unique_id, (provider, name))
        return name

    def _slot_of(self, provider: OidcProvider, options: ProviderOptions) -> _Slot:
        name = self._name_of(provider, options)
        slot = self._slots.get(SHARED, name)
        if slot is None:
            slot = _Slot(name, provider.url, provider.account, provider.thumbprints)
            self._slots.put(SHARED, name, slot)
        return slot

    def _renew(self, slot: _Slot, keys: KeySet, fetched_at: float) -> None:
        slot.keys, slot.fetched_at = keys, fetched_at
        self._slots.put(SHARED, slot.name, slot)  # it has another size now

    def _age(self, slot: _Slot) -> float:
        return self._clock.now().timestamp() - slot.fetched_at

    def _start(self, slot: _Slot, kid: str | None = None) -> SharedWork[None]:
        if slot.running is None:
            slot.running = SharedWork(self._refresh(slot, kid), slot.account)
            self._fetches.add(slot.running.task)
            slot.running.task.add_done_callback(self._fetches.discard)
        return slot.running

    async def _wait(self, slot: _Slot, kid: str | None = None) -> None:
        # A cancelled caller must not cancel the others' fetch.
        await self._start(slot, kid).join()

    async def _refresh(self, slot: _Slot, kid: str | None) -> None:
        slot.attempted_at = self._clock.now().timestamp()
        try:
            async with asyncio.timeout(self._fetch_seconds):
                self._renew(slot, *await self._obtain(slot, kid))
            slot.failure = None
        except (FetchFailedError, OidcRejected, TimeoutError) as error:
            slot.failure = _without_frames(error)
        finally:
            slot.running = None

    async def _obtain(self, slot: _Slot, kid: str | None) -> tuple[KeySet, float]:
        """Another worker's set if it is good enough, else a fetched one."""
        cache, seal = self._cache, self._seal
        if cache is None or seal is None:
            return await self._fetch(slot)
        try:
            return await self._obtain_shared(slot, kid, cache, seal)
        except StoreUnavailableError:
            return await self._fetch(slot)

    async def _look(self, slot: _Slot) -> None:
        """Use the set that another process has fetched since."""
        if self._cache is None or self._seal is None:
            return
        with suppress(StoreUnavailableError, OidcRejected):
            sealed = await self._cache.get(_SPACE, _cache_key(slot))
            opened = _open_shared(slot, self._seal, sealed)
            if opened is not None and opened[1] > slot.fetched_at:
                self._renew(slot, await _parse(opened[0]), opened[1])

    async def _obtain_shared(
        self, slot: _Slot, kid: str | None, cache: Cache, seal: KeySetSeal
    ) -> tuple[KeySet, float]:
        key = _cache_key(slot)
        while True:
            shared = await self._find_shared(slot, kid, cache, seal)
            if shared is not None:
                return shared
            now = self._clock.now()
            until = now + timedelta(seconds=self._fetch_seconds)
            if await cache.add(
                _LOCK_SPACE, key, _held(_FETCHING, until), expires_at=until
            ):
                break
            held = await cache.get(_LOCK_SPACE, key)
            if held is not None and not self._counts(held, now):
                await cache.drop(_LOCK_SPACE, key)
                continue
            if held is not None and held.startswith(_FAILED):
                raise _read_failure(slot, seal, held)
            await asyncio.sleep(_POLL_SECONDS)
        # The previous holder of the lock may have stored the set since we looked.
        shared = await self._find_shared(slot, kid, cache, seal)
        if shared is not None:
            await cache.drop(_LOCK_SPACE, key)
            return shared
        try:
            return await self._fetch(slot)
        except (FetchFailedError, OidcRejected) as error:
            # Only the worker that fetched does this: reading its result must not
            # prolong the cool-down.
            rest = now + timedelta(seconds=COOL_DOWN_SECONDS)
            failure = _FAILED + _seal_failure(slot, seal, error)
            with suppress(StoreUnavailableError):
                await cache.put(_LOCK_SPACE, key, _held(failure, rest), expires_at=rest)
            raise

    def _counts(self, held: bytes, now: datetime) -> bool:
        """Whether a lock is valid: not when the clock has been set since.

        Workers' clocks may differ by as much as the cool-down.
        """
        left = int.from_bytes(held[-_TIME_BYTES:], "big") / 1000 - now.timestamp()
        longest = max(self._fetch_seconds, COOL_DOWN_SECONDS)
        return -COOL_DOWN_SECONDS < left < longest + COOL_DOWN_SECONDS

    async def _find_shared(
        self, slot: _Slot, kid: str | None, cache: Cache, seal: KeySetSeal
    ) -> tuple[KeySet, float] | None:
        """Another worker's set; None when it is not good enough and a fetch is due."""
        opened = _open_shared(slot, seal, await cache.get(_SPACE, _cache_key(slot)))
        if opened is None:
            return None
        data, fetched_at = opened
        age = self._clock.now().timestamp() - fetched_at
        newer = fetched_at > slot.fetched_at
        if not newer and not -COOL_DOWN_SECONDS < age < COOL_DOWN_SECONDS:
            return None  # unchanged since a waiting caller last looked
        shared = await _parse(data), fetched_at
        will_do = newer and (kid is None or kid in shared[0].keys)
        # One from the future was made before the clock was set back; its age is
        # unknown.
        limit = REFRESH_SECONDS if will_do else COOL_DOWN_SECONDS
        if -COOL_DOWN_SECONDS < age < limit:
            return shared
        if newer:  # better than ours if the fetch fails
            self._renew(slot, *shared)
        return None

    async def _fetch(self, slot: _Slot) -> tuple[KeySet, float]:
        """The issuer's own set, which all processes have from now on."""
        data, fetched_at = await self._download(slot)
        keys = await _parse(data)
        if self._cache is not None and self._seal is not None:
            key = _cache_key(slot)
            stamp = int(fetched_at * 1000).to_bytes(_TIME_BYTES, "big")
            with suppress(StoreUnavailableError):
                await self._cache.put(
                    _SPACE,
                    key,
                    self._seal.seal(slot.name, stamp + data),
                    expires_at=self._clock.now() + timedelta(seconds=STALE_SECONDS),
                )
                await self._cache.drop(_LOCK_SPACE, key)
        return keys, fetched_at

    async def _download(self, slot: _Slot) -> tuple[bytes, float]:
        fetched_at = self._clock.now().timestamp()
        document = await self._fetcher.fetch(
            discovery_url(slot.issuer),
            account=slot.account,
            thumbprints=slot.thumbprints,
            max_bytes=DISCOVERY_BYTES_MAX,
        )
        discovery = parse_discovery(document, slot.issuer)
        data = await self._fetcher.fetch(
            discovery.jwks_uri,
            account=slot.account,
            thumbprints=slot.thumbprints,
            max_bytes=JWKS_BYTES_MAX,
        )
        return data, fetched_at


@remembered()
def _place_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _from_timestamp(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _cache_key(slot: _Slot) -> bytes:
    return hashlib.sha256(slot.name.encode("utf-8")).digest()


def _held(what: bytes, until: datetime) -> bytes:
    """The value of a lock: its purpose and its expiry."""
    return what + int(until.timestamp() * 1000).to_bytes(_TIME_BYTES, "big")


def _seal_failure(
    slot: _Slot, seal: KeySetSeal, error: FetchFailedError | OidcRejected
) -> bytes:
    """The failure, sealed for other workers to report; no fetched text is copied."""
    texts = [str(error)]
    if isinstance(error, OidcRejected):
        texts = [error.reason, error.message, error.detail]
    label = json.dumps([text[:_FAILURE_CHARACTERS] for text in texts])
    return seal.seal(_failure_name(slot), label.encode("ascii"))


def _read_failure(
    slot: _Slot, seal: KeySetSeal, held: bytes
) -> FetchFailedError | OidcRejected:
    sealed = held[len(_FAILED) : -_TIME_BYTES]
    plain = seal.find_opened(_failure_name(slot), sealed)
    if plain is None:
        return FetchFailedError(f"{slot.issuer}: another worker just failed")
    first, *rest = json.loads(plain)
    return OidcRejected(OidcReason(first), *rest) if rest else FetchFailedError(first)


def _failure_name(slot: _Slot) -> str:
    """The cache key of a failure; never that of a key set."""
    return f"failure {slot.name}"


def _open_shared(
    slot: _Slot, seal: KeySetSeal, sealed: bytes | None
) -> tuple[bytes, float] | None:
    """A shared key set, not parsed yet, and when it was fetched."""
    plain = None if sealed is None else seal.find_opened(slot.name, sealed)
    if plain is None:
        return None
    fetched_at = int.from_bytes(plain[:_TIME_BYTES], "big") / 1000
    return plain[_TIME_BYTES:], fetched_at


async def _parse(data: bytes) -> KeySet:
    return await offload_long(len(data), lambda: parse_jwks(data))


def _without_frames(error: Exception) -> Exception:
    """An error that can be remembered: its frames hold what could not be read."""
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return error


def _failure_of(slot: _Slot) -> Exception:
    failure = slot.failure
    if isinstance(failure, OidcRejected):
        return OidcRejected(failure.reason, failure.message, failure.detail)
    unreachable = IssuerUnreachableError(
        str(failure) or f"{slot.issuer}: no answer within the deadline"
    )
    unreachable.__cause__ = failure
    return unreachable
