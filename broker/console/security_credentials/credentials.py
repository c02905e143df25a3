"""Creating and deleting access keys, certificates, SSH keys and service credentials."""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.console.security_credentials.own import HOME, SERVICES, OwnCredentials
from broker.console.visit import go
from broker.errors import NoSuchEntity

NEW_KEY = "/console/security/access-keys/new"
UPLOAD = "/console/security/upload"
SERVICE_CREDENTIAL = "/console/security/services/new"
RESET = "/console/security/services/reset"
STATUS = "/console/security/status"
REMOVE = "/console/security/remove"

_STATUSES = frozenset({"Active", "Inactive"})


@dataclass(frozen=True, slots=True)
class CredentialPage:
    """A kind of credential: IAM's noun and parameter for it, and its page."""

    noun: str
    parameter: str
    words: str
    page: str
    done: str = "gone"
    upload: str = ""


KINDS = {
    "access-key": CredentialPage(
        "AccessKey", "AccessKeyId", "access key", HOME, "key-gone"
    ),
    "certificate": CredentialPage(
        "SigningCertificate",
        "CertificateId",
        "signing certificate",
        HOME,
        upload="CertificateBody",
    ),
    "ssh-key": CredentialPage(
        "SSHPublicKey",
        "SSHPublicKeyId",
        "SSH public key",
        SERVICES,
        upload="SSHPublicKeyBody",
    ),
    "service": CredentialPage(
        "ServiceSpecificCredential",
        "ServiceSpecificCredentialId",
        "service-specific credential",
        SERVICES,
    ),
}


async def new_key(own: OwnCredentials) -> Response:
    """``POST /console/security/access-keys/new``: shows the secret, this once only."""
    made = (await own.iam("CreateAccessKey"))["AccessKey"]
    return await own.show(
        "secret.html",
        title="Access key created",
        facts=(("Access key ID", made["AccessKeyId"]),),
        secret=("Secret access key", made["SecretAccessKey"]),
        back=HOME,
        hint="Keep it where only you can read it; aws configure stores it in a profile.",
    )


async def new_service_credential(own: OwnCredentials) -> Response:
    """``POST /console/security/services/new``: a credential for one service."""
    made = await own.iam(
        "CreateServiceSpecificCredential", ServiceName=own.visit.text("service")
    )
    return await _show_service_secret(own, made["ServiceSpecificCredential"])


async def reset_service_credential(own: OwnCredentials) -> Response:
    """``POST /console/security/services/reset``: a new secret."""
    made = await own.iam(
        "ResetServiceSpecificCredential",
        ServiceSpecificCredentialId=own.visit.text("id"),
    )
    return await _show_service_secret(own, made["ServiceSpecificCredential"])


async def upload(own: OwnCredentials) -> Response:
    """``/console/security/upload``: upload a certificate or public key."""
    name, kind = _kind(own)
    if not kind.upload:
        raise NoSuchEntity("There is no such page.")
    text = own.visit.text("text")
    if own.visit.posted:
        with own.visit.attempt():
            await own.iam(f"Upload{kind.noun}", **{kind.upload: text})
            return go(kind.page, done="uploaded")
    return await own.show("upload.html", kind=kind, kind_name=name, text=text)


async def set_status(own: OwnCredentials) -> Response:
    """``POST /console/security/status``: activate or deactivate."""
    _, kind = _kind(own)
    status = own.visit.text("status")
    if status not in _STATUSES:
        raise NoSuchEntity("There is no such status.")
    await own.iam(
        f"Update{kind.noun}", **{kind.parameter: own.visit.text("id")}, Status=status
    )
    return go(kind.page, done="status")


async def remove(own: OwnCredentials) -> Response:
    """``/console/security/remove``: GET asks for confirmation, POST deletes."""
    name, kind = _kind(own)
    identifier = own.visit.text("id")
    if not own.visit.posted:
        return await own.show(
            "remove.html", kind=kind, kind_name=name, identifier=identifier[:256]
        )
    await own.iam(f"Delete{kind.noun}", **{kind.parameter: identifier})
    return go(kind.page, done=kind.done)


async def _show_service_secret(own: OwnCredentials, made: dict[str, Any]) -> Response:
    is_password = "ServicePassword" in made
    name = made["ServiceUserName" if is_password else "ServiceCredentialAlias"]
    return await own.show(
        "secret.html",
        title="Service-specific credential",
        facts=(("Service", made["ServiceName"]), ("User name", name)),
        secret=(
            "Password" if is_password else "API key",
            made["ServicePassword" if is_password else "ServiceCredentialSecret"],
        ),
        back=SERVICES,
        hint="If you lose it, create a new secret for the credential.",
    )


def _kind(own: OwnCredentials) -> tuple[str, CredentialPage]:
    name = own.visit.text("kind")
    kind = KINDS.get(name)
    if kind is None:
        raise NoSuchEntity("There is no such kind of credential.")
    return name, kind
