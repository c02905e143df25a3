"""Handles against a real cache."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.compose.storage import open_stores
from broker.sessions.handles import TEXT_MAX, Handles, SealedTexts
from broker.sessions.keyring import Keyring
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache
from tests.support.signin import open_world
from tests.support.tables import lay_tables_at

VALUE = {"a": "b", "n": 1, "nothing": None}


@pytest.fixture
async def cache(tmp_path: Path, clock: Any) -> AsyncIterator[Cache]:
    lay_tables_at(tmp_path / "b.db")
    stores = await open_stores(
        f"sqlite:///{tmp_path / 'b.db'}", "", clock=clock, spool_folder=tmp_path
    )
    yield stores.cache
    await stores.close()


@pytest.fixture
def vault(keyring: Keyring, clock: Any) -> Vault:
    return Vault(keyring, clock)


async def test_a_handle_gives_its_value_back(
    cache: Cache, vault: Vault, clock: Any
) -> None:
    handles = Handles(cache, vault, "x")
    handle = await handles.put(VALUE, clock.now() + timedelta(seconds=60))
    assert await handles.find(handle) == VALUE
    assert await handles.take(handle) == VALUE
    assert await handles.take(handle) is None
    assert await handles.find(handle) is None


async def test_a_handle_ends(cache: Cache, vault: Vault, clock: Any) -> None:
    handles = Handles(cache, vault, "x")
    handle = await handles.put(VALUE, clock.now() + timedelta(seconds=60))
    clock.move(61)
    assert await handles.find(handle) is None
    other = await handles.put(VALUE, clock.now() + timedelta(seconds=60))
    await handles.drop(other)
    assert await handles.find(other) is None


async def test_the_cache_sees_neither_handle_nor_value(
    cache: Cache, vault: Vault, clock: Any
) -> None:
    handle = await Handles(cache, vault, "x").put(
        {"secret": "a-session-token"}, clock.now() + timedelta(seconds=60)
    )
    stored = await cache.get("x", hashlib.sha256(handle.encode()).digest())
    assert stored is not None
    assert b"a-session-token" not in stored
    assert handle.encode() not in stored


async def test_a_value_moved_to_another_place_does_not_open(
    cache: Cache, vault: Vault, clock: Any
) -> None:
    """A writer in the cache must not give one browser another's session."""
    handles = Handles(cache, vault, "x")
    end = clock.now() + timedelta(seconds=60)
    mine, yours = await handles.put({"who": "me"}, end), await handles.put(VALUE, end)
    stolen = await cache.get("x", hashlib.sha256(yours.encode()).digest())
    assert stolen is not None
    await cache.put("x", hashlib.sha256(mine.encode()).digest(), stolen, expires_at=end)
    assert await handles.find(mine) is None
    await cache.put(
        "y", hashlib.sha256(yours.encode()).digest(), stolen, expires_at=end
    )
    assert await Handles(cache, vault, "y").find(yours) is None


@pytest.mark.parametrize("handle", ["", "x", "é", "\ud800", "x" * 100_000])
async def test_any_text_is_a_handle_of_nothing(
    cache: Cache, vault: Vault, handle: str
) -> None:
    handles = Handles(cache, vault, "x")
    assert await handles.find(handle) is None
    assert await handles.take(handle) is None


@pytest.mark.parametrize(("characters", "opens"), [(5900, True), (6200, False)])
async def test_no_text_longer_than_the_bound_is_opened(
    tmp_path: Path, characters: int, opens: bool
) -> None:
    async with open_world(tmp_path) as world:
        now = world.clock.now()
        texts = SealedTexts(world.services.vault, "a purpose")
        text = texts.seal({"x": "y" * characters}, now + timedelta(hours=1))
        assert (len(text) <= TEXT_MAX) is opens
        assert (texts.find_opened(text, now) is not None) is opens
        if opens:
            other = SealedTexts(world.services.vault, "another")
            assert other.find_opened(text, now) is None
            assert texts.find_opened(text, now + timedelta(hours=1)) is None
