import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.proofs import issuer_keys
from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.issuer_keys import IssuerKeys, IssuerUnreachableError
from broker.proofs.outbound import OutboundClient
from broker.proofs.provider_options import ProviderOptions
from broker.protocols.oidc.jwks import KeySet
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.stores.errors import StoreUnavailableError
from tests.support.oidc_issuer import IssuerServer, OidcIssuer, send, serving
from tests.support.waiting import until

FIRST, SECOND = AccountId("111111111111"), AccountId("222222222222")
PLAIN = ProviderOptions()


def provider_of(url: str, account: AccountId = FIRST, **params: Any) -> OidcProvider:
    return OidcProvider(
        account=account,
        unique_id=params.pop("unique_id", f"OIDCP{account}"),
        url=url,
        client_ids=("client-1",),
        thumbprints=params.pop("thumbprints", ()),
        created_at=datetime.now(UTC),
        **params,
    )


class DictCache(Struct):
    """The three methods of a cache that sharing uses, over a dictionary."""

    entries: dict[tuple[str, bytes], bytes] = {}
    down: bool = False

    async def get(self, space: str, key: bytes) -> bytes | None:
        self._check()
        return self.entries.get((space, key))

    async def put(self, space: str, key: bytes, value: bytes, **_: object) -> None:
        self._check()
        self.entries[space, key] = value

    async def add(self, space: str, key: bytes, value: bytes, **_: object) -> bool:
        self._check()
        if (space, key) in self.entries:
            return False
        self.entries[space, key] = value
        return True

    async def drop(self, space: str, key: bytes) -> None:
        self._check()
        self.entries.pop((space, key), None)

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailableError


class ExpiringCache(DictCache):
    """Forgets in time."""

    clock: Any = None
    ends: dict[tuple[str, bytes], datetime] = {}

    async def get(self, space: str, key: bytes) -> bytes | None:
        self._forget()
        return await super().get(space, key)

    async def put(self, space: str, key: bytes, value: bytes, **params: Any) -> None:
        await super().put(space, key, value)
        self.ends[space, key] = params["expires_at"]

    async def add(self, space: str, key: bytes, value: bytes, **params: Any) -> bool:
        self._forget()
        added = await super().add(space, key, value)
        if added:
            self.ends[space, key] = params["expires_at"]
        return added

    def _forget(self) -> None:
        for place, end in self.ends.items():
            if end <= self.clock.now():
                self.entries.pop(place, None)


class LateCache(DictCache):
    """Its first answer about a key set arrives when ``late`` is set."""

    late: asyncio.Event | None = None

    async def get(self, space: str, key: bytes) -> bytes | None:
        value = await super().get(space, key)
        if space == "jwks" and self.late is not None:
            late, self.late = self.late, None
            await late.wait()
        return value


class LookedAtCache(DictCache):
    """Counts how often a key set is asked for."""

    looks: int = 0

    async def get(self, space: str, key: bytes) -> bytes | None:
        self.looks += space == "jwks"
        return await super().get(space, key)


class XorSeal:
    """Stands for the vault: opens only what it sealed for the same slot."""

    def seal(self, slot: str, plain: bytes) -> bytes:
        return b"sealed for " + slot.encode() + b"\0" + plain

    def find_opened(self, slot: str, sealed: bytes) -> bytes | None:
        head = b"sealed for " + slot.encode() + b"\0"
        return sealed.removeprefix(head) if sealed.startswith(head) else None


@pytest.fixture
def server() -> Iterator[IssuerServer]:
    with serving("/tenant") as running:
        yield running


def keys_for(server: IssuerServer, clock: Any, **params: Any) -> IssuerKeys:
    rules = AddressRules(
        parse_internal_issuers(params.pop("entries", f"127.0.0.1:{server.port}"))
    )
    client = OutboundClient(rules, deadline_seconds=4.0)
    return IssuerKeys(client, clock, **params)


@pytest.fixture
async def keys(server: IssuerServer, clock: Any) -> AsyncIterator[IssuerKeys]:
    made = keys_for(server, clock)
    yield made
    await made.close()


def _lock_key(provider: OidcProvider) -> bytes:
    """What a cache with a clock would have forgotten by now."""
    name = f"{provider.unique_id} {provider.url} "
    return hashlib.sha256(name.encode()).digest()


def kids(key_set: KeySet) -> set[str]:
    return set(key_set.keys)


async def settle() -> None:
    """Let a background fetch on loopback come to its end."""
    await until(
        lambda: not any("IssuerKeys._refresh" in repr(t) for t in asyncio.all_tasks())
    )


async def test_discovery_leads_to_the_keys_once(
    server: IssuerServer, keys: IssuerKeys
) -> None:
    provider = provider_of(server.issuer.url)
    first = await keys.keys_of(provider, PLAIN)
    assert kids(first) == {"key-1"}
    for _ in range(20):
        assert await keys.keys_of(provider, PLAIN) is first
    assert server.hits == {server.discovery_path: 1, server.jwks_path: 1}


async def test_concurrent_first_callers_share_one_fetch(
    server: IssuerServer, keys: IssuerKeys
) -> None:
    provider = provider_of(server.issuer.url)
    key_sets = await asyncio.gather(*(keys.keys_of(provider, PLAIN) for _ in range(50)))
    assert len({id(key_set) for key_set in key_sets}) == 1
    assert server.hits[server.jwks_path] == 1


async def test_who_comes_during_a_fetch_waits_for_it(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    def slowly(handler: Any) -> None:
        time.sleep(0.2)
        send(handler, server.issuer.jwks_bytes())

    server.answers[server.jwks_path] = slowly
    provider = provider_of(server.issuer.url)
    first = asyncio.create_task(keys.keys_of(provider, PLAIN))
    await asyncio.sleep(0.1)
    old = await keys.keys_of(provider, PLAIN)
    assert await first is old
    server.issuer.add_key("key-2", number=2)
    clock.move(issuer_keys.COOL_DOWN_SECONDS)
    second = asyncio.create_task(keys.newer_keys_of(provider, PLAIN, old, "key-2"))
    await asyncio.sleep(0.1)
    newer = await keys.newer_keys_of(provider, PLAIN, old, "key-2")
    assert "key-2" in newer.keys
    assert await second is newer
    assert server.hits[server.jwks_path] == 2


async def test_a_caller_that_goes_away_does_not_take_the_fetch_along(
    server: IssuerServer, keys: IssuerKeys
) -> None:
    provider = provider_of(server.issuer.url)
    leaving = asyncio.create_task(keys.keys_of(provider, PLAIN))
    staying = asyncio.create_task(keys.keys_of(provider, PLAIN))
    await asyncio.sleep(0)
    leaving.cancel()
    assert kids(await staying) == {"key-1"}


async def test_keys_are_refreshed_in_the_background_before_they_age(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    provider = provider_of(server.issuer.url)
    old = await keys.keys_of(provider, PLAIN)
    server.issuer.withdraw_key("key-1")
    server.issuer.add_key("key-2", number=2)
    clock.move(issuer_keys.REFRESH_SECONDS + 1)
    assert await keys.keys_of(provider, PLAIN) is old
    await settle()
    assert kids(await keys.keys_of(provider, PLAIN)) == {"key-2"}


async def test_after_the_maximum_age_callers_wait_for_new_keys(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    """A withdrawn key does not verify longer than the maximum age."""
    provider = provider_of(server.issuer.url)
    await keys.keys_of(provider, PLAIN)
    server.issuer.withdraw_key("key-1")
    server.issuer.add_key("key-2", number=2)
    clock.move(issuer_keys.AGE_SECONDS_MAX + 1)
    assert kids(await keys.keys_of(provider, PLAIN)) == {"key-2"}


async def test_last_known_keys_serve_through_an_outage_for_a_bounded_time(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    provider = provider_of(server.issuer.url)
    known = await keys.keys_of(provider, PLAIN)
    server.down = True
    clock.move(issuer_keys.AGE_SECONDS_MAX + 1)
    for _ in range(3):
        assert await keys.keys_of(provider, PLAIN) is known
    assert server.hits[server.discovery_path] == 2
    clock.move(issuer_keys.STALE_SECONDS)
    with pytest.raises(IssuerUnreachableError):
        await keys.keys_of(provider, PLAIN)
    server.down = False
    clock.move(issuer_keys.COOL_DOWN_SECONDS)
    assert kids(await keys.keys_of(provider, PLAIN)) == {"key-1"}


async def test_a_dead_issuer_is_asked_once_in_a_cool_down(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    provider = provider_of(server.issuer.url)
    server.down = True
    for _ in range(5):
        with pytest.raises(IssuerUnreachableError):
            await keys.keys_of(provider, PLAIN)
    assert server.hits[server.discovery_path] == 1
    clock.move(issuer_keys.COOL_DOWN_SECONDS)
    server.down = False
    assert await keys.keys_of(provider, PLAIN)


async def test_an_unknown_key_id_costs_one_fetch_for_all_then_none(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    provider = provider_of(server.issuer.url)
    seen = await keys.keys_of(provider, PLAIN)
    server.issuer.add_key("key-2", number=2)
    clock.move(issuer_keys.COOL_DOWN_SECONDS)
    key_sets = await asyncio.gather(
        *(keys.newer_keys_of(provider, PLAIN, seen, "key-2") for _ in range(50))
    )
    assert all(kids(key_set) == {"key-1", "key-2"} for key_set in key_sets)
    assert server.hits[server.jwks_path] == 2
    for _ in range(50):
        newest = await keys.newer_keys_of(provider, PLAIN, key_sets[0], "x")
        assert newest is key_sets[0]
    assert server.hits[server.jwks_path] == 2


async def test_an_unknown_key_id_of_a_dead_issuer_asks_to_try_again(
    server: IssuerServer, keys: IssuerKeys, clock: Any
) -> None:
    provider = provider_of(server.issuer.url)
    seen = await keys.keys_of(provider, PLAIN)
    server.down = True
    clock.move(issuer_keys.COOL_DOWN_SECONDS)
    for _ in range(2):
        with pytest.raises(IssuerUnreachableError):
            await keys.newer_keys_of(provider, PLAIN, seen, "key-2")
    assert await keys.keys_of(provider, PLAIN) is seen


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("discovery_path", b"<html>", OidcReason.BAD_DISCOVERY),
        ("discovery_path", b'{"issuer":"https://x"}', OidcReason.BAD_DISCOVERY),
        ("jwks_path", b"<html>", OidcReason.BAD_KEY_SET),
        ("jwks_path", b"[" * 100_000, OidcReason.BAD_KEY_SET),
    ],
)
async def test_nonsense_is_told_from_silence(
    server: IssuerServer, keys: IssuerKeys, path: str, body: bytes, reason: OidcReason
) -> None:
    server.answers[getattr(server, path)] = lambda handler: send(handler, body)
    for _ in range(2):
        with pytest.raises(OidcRejected) as caught:
            await keys.keys_of(provider_of(server.issuer.url), PLAIN)
        assert caught.value.reason is reason


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://localhost:{port}/jwks",
        "https://127.0.0.1:1/jwks",
        "gopher://127.0.0.1/",
    ],
)
async def test_a_key_address_is_under_the_same_rules(
    server: IssuerServer, keys: IssuerKeys, jwks_uri: str
) -> None:
    document = server.issuer.discovery()
    document["jwks_uri"] = jwks_uri.replace("{port}", str(server.port))
    server.answers[server.discovery_path] = lambda handler: send(
        handler, json.dumps(document).encode()
    )
    with pytest.raises(IssuerUnreachableError):
        await keys.keys_of(provider_of(server.issuer.url), PLAIN)
    assert server.hits == {server.discovery_path: 1}


async def test_one_hanging_issuer_does_not_block_another(
    server: IssuerServer, clock: Any
) -> None:
    with serving() as hanging:
        hanging.answers[hanging.discovery_path] = lambda _: time.sleep(2)
        both = keys_for(
            server, clock, entries=f"127.0.0.1:{server.port} 127.0.0.1:{hanging.port}"
        )
        stuck = asyncio.create_task(
            both.keys_of(provider_of(hanging.issuer.url), PLAIN)
        )
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(
            both.keys_of(provider_of(server.issuer.url), PLAIN), 0.5
        )
        with pytest.raises(IssuerUnreachableError):
            await stuck


async def test_static_keys_are_used_instead_of_fetching(
    server: IssuerServer, keys: IssuerKeys
) -> None:
    other = OidcIssuer(server.issuer.url)
    other.add_key("static-key", number=7)
    options = ProviderOptions(static_jwks=json.dumps(other.jwks()))
    provider = provider_of(server.issuer.url)
    key_set = await keys.keys_of(provider, options)
    assert "static-key" in key_set.keys
    assert await keys.keys_of(provider, options) is key_set
    assert await keys.newer_keys_of(provider, options, key_set, "x") is key_set
    changed = ProviderOptions(static_jwks='{"keys":[]}')
    assert kids(await keys.keys_of(provider, changed)) == set()
    assert not server.hits


async def test_key_sets_are_kept_apart_where_a_provider_decides_what_is_fetched(
    server: IssuerServer, clock: Any
) -> None:
    """Internal, pinned and static providers share with nobody."""
    provider, two = (
        provider_of(server.issuer.url),
        provider_of(server.issuer.url, SECOND),
    )
    internal = keys_for(server, clock)
    assert internal.is_private(provider, PLAIN)
    assert await internal.keys_of(provider, PLAIN) is not await internal.keys_of(
        two, PLAIN
    )
    public = keys_for(server, clock, entries="")
    assert not public.is_private(provider, PLAIN)
    assert public.is_private(
        provider_of(server.issuer.url, thumbprints=("0" * 40,)), PLAIN
    )
    assert public.is_private(provider, ProviderOptions(static_jwks="{}"))
    networks = keys_for(server, clock, entries=f"{FIRST}=10.0.0.0/8")
    assert networks.is_private(provider, PLAIN)
    assert not networks.is_private(two, PLAIN)
    everyones = keys_for(server, clock, entries="10.0.0.0/8")
    assert not everyones.is_private(provider, PLAIN)


async def test_a_provider_s_changed_thumbprints_start_again(
    server: IssuerServer, keys: IssuerKeys
) -> None:
    await keys.keys_of(provider_of(server.issuer.url), PLAIN)
    await keys.keys_of(provider_of(server.issuer.url, thumbprints=("0" * 40,)), PLAIN)
    assert server.hits[server.jwks_path] == 2


class TestSharing:
    """All workers of an installation fetch once."""

    def workers(self, server: IssuerServer, clock: Any, cache: DictCache) -> Any:
        return [
            keys_for(server, clock, cache=cache, seal=XorSeal(), fetch_seconds=8.0)
            for _ in range(4)
        ]

    async def test_workers_that_start_together_fetch_once(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        workers = self.workers(server, clock, DictCache())
        results = await asyncio.gather(*(w.keys_of(provider, PLAIN) for w in workers))
        assert [kids(entry) for entry in results] == [{"key-1"}] * 4
        assert server.hits[server.jwks_path] == 1

    async def test_who_looked_before_another_was_done_looks_again(
        self, server: IssuerServer, clock: Any
    ) -> None:
        """Else it finds no set, then the lock free, and fetches a second time."""
        done = asyncio.Event()
        cache = LateCache(late=done)
        first, second, *_ = self.workers(server, clock, cache)
        provider = provider_of(server.issuer.url)
        waiting = asyncio.create_task(first.keys_of(provider, PLAIN))
        while cache.late is not None:  # noqa: ASYNC110  # until the first has looked
            await asyncio.sleep(0)
        await second.keys_of(provider, PLAIN)
        done.set()
        assert kids(await waiting) == {"key-1"}
        assert server.hits[server.jwks_path] == 1
        assert await cache.get("jwks-lock", next(iter(cache.entries))[1]) is None

    async def test_who_waits_for_another_s_fetch_reads_the_old_set_once(
        self, server: IssuerServer, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A key set may be large, and it is looked for many times a second."""
        cache, provider = LookedAtCache(), provider_of(server.issuer.url)
        first, second, *_ = self.workers(server, clock, cache)
        await first.keys_of(provider, PLAIN)
        clock.move(issuer_keys.AGE_SECONDS_MAX)
        place = ("jwks-lock", _lock_key(provider))
        until = clock.now() + timedelta(seconds=8)
        cache.entries[place] = issuer_keys._held(b"fetching", until)
        parsed, parse = [], issuer_keys.parse_jwks

        def counted(data: bytes) -> KeySet:
            parsed.append(data)
            return parse(data)

        monkeypatch.setattr(issuer_keys, "parse_jwks", counted)
        cache.looks = 0
        waiting = asyncio.create_task(second.keys_of(provider, PLAIN))
        while cache.looks < 4:  # noqa: ASYNC110  # however long that takes
            await asyncio.sleep(0.01)
        assert len(parsed) == 1
        del cache.entries[place]
        assert kids(await waiting) == {"key-1"}

    async def test_an_unknown_key_id_costs_all_workers_one_fetch(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        workers = self.workers(server, clock, DictCache())
        seen = [await w.keys_of(provider, PLAIN) for w in workers]
        server.issuer.add_key("key-2", number=2)
        clock.move(issuer_keys.COOL_DOWN_SECONDS)
        for worker, old in zip(workers, seen, strict=True):
            newer = await worker.newer_keys_of(provider, PLAIN, old, "key-2")
            assert kids(newer) == {"key-1", "key-2"}
        assert server.hits[server.jwks_path] == 2

    async def test_a_worker_that_knows_less_takes_the_shared_set_when_it_will_do(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        first, second, *_ = self.workers(server, clock, DictCache())
        old = await first.keys_of(provider, PLAIN)
        await second.keys_of(provider, PLAIN)
        server.issuer.add_key("key-2", number=2)
        clock.move(60)
        await second.newer_keys_of(provider, PLAIN, old, "key-2")
        clock.move(60)
        match = await first.newer_keys_of(provider, PLAIN, old, "key-2")
        assert kids(match) == {"key-1", "key-2"}
        assert server.hits[server.jwks_path] == 2
        clock.move(60)
        server.issuer.add_key("key-3", number=3)
        match = await first.newer_keys_of(provider, PLAIN, match, "key-3")
        assert "key-3" in match.keys
        assert server.hits[server.jwks_path] == 3

    async def test_an_old_shared_set_serves_a_new_worker_in_an_outage_only(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        first, second, third, _ = self.workers(server, clock, DictCache())
        await first.keys_of(provider, PLAIN)
        clock.move(issuer_keys.AGE_SECONDS_MAX + 1)
        server.issuer.add_key("key-2", number=2)
        server.down = True
        assert kids(await second.keys_of(provider, PLAIN)) == {"key-1"}
        server.down = False
        clock.move(issuer_keys.COOL_DOWN_SECONDS)
        third._cache.entries.pop(("jwks-lock", _lock_key(provider)))
        assert kids(await third.keys_of(provider, PLAIN)) == {"key-1", "key-2"}

    async def test_a_failure_of_one_is_the_failure_of_all_for_a_while(
        self, server: IssuerServer, clock: Any
    ) -> None:
        server.down = True
        provider = provider_of(server.issuer.url)
        workers = self.workers(server, clock, DictCache())
        results = await asyncio.gather(
            *(w.keys_of(provider, PLAIN) for w in workers), return_exceptions=True
        )
        assert {type(entry) for entry in results} == {IssuerUnreachableError}
        assert server.hits[server.discovery_path] == 1

    async def test_the_others_know_what_failed(
        self, server: IssuerServer, clock: Any
    ) -> None:
        other = {**server.issuer.discovery(), "issuer": "https://other.example"}
        server.answers[server.discovery_path] = lambda h: send(
            h, json.dumps(other).encode()
        )
        provider, cache = provider_of(server.issuer.url), DictCache()
        first, second, third, _ = self.workers(server, clock, cache)
        for worker in (first, second):
            with pytest.raises(OidcRejected) as refused:
                await worker.keys_of(provider, PLAIN)
            assert refused.value.reason is OidcReason.BAD_DISCOVERY
            assert "https://other.example" in refused.value.detail
        cache.entries = {
            place: value.replace(b"sealed", b"forged")
            for place, value in cache.entries.items()
        }
        with pytest.raises(IssuerUnreachableError, match="another worker"):
            await third.keys_of(provider, PLAIN)
        server.answers[server.discovery_path] = lambda h: h.send_error(404)
        cache.entries.clear()
        provider = replace(provider, thumbprints=("0" * 40,))
        for worker in (first, second):
            with pytest.raises(IssuerUnreachableError, match="404"):
                await worker.keys_of(provider, PLAIN)

    async def test_an_issuer_that_is_back_is_asked_after_one_cool_down(
        self, server: IssuerServer, clock: Any
    ) -> None:
        """Whoever only hears of a failure does not prolong it for the others."""
        provider, cache = provider_of(server.issuer.url), ExpiringCache(clock=clock)
        first, second, *_ = self.workers(server, clock, cache)
        server.down = True
        with pytest.raises(IssuerUnreachableError):
            await first.keys_of(provider, PLAIN)
        clock.move(issuer_keys.COOL_DOWN_SECONDS - 1)
        with pytest.raises(IssuerUnreachableError):
            await second.keys_of(provider, PLAIN)
        server.down = False
        clock.move(1)
        assert kids(await first.keys_of(provider, PLAIN)) == {"key-1"}

    async def test_a_clock_that_is_set_back_does_not_hide_new_keys(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        workers = self.workers(server, clock, DictCache())
        seen = [await w.keys_of(provider, PLAIN) for w in workers]
        server.issuer.add_key("key-2", number=2)
        clock.move(-3600)
        for worker, old in zip(workers, seen, strict=True):
            newer = await worker.newer_keys_of(provider, PLAIN, old, "key-2")
            assert kids(newer) == {"key-1", "key-2"}
        assert server.hits[server.jwks_path] == 2

    @pytest.mark.parametrize("seconds", [-3600, 3600])
    async def test_a_failure_does_not_outlast_a_change_of_the_clock(
        self, server: IssuerServer, clock: Any, seconds: float
    ) -> None:
        provider = provider_of(server.issuer.url)
        worker, *_ = self.workers(server, clock, DictCache())
        server.down = True
        with pytest.raises(IssuerUnreachableError):
            await worker.keys_of(provider, PLAIN)
        server.down = False
        clock.move(seconds)
        assert kids(await worker.keys_of(provider, PLAIN)) == {"key-1"}

    async def test_a_lost_cache_only_costs_fetches(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        for worker in self.workers(server, clock, DictCache(down=True)):
            assert kids(await worker.keys_of(provider, PLAIN)) == {"key-1"}
        assert server.hits[server.jwks_path] == 4

    async def test_who_writes_the_cache_brings_no_key_in(
        self, server: IssuerServer, clock: Any
    ) -> None:
        provider = provider_of(server.issuer.url)
        cache = DictCache()
        first, second, *_ = self.workers(server, clock, cache)
        await first.keys_of(provider, PLAIN)
        foreign = OidcIssuer(server.issuer.url)
        foreign.add_key("evil", number=3)
        [place] = [place for place in cache.entries if place[0] == "jwks"]
        stamp = int(clock.now().timestamp() * 1000).to_bytes(8, "big")
        cache.entries[place] = stamp + foreign.jwks_bytes()
        assert kids(await second.keys_of(provider, PLAIN)) == {"key-1"}

    async def test_without_a_seal_nothing_is_shared(
        self, server: IssuerServer, clock: Any
    ) -> None:
        cache = DictCache()
        alone = keys_for(server, clock, cache=cache)
        assert await alone.keys_of(provider_of(server.issuer.url), PLAIN)
        assert not cache.entries
