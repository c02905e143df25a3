"""The values that storage keys seal: what they are, and sealing them again.

After a rotation every worker seals what is left with the newest key, a batch at a time,
so that other changes of a large account need not wait long. Each value is read again
inside the transaction: workers that do the same do no harm.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from broker.compose.installation import Installation
from broker.errors import ServiceUnavailable
from broker.kinds.outbound import find_outbound, reseal, with_outbound
from broker.kinds.providers import SAML_KEY_SEAL
from broker.model.account import Account, AccountId
from broker.model.credentials import (
    MFA_SEAL,
    SERVER_KEY_SEAL,
    SERVICE_PASSWORD_SEAL,
    CredentialKind,
)
from broker.model.entities import ACCESS_KEY_SEAL, CLIENT_SECRET_SEAL, PASSWORD_SEAL
from broker.model.page import read_pages
from broker.model.sealing import KeyKind
from broker.model.upstream import UPSTREAM_SEAL
from broker.proofs.provider_options import SECRET
from broker.proofs.saml_request_key import RequestKeys
from broker.runtime.entropy import random_bits
from broker.runtime.offload import in_background
from broker.sessions.keys import SESSION_MAX, KeyUse
from broker.sessions.vault import NUMBERED_BYTES, SealBrokenError, Vault, key_number
from broker.sessions.watched import WatchedSignIns
from broker.stores.directory import kinds, reports
from broker.stores.directory.accounts import list_accounts, update_account
from broker.stores.directory.kinds import (
    ACCOUNT,
    LOGIN_PROFILE,
    OIDC_PROVIDER,
    USER_CREDENTIAL,
)
from broker.stores.directory.port import Directory, DirectoryChange, DirectoryReader
from broker.stores.directory.stored import Kind
from broker.stores.errors import StoreFailedError
from broker.stores.oidc_sign_ins import OidcSignIns

SETTLED_AFTER = timedelta(minutes=2)
"""How long after a new key took over nothing is sealed with the old one any more."""

_INTERVAL_SECONDS = 30.0
_BATCH = 100
_PAGE = 1000

_log = structlog.get_logger(__name__)

ACCESS_KEY = "access key"
SAML_PROVIDER = "decryption key of SAML provider"
CLIENT_SECRET = "client secret of OIDC provider"  # noqa: S105  # a kind's name
ISSUER_KEY = "issuer's signing key"
PASSWORD = "password of user"  # noqa: S105  # a kind's name
MFA_DEVICE = "seed of MFA device"
SERVICE_PASSWORD = "secret of service-specific credential"  # noqa: S105  # a kind's name
SERVER_CERTIFICATE = "private key of server certificate"
UPSTREAM = "secret of upstream"
_Values = AsyncIterator[tuple[str, str, bytes]]


class SealedValue(Struct, frozen=True):
    """The location of a sealed value, and the number of its storage key.

    ``entity`` identifies the entity within its kind: an access key's id, a SAML
    provider's name, a user's id, a device's serial number.
    """

    account: AccountId
    kind: str
    entity: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.entity} of account {self.account}"


class ResealingResult(Struct):
    """How many entities were changed, and the values that could not be opened."""

    changed: int = 0
    broken: list[SealedValue] = []


async def sealed_values(directory: DirectoryReader) -> AsyncIterator[SealedValue]:
    """List every sealed value of all accounts."""
    for account in await list_accounts(directory):
        for values in (_in_columns, _in_texts):
            async for kind, entity, sealed in values(directory, account):
                number = key_number(sealed)
                yield SealedValue(account.account_id, kind, entity, number)


async def count_sealed(directory: DirectoryReader) -> Mapping[int, int]:
    """How many values of all accounts each storage key seals."""
    counted: Counter[int] = Counter()
    for head, count in (await reports.count_sealed(directory, NUMBERED_BYTES)).items():
        counted[key_number(head)] += count
    for account in await list_accounts(directory):
        async for _, _, sealed in _in_texts(directory, account):
            counted[key_number(sealed)] += 1
    return counted


async def _in_columns(directory: DirectoryReader, of: Account) -> _Values:
    account = of.account_id
    for key in await directory.all_of(kinds.ACCESS_KEY, account):
        yield ACCESS_KEY, key.access_key_id, key.sealed_secret
    for profile in await directory.all_of(LOGIN_PROFILE, account):
        yield PASSWORD, profile.user_id, profile.sealed
    for device in await directory.all_of(kinds.MFA_DEVICE, account):
        yield MFA_DEVICE, device.serial, device.sealed_seed
    kind = CredentialKind.SERVICE_SPECIFIC
    for credential in await directory.all_of(USER_CREDENTIAL, account, kind=kind):
        yield SERVICE_PASSWORD, credential.credential_id, credential.sealed
    for upstream in await directory.all_of(kinds.UPSTREAM, account):
        if upstream.sealed_secret is not None:
            yield UPSTREAM, upstream.name, upstream.sealed_secret
    listed = partial(directory.page_of, kinds.SERVER_CERTIFICATE, account)
    async for certificates in read_pages(listed, _PAGE):
        for certificate in certificates:
            yield SERVER_CERTIFICATE, certificate.name, certificate.sealed_key


async def _in_texts(directory: DirectoryReader, of: Account) -> _Values:
    account = of.account_id
    for provider in await directory.all_of(kinds.SAML_PROVIDER, account):
        for private in provider.private_keys:
            yield SAML_PROVIDER, provider.name, private.sealed_pem
    for oidc in await directory.all_of(OIDC_PROVIDER, account):
        secret = oidc.options.get(SECRET)
        if isinstance(secret, str):
            yield CLIENT_SECRET, oidc.host_and_path, base64.b64decode(secret)
    outbound = find_outbound(of)
    for signing in () if outbound is None else outbound.keys:
        yield ISSUER_KEY, signing.kid, signing.sealed


def resealing(opened: Installation) -> AbstractAsyncContextManager[None]:
    """While the block runs, old storage keys are replaced and then dropped."""
    return in_background(_reseal_when_due(opened), "resealing")


async def _reseal_when_due(opened: Installation) -> None:
    resealer = Resealer(opened)
    while True:
        # Workers take turns by chance; the first one leaves the others nothing to do.
        await asyncio.sleep(_INTERVAL_SECONDS * (1 + random_bits(8) / 256))
        try:
            await resealer.look()
        except (StoreFailedError, ServiceUnavailable) as error:
            _log.warning("stored secrets are not sealed again yet", error=str(error))


class Resealer:
    """Finishes rotations of storage keys."""

    def __init__(self, opened: Installation) -> None:
        self._opened = opened
        self._done: set[int] = set()
        """Old keys that sealed nothing which can be sealed again."""

        self._needed: set[int] = set()
        """Ended keys that sealed something which does not open in its place."""

    async def look(self) -> ResealingResult:
        """Seal again what old keys sealed, and drop those that ended.

        Raises:
            StoreFailedError, ServiceUnavailable: a later look goes on.
        """
        opened, now = self._opened, self._opened.clock.now()
        old = {
            key.number: now - key.seals_until
            for key in opened.keyring.list()
            if key.kind is KeyKind.STORAGE
            and key.use is KeyUse.OPENING
            and key.seals_until is not None
            and now - key.seals_until >= SETTLED_AFTER
        }
        life = SESSION_MAX + opened.settings.skew
        over = {n for n, age in old.items() if age >= life} - self._needed
        if not over and old.keys() <= self._done:
            return ResealingResult()
        sealing, _ = opened.keyring.sealing_key(KeyKind.STORAGE, now)
        result = await reseal_all(opened.stores.directory, opened.vault, sealing)
        keys = RequestKeys(opened.stores.database, opened.vault, opened.clock)
        with suppress(SealBrokenError):  # `broker doctor` tells of it
            result.changed += await keys.reseal()
        watched = WatchedSignIns(
            OidcSignIns(opened.stores.database), opened.vault, opened.clock
        )
        result.changed += await watched.reseal()
        if result.changed:
            _log.info("stored secrets were sealed again", changed=result.changed)
            return result  # other workers may still use what they read before
        self._done = set(old)
        self._needed |= over & {value.number for value in result.broken}
        for value in result.broken:
            _log.error("a stored secret cannot be opened", secret=str(value))
        for number in over - self._needed:
            await opened.keyring.drop(opened.stores.database, number)
            _log.info("a storage key was dropped", number=number)
        return result


async def reseal_all(
    directory: Directory, vault: Vault, sealing_number: int
) -> ResealingResult:
    """Seal every value that can be opened with the key that seals now.

    ``sealing_number`` is that key's number.
    """
    result = ResealingResult()
    waiting: list[SealedValue] = []
    async for value in sealed_values(directory):
        if value.number == sealing_number:
            continue
        if waiting and (waiting[0].account != value.account or len(waiting) >= _BATCH):
            await _reseal(directory, vault, waiting, result)
            waiting = []
        waiting.append(value)
    if waiting:
        await _reseal(directory, vault, waiting, result)
    return result


async def _reseal(
    directory: Directory,
    vault: Vault,
    values: list[SealedValue],
    result: ResealingResult,
) -> None:
    changed = 0
    async with directory.change(values[0].account) as change:
        for value in dict.fromkeys(values):
            try:
                changed += await _KINDS[value.kind](change, vault, value)
            except SealBrokenError:
                result.broken.append(value)
    result.changed += changed


_Reseal = Callable[[DirectoryChange, Vault, SealedValue], Awaitable[int]]


def _column(
    seal: tuple[str, str], entity: str, column: str, kind: Kind[Any]
) -> _Reseal:
    """Reseals one column of a thing; ``entity`` is what it is bound to."""

    async def reseal_column(
        change: DirectoryChange, vault: Vault, value: SealedValue
    ) -> int:
        find = change.named if kind.name else change.find
        held = await find(kind, value.account, value.entity)
        if held is None:
            return 0
        sealed = getattr(held, column)
        if sealed is None or not vault.needs_resealing(sealed):
            return 0
        bound_to = getattr(held, entity)
        again = _resealed(vault, seal, value.account, bound_to, sealed)
        await change.update(kind, replace(held, **{column: again}))
        return 1

    return reseal_column


async def _reseal_provider(
    change: DirectoryChange, vault: Vault, value: SealedValue
) -> int:
    provider = await change.named(kinds.SAML_PROVIDER, value.account, value.entity)
    if provider is None:
        return 0
    keys = tuple(
        replace(
            key,
            sealed_pem=_resealed(
                vault, SAML_KEY_SEAL, value.account, key.key_id, key.sealed_pem
            ),
        )
        if vault.needs_resealing(key.sealed_pem)
        else key
        for key in provider.private_keys
    )
    if keys == provider.private_keys:
        return 0
    await change.update(kinds.SAML_PROVIDER, replace(provider, private_keys=keys))
    return 1


async def _reseal_issuer(
    change: DirectoryChange, vault: Vault, value: SealedValue
) -> int:
    account = await change.find(ACCOUNT, value.account)
    outbound = None if account is None else find_outbound(account)
    if account is None or outbound is None:
        return 0
    renewed = reseal(account.account_id, outbound, vault)
    if renewed == outbound:
        return 0
    await update_account(change, with_outbound(account, renewed))
    return 1


async def _reseal_client_secret(
    change: DirectoryChange, vault: Vault, value: SealedValue
) -> int:
    provider = await change.named(OIDC_PROVIDER, value.account, value.entity)
    secret = provider.options.get(SECRET) if provider else None
    if provider is None or not isinstance(secret, str):
        return 0
    sealed = base64.b64decode(secret)
    again = _resealed(
        vault, CLIENT_SECRET_SEAL, value.account, provider.unique_id, sealed
    )
    text = base64.b64encode(again).decode("ascii")
    options = {**provider.options, SECRET: text}
    await change.update(OIDC_PROVIDER, replace(provider, options=options))
    return 1


def _resealed(
    vault: Vault, seal: tuple[str, str], account: AccountId, entity: str, sealed: bytes
) -> bytes:
    """The value sealed with the newest key; ``seal`` is purpose and column.

    Raises:
        SealBrokenError: It cannot be opened.
    """
    purpose, column = seal
    place = (purpose, account, entity, column)
    return vault.seal(*place, vault.open_sealed(*place, sealed))


_KINDS: Mapping[str, _Reseal] = {
    CLIENT_SECRET: _reseal_client_secret,
    SAML_PROVIDER: _reseal_provider,
    ISSUER_KEY: _reseal_issuer,
    ACCESS_KEY: _column(
        ACCESS_KEY_SEAL, "access_key_id", "sealed_secret", kinds.ACCESS_KEY
    ),
    PASSWORD: _column(PASSWORD_SEAL, "user_id", "sealed", kinds.LOGIN_PROFILE),
    MFA_DEVICE: _column(MFA_SEAL, "serial", "sealed_seed", kinds.MFA_DEVICE),
    SERVICE_PASSWORD: _column(
        SERVICE_PASSWORD_SEAL, "credential_id", "sealed", kinds.USER_CREDENTIAL
    ),
    SERVER_CERTIFICATE: _column(
        SERVER_KEY_SEAL, "certificate_id", "sealed_key", kinds.SERVER_CERTIFICATE
    ),
    UPSTREAM: _column(UPSTREAM_SEAL, "name", "sealed_secret", kinds.UPSTREAM),
}
