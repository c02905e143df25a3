"""The key that signs our AuthnRequests: one for the installation, kept sealed.

Made when the first provider needs it. It proves to identity providers who asks, and
opens nothing here.
"""

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from broker.clock import Clock
from broker.protocols.saml.keys import encryption_certificate, parse_private_key
from broker.stores.database import Database
from broker.stores.installation import claim_mark, read_installation, set_mark

MARK = "saml-request-key"
_PLACE = ("saml-request", "", "installation", "key")
_BITS = 2048
_COMMON_NAME = "federation broker requests"


class Seals(Protocol):
    """Seals and opens the broker's own secrets."""

    def seal(
        self, purpose: str, account: str, entity_id: str, column: str, plaintext: bytes
    ) -> bytes:
        """The sealed value."""
        ...

    def open_sealed(
        self, purpose: str, account: str, entity_id: str, column: str, sealed: bytes
    ) -> bytes:
        """The plain bytes."""
        ...


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key, and the DER certificate that publishes its public half."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate: bytes


class RequestKeys:
    """Finds the key, or makes it."""

    def __init__(self, database: Database, seals: Seals, clock: Clock) -> None:
        self._database = database
        self._seals = seals
        self._clock = clock
        self._key: RequestKey | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> RequestKey:
        """The installation's key.

        Raises:
            StoreUnavailableError: the database is away.
        """
        async with self._lock:
            if self._key is None:
                self._key = await self._load()
            return self._key

    async def reseal(self) -> None:
        """Seal the key anew, if there is one: after a rotation."""
        now = self._clock.now()
        marks = (await read_installation(self._database, now=now)).marks
        sealed = marks.get(MARK)
        if isinstance(sealed, str):
            plain = self._seals.open_sealed(*_PLACE, base64.b64decode(sealed))
            await set_mark(self._database, MARK, self._sealed(plain), now=now)

    async def _load(self) -> RequestKey:
        now = self._clock.now()
        installation = await read_installation(self._database, now=now)
        sealed = installation.marks.get(MARK)
        if not isinstance(sealed, str):
            made = await asyncio.to_thread(rsa.generate_private_key, 65537, _BITS)
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            # Of several workers that make one at once, the first one's counts.
            sealed = str(
                await claim_mark(self._database, MARK, self._sealed(pem), now=now)
            )
        key = parse_private_key(
            self._seals.open_sealed(*_PLACE, base64.b64decode(sealed))
        )
        certificate = encryption_certificate(
            key, common_name=_COMMON_NAME, not_before=installation.created_at
        )
        return RequestKey(key.private_key, certificate)

    def _sealed(self, plain: bytes) -> str:
        return base64.b64encode(self._seals.seal(*_PLACE, plain)).decode("ascii")
