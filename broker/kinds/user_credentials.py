"""Certificates and keys: server certificates, and what users have besides a password."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Struct
from msgspec.structs import replace

from broker.errors import (
    DeleteConflict,
    DuplicateCertificate,
    DuplicateSshPublicKey,
    InvalidCertificate,
    InvalidInput,
    InvalidPublicKey,
    KeyPairMismatch,
    MalformedCertificate,
    NoSuchEntity,
    ValidationError,
)
from broker.kinds.limits import Quota, require_within
from broker.kinds.names import require_path
from broker.kinds.rules import Named, Work, renaming
from broker.kinds.tags import KeyCase, given_tags
from broker.model.account import Account
from broker.model.credentials import (
    SERVER_KEY_SEAL,
    SERVICE_PASSWORD_SEAL,
    CredentialKind,
    CredentialStatus,
    ServerCertificate,
    UserCredential,
)
from broker.model.entities import User
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.protocols.x509.errors import UNREADABLE
from broker.runtime.entropy import new_provider_id, new_unique_id, random_bytes
from broker.stores.directory.kinds import (
    MFA_DEVICE,
    PASSKEY,
    SERVER_CERTIFICATE,
    USER_CREDENTIAL,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


_RSA_BITS_MIN = 2048
_RSA_BITS_MAX = 16384
_SSH_RSA = b"ssh-rsa"
_LINES_OF_A_KEY = 2  # in PEM, the first and the last


SERVICES: Mapping[str, str | None] = {
    "codecommit.amazonaws.com": None,
    "cassandra.amazonaws.com": None,
    "bedrock.amazonaws.com": "ABSK",
    "logs.amazonaws.com": "ACWL",
    "cloudwatch.amazonaws.com": "APIAACWM",
    "aws-external-anthropic.amazonaws.com": "AEAA",
}
"""Services with credentials of their own, and what begins those that are API keys."""

_PASSWORD_BYTES = 45


def parse_certificate(text: str) -> x509.Certificate:
    """The one certificate of a PEM text.

    Raises:
        MalformedCertificate: it holds something else.
    """
    certificates = parse_chain(text)
    if len(certificates) != 1:
        raise MalformedCertificate("Exactly one certificate is expected.")
    return certificates[0]


def parse_chain(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM text.

    Raises:
        MalformedCertificate: it holds something else.
    """
    try:
        return x509.load_pem_x509_certificates(text.encode("latin-1"))
    except UNREADABLE as error:
        raise MalformedCertificate(
            "Unable to parse certificate. Please ensure the certificate is in PEM"
            " format."
        ) from error


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """Identifies a certificate."""
    return certificate.fingerprint(SHA256()).hex()


def require_key_pair(certificate: x509.Certificate, private_key: str) -> None:
    """Refuse a private key that is not the certificate's.

    Raises:
        KeyPairMismatch: it is another's.
        MalformedCertificate: it is not one private key, or is encrypted.
    """
    if private_key.count("PRIVATE KEY-----") > _LINES_OF_A_KEY:
        raise MalformedCertificate("Exactly one private key is expected.")
    try:
        key = serialization.load_pem_private_key(
            private_key.encode("latin-1"), password=None
        )
        matches = _der(key.public_key()) == _der(certificate.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedCertificate(
            "Unable to parse key. Please ensure the private key is in PEM format and"
            " not encrypted."
        ) from error
    if not matches:
        raise KeyPairMismatch(
            "The private key does not match the public key of the certificate."
        )


def parse_ssh_key(text: str) -> rsa.RSAPublicKey:
    """An RSA public key, in the ssh-rsa or the PEM form.

    Raises:
        InvalidPublicKey: it is none, or of another size.
    """
    try:
        data = text.strip().encode("ascii")
        if data.count(b"PUBLIC KEY-----") > _LINES_OF_A_KEY or (
            data.startswith(_SSH_RSA) and b"\n" in data
        ):
            raise InvalidPublicKey("Exactly one public key is expected.")
        key = (
            serialization.load_ssh_public_key(data)
            if data.startswith(_SSH_RSA)
            else serialization.load_pem_public_key(data)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidPublicKey("The public key is malformed.") from error
    if (
        not isinstance(key, rsa.RSAPublicKey)
        or not _RSA_BITS_MIN <= key.key_size <= _RSA_BITS_MAX
    ):
        raise InvalidPublicKey(
            f"The public key must be RSA of at least {_RSA_BITS_MIN} bits."
        )
    return key


def ssh_form(key: rsa.RSAPublicKey) -> str:
    """The key as OpenSSH writes it."""
    return key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode("ascii")


def pem_form(key: rsa.RSAPublicKey) -> str:
    """The key in PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def ssh_fingerprint(key: rsa.RSAPublicKey) -> str:
    """MD5 of the key's blob, as ``ssh-keygen -E md5`` shows it."""
    blob = base64.b64decode(ssh_form(key).split(" ")[1])
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _der(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class _Texts(Struct, frozen=True):
    """How messages speak of a kind."""

    missing: str
    conflict: str


_TEXTS: Mapping[CredentialKind, _Texts] = {
    CredentialKind.SIGNING_CERTIFICATE: _Texts(
        "The Certificate with id {} cannot be found.", "delete signing certificates"
    ),
    CredentialKind.SSH_PUBLIC_KEY: _Texts(
        "The Public Key with id {} cannot be found.", "delete SSH public keys"
    ),
    CredentialKind.SERVICE_SPECIFIC: _Texts(
        "No such credential {} exists", "remove referenced objects"
    ),
}


async def upload_certificate(
    change: DirectoryChange, account: Account, holder_id: str, body: str, now: datetime
) -> UserCredential:
    """Keep a signing certificate of a user (root: the account's number).

    Raises:
        MalformedCertificate, InvalidCertificate: it is none, or not valid now.
        DuplicateCertificate: the account has it already.
        LimitExceeded: there are as many as may be.
    """
    kind = CredentialKind.SIGNING_CERTIFICATE
    certificate = parse_certificate(body)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise InvalidCertificate("The certificate is expired or not yet valid.")
    fingerprint = certificate_fingerprint(certificate)
    known = await change.all_of(USER_CREDENTIAL, account.account_id, kind=kind)
    if any(other.fingerprint == fingerprint for other in known):
        raise DuplicateCertificate("The specified certificate is already in use.")
    held = sum(other.user_id == holder_id for other in known)
    require_within(account, Quota.SIGNING_CERTIFICATES_PER_USER, held + 1)
    made = UserCredential(
        account=account.account_id,
        credential_id=new_unique_id("") + new_provider_id(""),
        kind=kind,
        user_id=holder_id,
        status=CredentialStatus.ACTIVE,
        created_at=now,
        fingerprint=fingerprint,
        body=body,
    )
    await change.insert(USER_CREDENTIAL, made)
    return made


async def upload_ssh_key(
    change: DirectoryChange, account: Account, user: User, body: str, now: datetime
) -> UserCredential:
    """Keep an SSH public key of a user.

    Raises:
        InvalidPublicKey: it is none.
        DuplicateSshPublicKey: the user has it already.
        LimitExceeded: there are as many as may be.
    """
    kind = CredentialKind.SSH_PUBLIC_KEY
    fingerprint = ssh_fingerprint(parse_ssh_key(body))
    known = await change.all_of(
        USER_CREDENTIAL, account.account_id, kind=kind, user_id=user.user_id
    )
    if any(other.fingerprint == fingerprint for other in known):
        raise DuplicateSshPublicKey(
            "The SSH public key is already associated with the specified IAM user."
        )
    require_within(account, Quota.SSH_KEYS_PER_USER, len(known) + 1)
    made = UserCredential(
        account=account.account_id,
        credential_id=new_unique_id("APKA"),
        kind=kind,
        user_id=user.user_id,
        status=CredentialStatus.ACTIVE,
        created_at=now,
        fingerprint=fingerprint,
        body=body,
    )
    await change.insert(USER_CREDENTIAL, made)
    return made


async def create_service_credential(
    change: DirectoryChange,
    account: Account,
    user: User,
    service: str,
    *,
    age_days: int | None,
    sealer: Sealer,
    now: datetime,
) -> tuple[UserCredential, Secret]:
    """Make a user's credential for one service; its secret is shown this once.

    Raises:
        NoSuchEntity: the service has none.
        LimitExceeded: there are as many for this service as may be.
    """
    service = require_service(service)
    kind = CredentialKind.SERVICE_SPECIFIC
    known = [
        other
        for other in await change.all_of(
            USER_CREDENTIAL, account.account_id, kind=kind, user_id=user.user_id
        )
        if other.details["service"] == service
    ]
    require_within(account, Quota.SERVICE_CREDENTIALS, len(known) + 1)
    taken = {other.details["user_name"] for other in known}
    names = (
        f"{user.name}{f'+{number}' if number else ''}-at-{account.account_id}"
        for number in range(len(known) + 1)
    )
    made = UserCredential(
        account=account.account_id,
        credential_id=new_unique_id("ACCA"),
        kind=kind,
        user_id=user.user_id,
        status=CredentialStatus.ACTIVE,
        created_at=now,
        expires_at=None if age_days is None else now + timedelta(days=age_days),
        details={
            "service": service,
            "user_name": next(name for name in names if name not in taken),
        },
    )
    sealed, secret = _with_secret(made, sealer)
    await change.insert(USER_CREDENTIAL, sealed)
    return sealed, secret


async def reset_service_credential(
    change: DirectoryChange, credential: UserCredential, *, sealer: Sealer
) -> tuple[UserCredential, Secret]:
    """Give a service-specific credential a new secret."""
    sealed, secret = _with_secret(credential, sealer)
    await change.update(USER_CREDENTIAL, sealed)
    return sealed, secret


def require_service(name: str) -> str:
    """The service of a name in any case.

    Raises:
        NoSuchEntity: it has no credentials of its own.
    """
    service = name.lower()
    if service not in SERVICES:
        raise NoSuchEntity(
            f"No such service {name} is supported for Service Specific Credentials"
        )
    return service


async def require_credential(
    directory: DirectoryReader,
    account: Account,
    kind: CredentialKind,
    holder_id: str,
    credential_id: str,
    *,
    holder_name: str,
) -> UserCredential:
    """A credential of this kind and this very user.

    Raises:
        NoSuchEntity: the user has no such credential.
        ValidationError: it is another user's service credential.
    """
    credential = await directory.find(
        USER_CREDENTIAL, account.account_id, credential_id
    )
    if credential is None or (credential.kind, credential.user_id) != (kind, holder_id):
        if (
            credential is not None
            and credential.kind is kind is CredentialKind.SERVICE_SPECIFIC
        ):
            raise ValidationError(
                f"User {holder_name} does not have a service specific credential "
                f"with id {credential_id}"
            )
        raise NoSuchEntity(_TEXTS[kind].missing.format(credential_id))
    return credential


async def set_status(
    change: DirectoryChange, credential: UserCredential, status: str
) -> None:
    """Switch a credential on or off.

    Raises:
        InvalidInput: it is another status.
    """
    try:
        new = CredentialStatus(status)
    except ValueError as error:
        raise InvalidInput(f"Operation does not support status {status}") from error
    await change.update(USER_CREDENTIAL, replace(credential, status=new))


async def require_no_credentials(directory: DirectoryReader, user: User) -> None:
    """Refuse to go on while a user has MFA devices or credentials of these kinds.

    Raises:
        DeleteConflict: naming what must be removed first.
    """
    if await directory.count(
        MFA_DEVICE, user.account, user_id=user.user_id
    ) or await directory.count(PASSKEY, user.account, user_id=user.user_id):
        raise DeleteConflict("Cannot delete entity, must delete MFA device first.")
    for kind, texts in _TEXTS.items():
        if await directory.all_of(
            USER_CREDENTIAL, user.account, kind=kind, user_id=user.user_id
        ):
            raise DeleteConflict(f"Cannot delete entity, must {texts.conflict} first.")


def _with_secret(
    credential: UserCredential, sealer: Sealer
) -> tuple[UserCredential, Secret]:
    secret = base64.b64encode(random_bytes(_PASSWORD_BYTES)).decode("ascii")
    prefix = SERVICES[credential.details["service"]]
    if prefix is not None:
        named = f"{credential.details['user_name']}:{secret}".encode()
        secret = prefix + base64.b64encode(named).decode("ascii")
    purpose, column = SERVICE_PASSWORD_SEAL
    sealed = sealer.seal(
        purpose,
        credential.account,
        credential.credential_id,
        column,
        secret.encode("ascii"),
    )
    return replace(credential, sealed=sealed), Secret(secret)


def _server_certificate_view(
    certificate: ServerCertificate,
) -> types.ServerCertificateMetadata:
    return {
        "Path": certificate.path,
        "ServerCertificateName": certificate.name,
        "ServerCertificateId": certificate.certificate_id,
        "Arn": certificate.arn,
        "UploadDate": certificate.uploaded_at,
        "Expiration": certificate.expires_at,
    }


SERVER_CERTIFICATES = Named(
    kind=SERVER_CERTIFICATE,
    quota=Quota.SERVER_CERTIFICATES,
    change=renaming("NewServerCertificateName"),
    view=_server_certificate_view,
    missing="The Server Certificate with name {} cannot be found.",
    taken="The Server Certificate with name {0.name} already exists.",
    name="ServerCertificateName",
    resource="server-certificate",
    one="ServerCertificateMetadata",
    many="ServerCertificateMetadataList",
)


def with_private_keys(sealer: Sealer) -> Named[ServerCertificate]:
    """The kind where certificates are made: ``sealer`` keeps their private keys."""

    async def make(
        params: types.UploadServerCertificateRequest, work: Work
    ) -> ServerCertificate:
        tags = given_tags(params.get("Tags", ()), KeyCase.SENSITIVE)
        path = require_path(params.get("Path", "/"))
        certificate = parse_certificate(params["CertificateBody"])
        require_key_pair(certificate, params["PrivateKey"])
        chain = params.get("CertificateChain")
        if chain is not None:
            parse_chain(chain)
        certificate_id, (purpose, column) = new_unique_id("ASCA"), SERVER_KEY_SEAL
        key = params["PrivateKey"].encode("latin-1")
        return ServerCertificate(
            account=work.account,
            certificate_id=certificate_id,
            name=params["ServerCertificateName"],
            path=path,
            body=params["CertificateBody"],
            chain=chain,
            sealed_key=sealer.seal(purpose, work.account, certificate_id, column, key),
            uploaded_at=work.now,
            expires_at=certificate.not_valid_after_utc,
            tags=tags,
        )

    return replace(SERVER_CERTIFICATES, make=make)
