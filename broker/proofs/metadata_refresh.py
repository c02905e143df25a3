"""Keeps SAML metadata that an identity provider publishes up to date.

The operator's option ``MetadataUrl`` is the URL. It is fetched in the background, as
often as the document asks, within bounds, and at once when a signature verifies with no
known key, so that sign-ins survive a key roll-over. One worker fetches for all; a
cool-down follows each attempt, and a growing pause each failure. Good metadata is kept
until it can be replaced.

Source: SAML 2.0 Metadata 2.3.2 (validUntil, cacheDuration).
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from broker.model.audit import AuditRecord
from broker.model.document import UNREAD
from broker.model.entities import SamlProvider
from broker.proofs.outbound import FetchFailedError, OutboundClient
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.refresh_state import (
    RefreshState,
    after_failure,
    after_success,
    read_state,
    write_state,
)
from broker.protocols.saml.errors import MetadataReason, MetadataRejected
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.protocols.saml.published_metadata import (
    PublishedMetadata,
    is_newer,
    parse_signers,
    read_published_metadata,
)
from broker.runtime.bounded import BoundedCache
from broker.runtime.clock import Clock
from broker.runtime.entropy import new_request_id
from broker.runtime.offload import begin, in_background, offload_long
from broker.runtime.shares import SharedWork
from broker.stores.cache.port import Cache
from broker.stores.directory.accounts import (
    list_published_saml_providers,
)
from broker.stores.directory.kinds import SAML_PROVIDER
from broker.stores.directory.port import Directory
from broker.stores.errors import ConflictError, StoreUnavailableError

BYTES_MAX = 10_000_000
TICK_SECONDS = 60.0
"""How often a worker looks for providers that are due."""

_LOCK_SPACE = "saml-metadata-lock"
_LOCK_SECONDS = 30
_WAIT_SECONDS = 12.0
_POLL_SECONDS = 0.1
_AT_ONCE = 8
_AT_ONCE_IN_BACKGROUND = 4
"""The rest is for sign-ins, which servers that hang must not hold up."""

_REST_SHARE = 100
_ACCEPT = "application/samlmetadata+xml, application/xml;q=0.9, */*;q=0.1"
_SHOWN_KEYS = 20
_DIGEST_CHARACTERS = 32

_SUPERSEDED = "the provider was changed meanwhile"

_log = structlog.get_logger(__name__)


class SupersededError(Exception):
    """The provider was changed while its document was being fetched."""


class MetadataRefresher:
    """Fetches published metadata. ``http_hosts`` as in `parse_metadata`."""

    def __init__(
        self,
        fetcher: OutboundClient,
        directory: Directory,
        cache: Cache,
        clock: Clock,
        *,
        http_hosts: Collection[str] = (),
    ) -> None:
        self._fetcher = fetcher
        self._directory = directory
        self._cache = cache
        self._clock = clock
        self._http_hosts = http_hosts
        self._running: dict[str, SharedWork[RefreshState]] = {}
        self._states = BoundedCache[str, RefreshState]()
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Stop; a change that has begun is completed."""
        tasks = [attempt.task for attempt in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def refreshing(
        self, *, interval_seconds: float = TICK_SECONDS
    ) -> AsyncIterator[None]:
        """Fetch whatever is due while the block runs."""
        try:
            async with in_background(self._watch(interval_seconds), "saml-metadata"):
                yield
        finally:
            await self.close()

    async def state_of(self, provider: SamlProvider) -> RefreshState | None:
        """The outcome of the last attempt; None when there was none lately."""
        options = ProviderOptions.parse(provider.options)
        if not options.metadata_url:
            return None
        try:
            state = await read_state(self._cache, provider, options.metadata_url)
        except StoreUnavailableError:
            state = None
        return state or self._own_state(provider, options.metadata_url)

    async def refresh(
        self, provider: SamlProvider, *, insist: bool = False
    ) -> RefreshState:
        """Fetch now and return the outcome; all callers share one attempt.

        Within the cool-down of the last attempt its outcome is returned, as within the
        pause after a failure unless the caller must ``insist``.
        """
        return await self._start(provider, insist=insist).join()

    async def find_newer(self, provider: SamlProvider) -> SamlProvider | None:
        """The provider with newer metadata, when its own was not enough; else None.

        At most one fetch for all callers, and none within the cool-down or the pause
        after a failure. It goes on if callers do not wait for its end.
        """
        if not ProviderOptions.parse(provider.options).metadata_url:
            return None
        state = await self.state_of(provider)
        now = self._clock.now()
        running = provider.uuid in self._running
        if running or state is None or not state.rests(now):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.refresh(provider), _WAIT_SECONDS)
        place = (provider.account, provider.uuid)
        newer = await self._directory.find(SAML_PROVIDER, *place)
        if newer is None or newer.metadata == provider.metadata:
            return None
        return newer

    async def _refresh_due(self, providers: Iterable[SamlProvider]) -> None:
        now = self._clock.now()
        due = []
        for provider in providers:
            try:
                state = await self.state_of(provider)
            except ValueError as error:
                _log.warning(
                    "metadata options cannot be read",
                    provider=provider.arn,
                    error=str(error),
                )
                continue
            if state is None or state.is_due(now):
                due.append(provider)
        places = asyncio.Semaphore(_AT_ONCE_IN_BACKGROUND)

        async def refresh(provider: SamlProvider) -> RefreshState:
            async with places:
                return await self.refresh(provider)

        outcomes = await asyncio.gather(*map(refresh, due), return_exceptions=True)
        for provider, outcome in zip(due, outcomes, strict=True):
            if isinstance(outcome, Exception):
                _log.error(
                    "unexpected failure", provider=provider.arn, exc_info=outcome
                )

    async def _watch(self, interval_seconds: float) -> None:
        while True:
            began = self._clock.monotonic()
            try:
                providers = await list_published_saml_providers(self._directory)
                looked = self._clock.monotonic() - began
                await self._refresh_due(providers)
            except StoreUnavailableError as error:
                looked = 0.0
                _log.warning("published metadata is not read", error=str(error))
            # With very many providers, do not search all of them every time.
            await asyncio.sleep(max(interval_seconds, _REST_SHARE * looked))

    def _start(
        self, provider: SamlProvider, *, insist: bool
    ) -> SharedWork[RefreshState]:
        attempt = self._running.get(provider.uuid)
        if attempt is None:
            work = self._run(provider, insist=insist)
            attempt = self._running[provider.uuid] = SharedWork(work, provider.account)
            attempt.task.add_done_callback(
                lambda _: self._running.pop(provider.uuid, None)
            )
        return attempt

    async def _run(self, provider: SamlProvider, *, insist: bool) -> RefreshState:
        """One attempt of this worker, or the outcome of another's."""
        url = ProviderOptions.parse(provider.options).metadata_url
        key = provider.uuid.encode()
        async with self._gate:
            try:
                locked = await self._lock(key)
                before = await read_state(self._cache, provider, url)
            except StoreUnavailableError:
                locked, before = True, self._own_state(provider, url)
            now = self._clock.now()
            try:
                if before is not None and (
                    not locked or before.rests(now, insist=insist)
                ):
                    return before
                state = await self._attempt(provider, before)
                self._states.put(provider.account, provider.uuid, state)
                with contextlib.suppress(StoreUnavailableError):
                    await write_state(self._cache, provider, state)
                return state
            finally:
                if locked:
                    with contextlib.suppress(StoreUnavailableError):
                        await self._cache.drop(_LOCK_SPACE, key)

    async def _lock(self, key: bytes) -> bool:
        """Whether this worker should fetch; otherwise another one has just done so."""
        ends = self._clock.monotonic() + _WAIT_SECONDS
        waited = False
        while self._clock.monotonic() < ends:
            until = self._clock.now() + timedelta(seconds=_LOCK_SECONDS)
            if not waited and await self._cache.add(
                _LOCK_SPACE, key, b"1", expires_at=until
            ):
                return True
            waited = True
            await asyncio.sleep(_POLL_SECONDS)
            if await self._cache.get(_LOCK_SPACE, key) is None:
                return False
        return False

    def _own_state(self, provider: SamlProvider, url: str) -> RefreshState | None:
        state = self._states.get(provider.account, provider.uuid)
        return state if state is not None and state.url == url else None

    async def _attempt(
        self, provider: SamlProvider, before: RefreshState | None
    ) -> RefreshState:
        options = ProviderOptions.parse(provider.options)
        now = self._clock.now()
        place = (provider.account, provider.uuid)
        try:
            known: SamlProvider | None = provider
            if provider.metadata is UNREAD:
                known = await self._directory.find(SAML_PROVIDER, *place)
            if known is None:
                return self._failed(provider, before, _SUPERSEDED)
            data = await self._fetcher.fetch(
                options.metadata_url,
                account=provider.account,
                max_bytes=BYTES_MAX,
                accept=_ACCEPT,
            )
            current = await offload_long(
                len(known.metadata),
                lambda: parse_metadata(
                    known.metadata, now=None, legacy_rsa=options.legacy_rsa
                ),
            )
            # A federation's large document takes seconds to parse: not on the event
            # loop.
            published = await asyncio.to_thread(self._read, data, options, current, now)
            changed = is_newer(published.metadata, current)
            if changed:
                await _finish(
                    self._replace(
                        replace(known, options=provider.options),
                        options,
                        current,
                        published,
                    )
                )
        except (FetchFailedError, MetadataRejected, ValueError) as error:
            return self._failed(provider, before, _describe(error))
        except SupersededError:
            return self._failed(provider, before, _SUPERSEDED)
        except (StoreUnavailableError, ConflictError):
            return self._failed(provider, before, "the database was away or busy")
        return after_success(
            before,
            url=options.metadata_url,
            now=now,
            changed=changed,
            cache_duration=published.cache_duration,
            valid_until=published.metadata.valid_until,
        )

    def _read(
        self, data: bytes, options: ProviderOptions, current: IdpMetadata, now: datetime
    ) -> PublishedMetadata:
        try:
            text = data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise MetadataRejected(
                MetadataReason.UNPARSABLE, "The published metadata is not UTF-8."
            ) from error
        if options.metadata_certificate:
            signers = parse_signers(options.metadata_certificate)
        else:
            signers = tuple(
                key
                for descriptor in current.descriptors
                for key in descriptor.signing_keys
            )
        return read_published_metadata(
            text,
            entity_ids={descriptor.entity_id for descriptor in current.descriptors},
            signers=None if options.metadata_trust_tls else signers,
            now=now,
            legacy_rsa=options.legacy_rsa,
            http_hosts=self._http_hosts,
        )

    async def _replace(
        self,
        provider: SamlProvider,
        options: ProviderOptions,
        current: IdpMetadata,
        published: PublishedMetadata,
    ) -> None:
        async with self._directory.change(provider.account) as change:
            place = (provider.account, provider.uuid)
            now_there = await change.find(SAML_PROVIDER, *place)
            if (
                now_there is None
                or now_there.metadata != provider.metadata
                or now_there.options != provider.options
            ):
                raise SupersededError
            renewed = replace(now_there, metadata=published.text)
            await change.update(SAML_PROVIDER, renewed)
            until = published.metadata.valid_until
            await change.record(
                AuditRecord(
                    event_id=new_request_id(),
                    at=self._clock.now(),
                    account=provider.account,
                    door="background",
                    action="broker:RefreshSAMLMetadata",
                    caller_arn="broker",
                    parameters={
                        "Url": options.metadata_url,
                        "SigningKeys": _shown_keys(published.metadata),
                        "FormerSigningKeys": _shown_keys(current),
                        "ValidUntil": until.isoformat() if until else "",
                    },
                    resources=(provider.arn,),
                    decision="allowed",
                    reason="the operator's MetadataUrl of the provider",
                )
            )

    def _failed(
        self, provider: SamlProvider, before: RefreshState | None, words: str
    ) -> RefreshState:
        url = ProviderOptions.parse(provider.options).metadata_url
        _log.warning("published metadata refused", provider=provider.arn, error=words)
        return after_failure(before, url=url, now=self._clock.now(), words=words)


async def _finish(work: Coroutine[object, object, None]) -> None:
    """Await work that continues if its caller is cancelled."""
    task = begin(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def _shown_keys(metadata: IdpMetadata) -> list[str]:
    return [
        hashlib.sha256(key.spki).hexdigest()[:_DIGEST_CHARACTERS]
        for descriptor in metadata.descriptors
        for key in descriptor.signing_keys
    ][:_SHOWN_KEYS]


def _describe(error: Exception) -> str:
    detail = error.detail if isinstance(error, MetadataRejected) else ""
    return f"{error} ({detail})" if detail else str(error)
