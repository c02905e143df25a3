"""What strangers' pages read does not grow with what an account registered.

The same requests are timed and measured before and after every SAML provider's metadata
becomes as large as it can be: processor time as a multiple, memory in bytes.
"""

import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from msgspec.structs import replace

from broker.kinds.providers import saml_providers
from broker.kinds.rules import Work
from broker.proofs import federated
from broker.runtime.entropy import new_provider_id
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support import evidence
from tests.support.effort import in_references
from tests.support.signin import ACCOUNT, SignInWorld, open_world

PROVIDERS = 20
MOST_PROVIDERS = 100
MOST_REFERENCES = 5
"""Of a page, about 5 ms of an idle core, with the program that asks for it."""

METADATA_CHARACTERS = 930_000
MORE_MEMORY_BYTES = 400_000
"""Less than one document."""

TIMES_AS_LONG = 2.0
ROUNDS, REQUESTS = 5, 4
PROVIDER = f"SAMLSP{ACCOUNT}AAAA"
PAGES = {
    "the account's page": ("GET", f"/signin/{ACCOUNT}"),
    "an unknown provider": ("GET", f"/signin/{ACCOUNT}/with/ANYTHING"),
    "front-channel logout": (
        "GET",
        f"/signin/{ACCOUNT}/with/{PROVIDER}/frontchannel-logout",
    ),
    "back-channel logout": (
        "POST",
        f"/signin/{ACCOUNT}/with/{PROVIDER}/backchannel-logout",
    ),
    "the common metadata": ("GET", "/static/saml-metadata.xml"),
    "a provider's metadata": ("GET", f"/static/saml/{PROVIDER}/saml-metadata.xml"),
    "an unknown provider's": ("GET", "/static/saml/SAMLSPNONE/saml-metadata.xml"),
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as made:
        async with made.services.stores.directory.change(ACCOUNT) as change:
            corp = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
            assert corp is not None
            await change.update(SAML_PROVIDER, replace(corp, options={"SignIn": True}))
        await add_providers(made, PROVIDERS)
        yield made


async def add_providers(world: SignInWorld, number: int) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        corp = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert corp is not None
        for _ in range(number):
            uuid = new_provider_id("SAMLSP")
            another = replace(
                corp, name=f"Corp{uuid}", uuid=uuid, options={"SignIn": True}
            )
            await change.insert(SAML_PROVIDER, another)


async def grow_metadata(world: SignInWorld) -> None:
    """With a character that makes Python keep four bytes for each."""
    async with world.services.stores.directory.change(ACCOUNT) as change:
        listed = await change.all_of(SAML_PROVIDER, ACCOUNT)
        async for provider in change.with_documents(SAML_PROVIDER, listed):
            more = METADATA_CHARACTERS - len(provider.metadata)
            text = f"{provider.metadata}<!--{'x' * more}\N{GRINNING FACE}-->"
            await change.update(SAML_PROVIDER, replace(provider, metadata=text))


async def cost_of(world: SignInWorld, method: str, path: str) -> tuple[float, int]:
    """Processor time of the whole process, and the most memory taken meanwhile."""
    browser = world.browser()
    answer = await browser.request(method, path)  # what is remembered, is by now
    assert answer.status_code < 500
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(REQUESTS):
            await browser.request(method, path)
        taken.append(time.process_time() - began)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await browser.request(method, path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return min(taken), most - before


async def test_pages_do_not_grow_with_metadata(world: SignInWorld) -> None:
    small = {name: await cost_of(world, *page) for name, page in PAGES.items()}
    await grow_metadata(world)
    for name, page in PAGES.items():
        seconds, memory = await cost_of(world, *page)
        before_seconds, before_memory = small[name]
        assert memory < before_memory + MORE_MEMORY_BYTES, name
        assert seconds < TIMES_AS_LONG * before_seconds, name


@pytest.mark.long
async def test_pages_cost_little_with_a_hundred_large_providers(
    world: SignInWorld,
) -> None:
    rows = []
    await add_providers(world, MOST_PROVIDERS - PROVIDERS - 1)
    small = {name: await cost_of(world, *page) for name, page in PAGES.items()}
    await grow_metadata(world)
    for name, page in PAGES.items():
        seconds, memory = await cost_of(world, *page)
        assert in_references(seconds / REQUESTS) < MOST_REFERENCES, name
        assert memory < small[name][1] + MORE_MEMORY_BYTES, name
        milliseconds = round(seconds / REQUESTS * 1e3, 1)
        rows.append(
            (name, milliseconds, round(small[name][1] / 1e3), round(memory / 1e3))
        )
    evidence.keep("strangers", rows=rows)


async def test_the_first_page_after_a_change_reads_no_metadata(
    world: SignInWorld,
) -> None:
    await grow_metadata(world)
    browser = world.browser()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        answer = await browser.get(f"/signin/{ACCOUNT}")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.text.count("/with/SAMLSP") == PROVIDERS + 1
    # The templates are compiled meanwhile; twenty documents would be 74 MB.
    assert most - before < 10 * METADATA_CHARACTERS


async def test_a_page_opens_no_private_key(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    services = world.services
    rules = saml_providers(services.vault)
    async with services.stores.directory.change(ACCOUNT) as change:
        corp = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert corp is not None
        at = Work(
            change=change, account=ACCOUNT, region="", now=world.clock.now(), by=""
        )
        given = {"AddPrivateKey": pem.decode()}
        added = await rules.change(corp, given, at)
        await change.update(SAML_PROVIDER, added)
    opened: list[bytes] = []
    parse = federated.parse_private_key

    def noted(text: bytes) -> object:
        opened.append(text)
        return parse(text)

    monkeypatch.setattr(federated, "parse_private_key", noted)
    path = f"/static/saml/{PROVIDER}/saml-metadata.xml"
    page = (await world.browser().get(path)).text
    assert page.count('KeyDescriptor use="encryption"') == 1
    assert opened == []
    # One that was added by an older version: opened once, for the same certificate.
    (key,) = added.private_keys
    async with services.stores.directory.change(ACCOUNT) as change:
        older = replace(added, private_keys=(replace(key, certificate=b""),))
        await change.update(SAML_PROVIDER, older)
    for _ in range(2):
        assert (await world.browser().get(path)).text == page
    assert opened == [pem]
