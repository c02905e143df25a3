"""The key that signs our AuthnRequests: one per installation, stored sealed.

Created when the first provider needs it. It authenticates us to identity providers and
grants nothing here. If it no longer opens, ``open_sealed``'s error propagates;
`RequestKeys.renew` creates another.
"""

import asyncio
import base64
from contextlib import suppress
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from broker.model.sealing import SealedRenewer
from broker.model.secret import Confidential, Hidden
from broker.protocols.saml.keys import encryption_certificate, parse_private_key
from broker.runtime.clock import Clock
from broker.stores.database import Database
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import claim_mark, read_installation, set_mark

MARK = "saml-request-key"
_PLACE = ("saml-request", "", "installation", "key")
_BITS = 2048
_COMMON_NAME = "federation broker requests"
_LOOK_AGAIN_SECONDS = 60.0
"""How long a process may use a key after it was renewed elsewhere."""


class RequestKey(Confidential, frozen=True):
    """The key, and the DER certificate that publishes its public half."""

    private_key: Hidden[rsa.RSAPrivateKey]
    certificate: bytes


class RequestKeys:
    """Finds the key, creating it if needed."""

    def __init__(self, database: Database, vault: SealedRenewer, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._key: RequestKey | None = None
        self._sealed_key = ""
        self._looked_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> RequestKey:
        """The installation's key.

        Raises:
            StoreUnavailableError: the database is unavailable, and no key is cached.
        """
        async with self._lock:
            now = self._clock.monotonic()
            if self._key is None:
                self._key = await self._load()
                self._looked_at = now
            elif now - self._looked_at >= _LOOK_AGAIN_SECONDS:
                self._looked_at = now
                with suppress(StoreUnavailableError):
                    self._key = await self._load()
            return self._key

    async def reseal(self) -> bool:
        """Re-encrypt the key with the newest storage key; False if it is already."""
        sealed = await find_sealed_request_key(self._database, self._clock.now())
        if sealed is None or not self._vault.needs_resealing(sealed):
            return False
        await self._set(self._sealed(self._vault.open_sealed(*_PLACE, sealed)))
        return True

    async def renew(self) -> None:
        """Create another key; every process uses it within a minute.

        Identity providers that check requests must load our metadata again.
        """
        await self._set(self._sealed(await _make()))
        self._key = None

    def forget(self) -> None:
        """Read the key again at its next use."""
        self._key = None

    async def _set(self, sealed: str) -> None:
        await set_mark(self._database, MARK, sealed, now=self._clock.now())

    async def _load(self) -> RequestKey:
        now = self._clock.now()
        installation = await read_installation(self._database, now=now)
        sealed = installation.marks.get(MARK)
        if not isinstance(sealed, str):
            pem = await _make()
            # When several workers create one at once, the first wins.
            sealed = str(
                await claim_mark(self._database, MARK, self._sealed(pem), now=now)
            )
        if self._key is not None and sealed == self._sealed_key:
            return self._key
        self._sealed_key = sealed
        key = parse_private_key(
            self._vault.open_sealed(*_PLACE, base64.b64decode(sealed))
        )
        certificate = encryption_certificate(
            key, common_name=_COMMON_NAME, not_before=installation.created_at
        )
        return RequestKey(key.private_key, certificate)

    def _sealed(self, plain: bytes) -> str:
        return base64.b64encode(self._vault.seal(*_PLACE, plain)).decode("ascii")


async def find_sealed_request_key(database: Database, now: datetime) -> bytes | None:
    """The stored, sealed key; None before there is one.

    Raises:
        StoreUnavailableError: the database is unavailable.
    """
    sealed = (await read_installation(database, now=now)).marks.get(MARK)
    return base64.b64decode(sealed) if isinstance(sealed, str) else None


async def _make() -> bytes:
    """A new key in PEM."""
    made = await asyncio.to_thread(rsa.generate_private_key, 65537, _BITS)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
