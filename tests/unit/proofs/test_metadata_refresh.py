"""Published metadata over real HTTP, into a real directory, through a shared cache."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import SamlProvider
from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.metadata_refresh import MetadataRefresher
from broker.proofs.outbound import OutboundClient
from broker.proofs.refresh_state import (
    COOL_DOWN,
    INTERVAL_MAX,
    INTERVAL_MIN,
    USUAL_INTERVAL,
    RefreshState,
    after_failure,
    after_success,
    read_state,
)
from broker.stores.directory.accounts import list_published_saml_providers
from broker.stores.directory.kinds import SAML_PROVIDER
from broker.stores.directory.port import DirectoryChange
from broker.stores.errors import StoreUnavailableError
from tests.support.saml_idp import KeyPair, key_pair, metadata_xml, saml_time
from tests.support.saml_publisher import Publisher, publishing, signed_metadata
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, open_world
from tests.support.waiting import until

OLD, NEW = key_pair(), key_pair("new")
BOTH = signed_metadata(OLD, OLD, NEW)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing(BOTH) as running:
        yield running


async def watched(world: SignInWorld, url: str, **options: object) -> SamlProvider:
    """The provider ``Corp`` with a MetadataUrl."""
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        changed = replace(provider, options={"MetadataUrl": url, **options})
        await change.update(SAML_PROVIDER, changed)
    return changed


async def found_provider(world: SignInWorld) -> SamlProvider:
    provider = await world.services.stores.directory.named(
        SAML_PROVIDER, ACCOUNT, "Corp"
    )
    assert provider is not None
    return provider


async def now_registered(world: SignInWorld) -> str:
    return (await found_provider(world)).metadata


def refresher_for(
    world: SignInWorld, publisher: Publisher, **params: Any
) -> MetadataRefresher:
    entries = f"127.0.0.1:{publisher.port}"
    rules = AddressRules(parse_internal_issuers(params.pop("entries", entries)))
    services = world.services
    return MetadataRefresher(
        OutboundClient(rules, deadline_seconds=2.0),
        services.stores.directory,
        services.stores.cache,
        world.clock,
    )


async def test_what_changed_is_registered_and_recorded(
    world: SignInWorld, publisher: Publisher
) -> None:
    provider = await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    state = await refresher.refresh(provider)
    assert state.problem == ""
    assert state.changed_at is not None
    assert NEW.certificate_base64 in await now_registered(world)
    record = await world.recorded("broker:RefreshSAMLMetadata")
    assert record.account == ACCOUNT
    assert record.resources == (provider.arn,)
    assert len(record.parameters["SigningKeys"]) == 2
    assert len(record.parameters["FormerSigningKeys"]) == 1


async def test_the_same_again_changes_nothing(
    world: SignInWorld, publisher: Publisher
) -> None:
    publisher.text = signed_metadata(OLD, OLD, attributes=' cacheDuration="PT1H"')
    provider = await watched(world, publisher.url)
    before = await world.services.stores.directory.last_changes([ACCOUNT])
    state = await refresher_for(world, publisher).refresh(provider)
    assert (state.problem, state.changed_at) == ("", None)
    assert state.next_at - state.attempted_at == timedelta(hours=1)
    after = await world.services.stores.directory.last_changes([ACCOUNT])
    assert after == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "Could not parse"),
        (metadata_xml(NEW), "not signed"),
        (signed_metadata(NEW, NEW), "not signed by a trusted certificate"),
        (signed_metadata(OLD, NEW, entity_id="https://evil.example"), "0 times"),
        (
            signed_metadata(OLD, OLD, attributes=' validUntil="2020-01-01T00:00:00Z"'),
            "valid until",
        ),
    ],
)
async def test_a_bad_document_leaves_the_last_good_one(
    world: SignInWorld, publisher: Publisher, text: str, says: str
) -> None:
    publisher.text = text
    provider = await watched(world, publisher.url)
    state = await refresher_for(world, publisher).refresh(provider)
    assert says in state.problem
    assert state.failures == 1
    assert await now_registered(world) == provider.metadata


async def test_an_earlier_document_is_not_taken_back(
    world: SignInWorld, publisher: Publisher
) -> None:
    def dated(days: int, *keys: KeyPair) -> str:
        end = saml_time(world.clock.now() + timedelta(days=days))
        return signed_metadata(OLD, *keys, attributes=f' validUntil="{end}"')

    earlier, publisher.text = dated(9, OLD, NEW), dated(10, OLD)
    await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    await refresher.refresh(await found_provider(world))
    known = await now_registered(world)
    assert "validUntil" in known
    publisher.text = earlier
    world.clock.move(3600)
    state = await refresher.refresh(await found_provider(world))
    assert "an earlier document" in state.problem
    assert await now_registered(world) == known


async def test_a_change_that_has_begun_comes_to_its_end(
    world: SignInWorld, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    begun, go_on = asyncio.Event(), asyncio.Event()
    directory = world.services.stores.directory
    change = directory.change

    @contextlib.asynccontextmanager
    async def slow_change(account: AccountId) -> AsyncIterator[DirectoryChange]:
        async with change(account) as made:
            begun.set()
            await go_on.wait()
            yield made

    monkeypatch.setattr(directory, "change", slow_change)
    reading = asyncio.create_task(refresher.refresh(provider))
    async with asyncio.timeout(20):
        await begun.wait()
    closing = asyncio.create_task(refresher.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    go_on.set()
    await closing
    assert NEW.certificate_base64 in await now_registered(world)
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_server_that_fails_is_left_in_peace_for_longer_each_time(
    world: SignInWorld, publisher: Publisher
) -> None:
    publisher.answer = publisher.fail
    provider = await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    pauses = []
    for _ in range(9):
        state = await refresher.refresh(provider)
        assert await refresher.find_newer(provider) is None
        pauses.append((state.next_at - state.attempted_at).total_seconds())
        world.clock.move(pauses[-1] + 1)
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert publisher.hits == 9
    assert "503" in state.problem
    publisher.answer = publisher.publish
    good = await refresher.refresh(provider)
    assert (good.failures, good.problem) == (0, "")


async def test_who_insists_waits_for_the_cool_down_only(
    world: SignInWorld, publisher: Publisher
) -> None:
    publisher.answer = publisher.fail
    provider = await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    for _ in range(3):
        await refresher.refresh(provider, insist=True)
    assert publisher.hits == 1
    world.clock.move(COOL_DOWN.total_seconds() + 1)
    await refresher.refresh(provider)
    assert publisher.hits == 1
    await refresher.refresh(provider, insist=True)
    assert publisher.hits == 2


async def test_all_callers_and_workers_share_one_fetch(
    world: SignInWorld, publisher: Publisher
) -> None:
    provider = await watched(world, publisher.url)
    workers = [refresher_for(world, publisher) for _ in range(3)]
    providers = await asyncio.gather(
        *(worker.find_newer(provider) for worker in workers for _ in range(10))
    )
    assert publisher.hits == 1
    assert all(
        saml_provider is not None and saml_provider.metadata != provider.metadata
        for saml_provider in providers
    )
    # The next ones know it from the cache, and ask nobody within the cool-down.
    newer = providers[0]
    assert newer is not None
    assert await refresher_for(world, publisher).find_newer(newer) is None
    assert publisher.hits == 1


async def test_a_pinned_certificate_decides_alone(
    world: SignInWorld, publisher: Publisher
) -> None:
    pin = key_pair("federation")
    options = {"MetadataCertificate": pin.certificate_pem.decode()}
    provider = await watched(world, publisher.url, **options)
    refresher = refresher_for(world, publisher)
    assert "trusted" in (await refresher.refresh(provider)).problem
    publisher.text = signed_metadata(pin, NEW)
    world.clock.move(3600)
    assert (await refresher.refresh(provider)).problem == ""


async def test_where_tls_is_trusted_no_signature_is_asked_for(
    world: SignInWorld, publisher: Publisher
) -> None:
    publisher.text = metadata_xml(NEW)
    provider = await watched(world, publisher.url, MetadataTrustTls=True)
    assert (await refresher_for(world, publisher).refresh(provider)).problem == ""


async def test_the_address_rules_hold(world: SignInWorld, publisher: Publisher) -> None:
    provider = await watched(world, publisher.url)
    for entries in ("127.0.0.1:1", f"{OTHER}=127.0.0.1:{publisher.port}"):
        refresher = refresher_for(world, publisher, entries=entries)
        assert "not permitted" in (await refresher.refresh(provider)).problem
        assert publisher.hits == 0
        world.clock.move(3600)
    own = refresher_for(
        world, publisher, entries=f"{ACCOUNT}=127.0.0.1:{publisher.port}"
    )
    assert (await own.refresh(provider)).problem == ""


async def test_what_is_due_is_read_in_the_background(
    world: SignInWorld, publisher: Publisher
) -> None:
    await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    async with refresher.refreshing(interval_seconds=0.02):
        async with asyncio.timeout(10):
            while NEW.certificate_base64 not in await now_registered(world):  # noqa: ASYNC110  # a database has no event
                await asyncio.sleep(0.02)
        hits = publisher.hits
        await asyncio.sleep(0.2)
        assert publisher.hits == hits == 1
        world.clock.move(USUAL_INTERVAL.total_seconds() + 1)
        async with asyncio.timeout(10):
            while publisher.hits == hits:  # noqa: ASYNC110  # nor has a server
                await asyncio.sleep(0.02)


class HangingFetcher:
    """Answers nothing but what is asked of ``answers``; the rest hangs."""

    def __init__(self, answers: str, fetcher: Any) -> None:
        self.answers = answers
        self.fetcher = fetcher
        self.hanging = 0

    async def fetch(self, url: str, **params: Any) -> bytes:
        if url == self.answers:
            return bytes(await self.fetcher.fetch(url, **params))
        self.hanging += 1
        await asyncio.Event().wait()
        raise AssertionError("it hangs")


async def test_servers_that_hang_do_not_hold_up_sign_ins_with_others(
    world: SignInWorld, publisher: Publisher
) -> None:
    rules = AddressRules(parse_internal_issuers(f"127.0.0.1:{publisher.port}"))
    fetcher = HangingFetcher(publisher.url, OutboundClient(rules))
    stores = world.services.stores
    refresher = MetadataRefresher(fetcher, stores.directory, stores.cache, world.clock)
    provider = await watched(world, publisher.url)
    others = [
        replace(
            provider,
            uuid=f"{provider.uuid}{number}",
            options={"MetadataUrl": f"https://hangs.example/{number}"},
        )
        for number in range(20)
    ]
    background = asyncio.create_task(refresher._refresh_due(others))
    await until(lambda: fetcher.hanging > 0)
    async with asyncio.timeout(10):
        newer = await refresher.find_newer(provider)
    assert newer is not None
    assert NEW.certificate_base64 in newer.metadata
    background.cancel()
    await asyncio.gather(background, return_exceptions=True)
    await refresher.close()


async def test_a_change_by_someone_else_meanwhile_is_not_undone(
    world: SignInWorld, publisher: Publisher
) -> None:
    provider = await watched(world, publisher.url)
    await watched(world, publisher.url, AllowCbc=True)
    state = await refresher_for(world, publisher).refresh(provider)
    assert "meanwhile" in state.problem
    assert await now_registered(world) == provider.metadata
    # By hand, and all but the document as it was.
    provider = await watched(world, publisher.url)
    newest = metadata_xml(OLD, NEW, key_pair("third"))
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.update(SAML_PROVIDER, replace(provider, metadata=newest))
    world.clock.move(3600)
    state = await refresher_for(world, publisher).refresh(provider)
    assert "meanwhile" in state.problem
    assert await now_registered(world) == newest


async def test_without_the_cache_a_worker_reads_for_itself(
    world: SignInWorld, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> Any:
        raise StoreUnavailableError

    provider = await watched(world, publisher.url)
    refresher = refresher_for(world, publisher)
    for name in ("get", "put", "add", "drop"):
        monkeypatch.setattr(world.services.stores.cache, name, away)
    for _ in range(3):
        assert (await refresher.refresh(provider)).problem == ""
    assert publisher.hits == 1


class TestState:
    """When the next reading comes."""

    @staticmethod
    def good(world: SignInWorld, **given: Any) -> RefreshState:
        usual = {"cache_duration": None, "valid_until": None, "changed": False}
        return after_success(None, url="u", now=world.clock.now(), **{**usual, **given})

    async def test_the_document_says_when_within_bounds(
        self, world: SignInWorld
    ) -> None:
        now = world.clock.now()
        for params, interval in (
            ({}, USUAL_INTERVAL),
            ({"cache_duration": timedelta(0)}, INTERVAL_MIN),
            ({"cache_duration": timedelta(days=99)}, INTERVAL_MAX),
            ({"valid_until": now + timedelta(hours=4)}, timedelta(hours=3)),
            ({"valid_until": now + timedelta(minutes=1)}, INTERVAL_MIN),
        ):
            state = self.good(world, **params)
            stored_timedelta = state.next_at - state.attempted_at
            assert abs(stored_timedelta - interval) < timedelta(seconds=1), params

    async def test_anyone_who_writes_the_cache_puts_it_off_for_a_day_at_most(
        self, world: SignInWorld
    ) -> None:
        now = world.clock.now()
        far = RefreshState(
            url="u", attempted_at=now, next_at=now + timedelta(days=9999), failures=7
        )
        assert not far.is_due(now + timedelta(hours=23))
        assert far.is_due(now + timedelta(hours=24))
        ahead = RefreshState(url="u", attempted_at=now + timedelta(days=9), next_at=now)
        assert ahead.is_due(now)
        assert not ahead.rests(now)

    async def test_an_unreadable_state_is_read_as_none(
        self, world: SignInWorld, publisher: Publisher
    ) -> None:
        provider = await watched(world, publisher.url)
        cache = world.services.stores.cache
        for data in (
            b"",
            b"[]",
            b"{}",
            b'{"url":1}',
            b"\xff",
            b'{"url":"u","attempted_at":"x"}',
        ):
            await cache.put(
                "saml-metadata",
                provider.uuid.encode(),
                data,
                expires_at=world.clock.now() + timedelta(days=1),
            )
            assert await read_state(cache, provider, publisher.url) is None

    async def test_a_failure_remembers_the_last_good_time(
        self, world: SignInWorld
    ) -> None:
        good = self.good(world, changed=True)
        failed = after_failure(good, url="u", now=world.clock.now(), words="x" * 9999)
        assert (failed.good_at, failed.changed_at) == (good.good_at, good.changed_at)
        assert len(failed.problem) == 500


async def test_a_roll_over_costs_no_sign_in(
    tmp_path: Path, publisher: Publisher
) -> None:
    """The new key signs while only the old one is registered."""
    internal = parse_internal_issuers(f"127.0.0.1:{publisher.port}")
    async with open_world(tmp_path, internal_issuers=internal) as world:
        await watched(world, publisher.url)
        answers = await asyncio.gather(
            *(
                world.browser().post(
                    "/saml", data={"SAMLResponse": world.response(signing_key=NEW)}
                )
                for _ in range(5)
            )
        )
        assert [answer.status_code for answer in answers] == [303] * 5
        assert publisher.hits == 1
        # The old one is withdrawn by a document that the new one signed.
        publisher.text = signed_metadata(NEW, NEW)
        world.clock.move(COOL_DOWN.total_seconds() + 1)
        await world.services.metadata_refresher.refresh(
            (await list_published_saml_providers(world.services.stores.directory))[0]
        )
        old = await world.browser().post(
            "/saml", data={"SAMLResponse": world.response()}
        )
        assert old.status_code == 400
        # Whatever else is wrong with a response, newer metadata would not mend it.
        hits = publisher.hits
        world.clock.move(COOL_DOWN.total_seconds() + 1)
        astray = world.response(signing_key=NEW, audience="urn:else")
        await world.browser().post("/saml", data={"SAMLResponse": astray})
        assert publisher.hits == hits
        # A flood of foreign signatures costs the publisher one request a cool-down.
        hits = publisher.hits
        for _ in range(5):
            foreign = world.response(signing_key=key_pair("other"))
            answer = await world.browser().post("/saml", data={"SAMLResponse": foreign})
            assert answer.status_code == 400
        assert publisher.hits - hits <= 1


async def test_metadata_that_ran_out_lets_no_one_in_until_it_is_published_again(
    tmp_path: Path, publisher: Publisher
) -> None:
    internal = parse_internal_issuers(f"127.0.0.1:{publisher.port}")
    async with open_world(tmp_path, internal_issuers=internal) as world:
        provider = await watched(world, publisher.url)
        end = saml_time(world.clock.now() + timedelta(hours=1))
        publisher.text = signed_metadata(OLD, OLD, attributes=f' validUntil="{end}"')
        await world.services.metadata_refresher.refresh(provider)
        publisher.answer = publisher.fail
        world.clock.move(3700)
        refused = await world.browser().post(
            "/saml", data={"SAMLResponse": world.response()}
        )
        assert refused.status_code == 400
        record = await world.recorded("signin:ListRolesWithSAML")
        assert "metadata was valid until" in record.detail
        world.clock.move(3700)
        end = saml_time(world.clock.now() + timedelta(hours=1))
        publisher.answer = publisher.publish
        publisher.text = signed_metadata(OLD, OLD, attributes=f' validUntil="{end}"')
        accepted = await world.browser().post(
            "/saml", data={"SAMLResponse": world.response()}
        )
        assert accepted.status_code == 303
