"""Server certificates: a TLS certificate, its chain and its private key."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from broker.entropy import new_unique_id
from broker.errors import EntityAlreadyExists, NoSuchEntity
from broker.identities.limits import Quota, require_within
from broker.identities.names import check_path
from broker.identities.public_keys import (
    parse_certificate,
    parse_chain,
    require_key_pair,
)
from broker.model.account import Account, AccountId
from broker.model.credentials import SERVER_KEY_SEAL, ServerCertificate
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.stores.directory.kinds import SERVER_CERTIFICATE
from broker.stores.directory.port.credentials import (
    ServerCertificateChange,
    ServerCertificateReader,
)
from broker.stores.errors import AlreadyExistsError


async def require_server_certificate(
    directory: ServerCertificateReader, account: AccountId, name: str
) -> ServerCertificate:
    """A server certificate by name, without regard to case.

    Raises:
        NoSuchEntity: there is none.
    """
    found = await directory.find_server_certificate(account, name)
    if found is None:
        raise NoSuchEntity(f"The Server Certificate with name {name} cannot be found.")
    return found


async def upload_server_certificate(
    change: ServerCertificateChange,
    account: Account,
    *,
    name: str,
    path: str,
    body: str,
    private_key: Secret,
    chain: str | None,
    tags: Mapping[str, str],
    sealer: Sealer,
    now: datetime,
) -> ServerCertificate:
    """Store a certificate with its sealed private key.

    Raises:
        MalformedCertificate, KeyPairMismatch: the texts are none, or do not fit.
        EntityAlreadyExists: the name is taken.
        LimitExceeded: the account has too many.
    """
    check_path(path)
    certificate = parse_certificate(body)
    require_key_pair(certificate, private_key.reveal())
    if chain is not None:
        parse_chain(chain)
    count = await change.count(SERVER_CERTIFICATE, account.account_id)
    require_within(account, Quota.SERVER_CERTIFICATES, count + 1)
    certificate_id = new_unique_id("ASCA")
    purpose, column = SERVER_KEY_SEAL
    made = ServerCertificate(
        account=account.account_id,
        certificate_id=certificate_id,
        name=name,
        path=path,
        body=body,
        chain=chain,
        sealed_key=sealer.seal(
            purpose,
            account.account_id,
            certificate_id,
            column,
            private_key.reveal().encode("latin-1"),
        ),
        uploaded_at=now,
        expires_at=certificate.not_valid_after_utc,
        tags=tags,
    )
    try:
        await change.insert_server_certificate(made)
    except AlreadyExistsError as error:
        raise _taken(name) from error
    return made


async def rename_server_certificate(
    change: ServerCertificateChange,
    certificate: ServerCertificate,
    *,
    name: str | None,
    path: str | None,
) -> None:
    """Give a server certificate another name or path.

    Raises:
        EntityAlreadyExists: the name is taken.
    """
    renamed = replace(
        certificate,
        name=certificate.name if name is None else name,
        path=certificate.path if path is None else check_path(path),
    )
    try:
        await change.update_server_certificate(renamed)
    except AlreadyExistsError as error:
        raise _taken(renamed.name) from error


def _taken(name: str) -> EntityAlreadyExists:
    return EntityAlreadyExists(
        f"The Server Certificate with name {name} already exists."
    )
