"""Bearer handles: random strings that stand for a value in the cache or the database.

The store sees a handle as its SHA-256 and the value sealed for that very digest, so
that a dump is useless and no entry can be moved to another's place. The expiry is
sealed with it, so a store that keeps an entry too long does no harm either.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from broker.errors import ServiceUnavailable
from broker.protocols.oidc import base64url
from broker.runtime.entropy import new_handle
from broker.sessions.vault import SealBrokenError, Vault
from broker.stores.cache.port import HandleStore
from broker.stores.errors import StoreUnavailableError

_HANDLE_MAX = 128
_PURPOSE = "handle"
_COLUMN = "value"
_END = "handle-expires-ms"

_Read = Callable[[str, bytes], Awaitable[bytes | None]]

TEXT_MAX = 8192
_TEXT = "text"
_TEXT_END = "expires"


@contextmanager
def store_at_hand() -> Iterator[None]:
    """Raise ``ServiceUnavailable`` if what the block asks is away."""
    try:
        yield
    except StoreUnavailableError as error:
        raise ServiceUnavailable(detail=f"the store is away: {error}") from error


class Handles:
    """Handles of one kind; ``space`` is the kind's place in the store.

    Every method but ``forget`` raises ``ServiceUnavailable`` when the store is away.
    """

    def __init__(self, store: HandleStore, vault: Vault, space: str) -> None:
        self._store = store
        self._vault = vault
        self._space = space

    async def put(self, value: Mapping[str, object], expires_at: datetime) -> str:
        """A new handle of 256 random bits for a value that JSON can hold."""
        handle = new_handle()
        await self.replace(handle, value, expires_at)
        return handle

    async def claim(
        self, name: str, value: Mapping[str, object], expires_at: datetime
    ) -> bool:
        """Store a value under a given name; False when the name is taken."""
        with store_at_hand():
            return await self._store.add(
                self._space,
                *self._sealed(name, value, expires_at),
                expires_at=expires_at,
            )

    async def replace(
        self, name: str, value: Mapping[str, object], expires_at: datetime
    ) -> None:
        """Store a value under a given name, replacing any other."""
        with store_at_hand():
            await self._store.put(
                self._space,
                *self._sealed(name, value, expires_at),
                expires_at=expires_at,
            )

    async def find(self, handle: str) -> dict[str, Any] | None:
        """The value, which stays."""
        return await self._read(self._store.get, handle)

    async def take(self, handle: str) -> dict[str, Any] | None:
        """The value, removed; at most one caller ever gets it."""
        return await self._read(self._store.take, handle)

    async def _read(self, read: _Read, handle: str) -> dict[str, Any] | None:
        if len(handle) > _HANDLE_MAX:
            return None
        digest = _digest(handle)
        with store_at_hand():
            return self._open(digest, await read(self._space, digest))

    async def drop(self, handle: str) -> None:
        """Forget the handle."""
        with store_at_hand():
            await self._store.drop(self._space, _digest(handle))

    async def forget(self, handle: str) -> None:
        """Forget a used handle on a best-effort basis, since it is invalid anyway."""
        with suppress(ServiceUnavailable):
            await self.drop(handle)

    def _sealed(
        self, handle: str, value: Mapping[str, object], expires_at: datetime
    ) -> tuple[bytes, bytes]:
        """The handle's place in the store, and the value sealed for it."""
        digest = _digest(handle)
        kept = {**value, _END: int(expires_at.timestamp() * 1000)}
        plain = json.dumps(kept, separators=(",", ":")).encode("ascii")
        return digest, self._vault.seal(
            _PURPOSE, self._space, digest.hex(), _COLUMN, plain
        )

    def _open(self, digest: bytes, sealed: bytes | None) -> dict[str, Any] | None:
        if sealed is None:
            return None
        try:
            plain = self._vault.open_sealed(
                _PURPOSE, self._space, digest.hex(), _COLUMN, sealed
            )
        except SealBrokenError:
            # Forged, or its key was dropped: treat it as absent.
            return None
        value: dict[str, Any] = json.loads(plain)
        # Entries of an earlier version hold no expiry.
        end = value.pop(_END, None)
        if end is not None and self._vault.now().timestamp() * 1000 >= end:
            return None
        return value


def _digest(handle: str) -> bytes:
    return hashlib.sha256(handle.encode("utf-8", "surrogatepass")).digest()


class SealedTexts:
    """Texts of one ``purpose``, which no other opens: their bearers keep the value.

    They are sealed with a storage key, and end with it at the latest.
    """

    def __init__(self, vault: Vault, purpose: str) -> None:
        self._vault = vault
        self._purpose = purpose

    def seal(
        self,
        value: Mapping[str, object],
        expires_at: datetime,
        *,
        repeatable: bool = False,
    ) -> str:
        """A value that JSON can hold, as URL-safe text; the same each time if so.

        Raises:
            ServiceUnavailable: there is no key to seal with.
        """
        kept = {**value, _TEXT_END: int(expires_at.timestamp())}
        plain = json.dumps(kept, separators=(",", ":")).encode("ascii")
        return base64url.encode(
            self._vault.seal(self._purpose, "", "", _TEXT, plain, repeatable=repeatable)
        )

    def find_opened(self, text: str, now: datetime) -> dict[str, Any] | None:
        """The value; None when it is none of ours, or has expired."""
        if len(text) > TEXT_MAX:
            return None
        try:
            sealed = base64url.decode(text)
            plain = self._vault.open_sealed(self._purpose, "", "", _TEXT, sealed)
        except (ValueError, SealBrokenError):
            return None
        value: dict[str, Any] = json.loads(plain)
        return value if now.timestamp() < value.pop(_TEXT_END) else None
