"""Sealed values of MFA devices, service-specific credentials and certificates."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from broker.model.account import AccountId
from broker.model.credentials import (
    MFA_SEAL,
    SERVER_KEY_SEAL,
    SERVICE_PASSWORD_SEAL,
    CredentialKind,
)
from broker.model.page import read_pages
from broker.model.upstream import UPSTREAM_SEAL
from broker.sessions.vault import Vault
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.port.credentials import (
    ServerCertificateChange,
    UserCredentialChange,
)
from broker.stores.directory.port.mfa import MfaDeviceChange
from broker.stores.directory.port.upstreams import UpstreamChange

MFA_DEVICE = "seed of MFA device"
SERVICE_PASSWORD = "secret of service-specific credential"  # noqa: S105  # a kind's name
SERVER_CERTIFICATE = "private key of server certificate"
UPSTREAM = "secret of upstream"

_PAGE = 1000

Reseal = Callable[[DirectoryChange, Vault, AccountId, str], Awaitable[int]]


async def sealed_credentials(
    directory: DirectoryReader, account: AccountId
) -> AsyncIterator[tuple[str, str, bytes]]:
    """List the kind, entity and sealed value of each."""
    for device in await directory.list_all_mfa_devices(account):
        yield MFA_DEVICE, device.serial, device.sealed_seed
    kind = CredentialKind.SERVICE_SPECIFIC
    for credential in await directory.list_credentials(account, kind):
        yield SERVICE_PASSWORD, credential.credential_id, credential.sealed
    for upstream in await directory.list_upstreams(account):
        if upstream.sealed_secret is not None:
            yield UPSTREAM, upstream.name, upstream.sealed_secret
    listed = partial(directory.list_server_certificates, account, "/")
    async for certificates in read_pages(listed, _PAGE):
        for certificate in certificates:
            yield SERVER_CERTIFICATE, certificate.name, certificate.sealed_key


async def _reseal_device(
    change: MfaDeviceChange, vault: Vault, account: AccountId, serial: str
) -> int:
    device = await change.find_mfa_device(account, serial)
    if device is None or not vault.needs_resealing(device.sealed_seed):
        return 0
    sealed = resealed(vault, MFA_SEAL, account, device.serial, device.sealed_seed)
    await change.update_mfa_device(replace(device, sealed_seed=sealed))
    return 1


async def _reseal_password(
    change: UserCredentialChange, vault: Vault, account: AccountId, credential_id: str
) -> int:
    credential = await change.find_credential(account, credential_id)
    if credential is None or not vault.needs_resealing(credential.sealed):
        return 0
    sealed = resealed(
        vault, SERVICE_PASSWORD_SEAL, account, credential_id, credential.sealed
    )
    await change.update_credential(replace(credential, sealed=sealed))
    return 1


async def _reseal_certificate(
    change: ServerCertificateChange, vault: Vault, account: AccountId, name: str
) -> int:
    certificate = await change.find_server_certificate(account, name)
    if certificate is None or not vault.needs_resealing(certificate.sealed_key):
        return 0
    sealed = resealed(
        vault,
        SERVER_KEY_SEAL,
        account,
        certificate.certificate_id,
        certificate.sealed_key,
    )
    await change.update_server_certificate(replace(certificate, sealed_key=sealed))
    return 1


async def _reseal_upstream(
    change: UpstreamChange, vault: Vault, account: AccountId, name: str
) -> int:
    upstream = await change.find_upstream(account, name)
    secret = None if upstream is None else upstream.sealed_secret
    if upstream is None or secret is None or not vault.needs_resealing(secret):
        return 0
    sealed = resealed(vault, UPSTREAM_SEAL, account, name, secret)
    await change.put_upstream(replace(upstream, sealed_secret=sealed))
    return 1


def resealed(
    vault: Vault, seal: tuple[str, str], account: AccountId, entity: str, sealed: bytes
) -> bytes:
    """Return the value sealed with the newest key; ``seal`` is purpose and column.

    Raises:
        SealBrokenError: It cannot be opened.
    """
    purpose, column = seal
    place = (purpose, account, entity, column)
    return vault.seal(*place, vault.open_sealed(*place, sealed))


RESEAL_CREDENTIALS: Mapping[str, Reseal] = {
    MFA_DEVICE: _reseal_device,
    SERVICE_PASSWORD: _reseal_password,
    SERVER_CERTIFICATE: _reseal_certificate,
    UPSTREAM: _reseal_upstream,
}
