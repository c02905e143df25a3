"""*My security credentials*: the user's own password, keys and certificates.

Each change is an IAM action performed as the user, so policies with
``${aws:username}`` apply here as they do at the API.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.console.visit import BOTH, GET, POST, Page, PageRoute, Visit
from broker.errors import AccessDenied, NoSuchEntity, ValidationError
from broker.kinds.passkeys import is_passkey
from broker.kinds.password_policy import requirements
from broker.model.principal import PrincipalType
from broker.stores.directory.kinds import ACCOUNT

SECTION = "security"
HOME = "/console/security"
SERVICES = "/console/security/services"
NEW_KEY = "/console/security/access-keys/new"
UPLOAD = "/console/security/upload"
SERVICE_CREDENTIAL = "/console/security/services/new"
RESET = "/console/security/services/reset"
STATUS = "/console/security/status"
REMOVE = "/console/security/remove"

_PERSONAL = frozenset({PrincipalType.USER, PrincipalType.ACCOUNT})

OwnPage = Callable[["OwnCredentials"], Awaitable[Response]]


class OwnList(Struct, frozen=True):
    """The rows of a list, or why it was refused."""

    rows: tuple[Mapping[str, Any], ...] = ()
    refused: str = ""


class OwnCredentials:
    """A visit of an IAM user or the root user, who have credentials of their own."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.user_name = visit.who.principal.username

    @property
    def is_root(self) -> bool:
        """Whether this is the root user, who has no user name."""
        return self.user_name is None

    async def iam(self, action: str, **params: object) -> Mapping[str, Any]:
        """Perform an IAM action on the user's own credentials.

        Raises:
            BrokerError: The action failed; the failure is audited.
        """
        return await self.visit.iam(action, UserName=self.user_name, **params)

    async def list_own(self, action: str, member: str) -> OwnList:
        """List the user's credentials of one kind, or say why that was refused."""
        try:
            return OwnList(tuple((await self.iam(action))[member]))
        except AccessDenied as error:
            return OwnList(refused=error.words)

    async def show(self, template: str, **context: object) -> Response:
        """Show a page from ``templates/security``."""
        return await self.visit.show(
            f"security/{template}",
            user_name=self.user_name,
            is_root=self.is_root,
            **context,
        )


def _owned(page: OwnPage) -> Page:
    """Restrict a page to users with credentials of their own.

    Role sessions and federated users get a page that says where theirs come from.
    """

    async def answer(visit: Visit) -> Response:
        if visit.who.principal.type not in _PERSONAL:
            return await visit.show("security/elsewhere.html")
        return await page(OwnCredentials(visit))

    return answer


class CredentialPage(Struct, frozen=True):
    """A kind of credential: IAM's noun and parameter for it, and its page."""

    noun: str
    parameter: str
    words: str
    page: str
    upload: str = ""


KINDS = {
    "access-key": CredentialPage("AccessKey", "AccessKeyId", "access key", HOME),
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


async def overview(own: OwnCredentials) -> Response:
    """``GET /console/security``: password, MFA devices, access keys, certificates."""
    devices = await own.list_own("ListMFADevices", "MFADevices")
    keys = await own.list_own("ListAccessKeys", "AccessKeyMetadata")
    return await own.show(
        "overview.html",
        with_mfa=own.visit.who.session.mfa_at is not None,
        devices=devices,
        kind_of=device_kind,
        keys=keys,
        uses=[await _last_use(own, key) for key in keys.rows],
        certificates=await own.list_own("ListSigningCertificates", "Certificates"),
    )


async def services(own: OwnCredentials) -> Response:
    """``GET /console/security/services``: SSH keys, service-specific credentials."""
    return await own.show(
        "services.html",
        ssh_keys=await own.list_own("ListSSHPublicKeys", "SSHPublicKeys"),
        credentials=await own.list_own(
            "ListServiceSpecificCredentials", "ServiceSpecificCredentials"
        ),
    )


def device_kind(serial: str) -> str:
    """The kind of an MFA device, for display."""
    if is_passkey(serial):
        return "Passkey or security key"
    return "Authenticator app" if serial.startswith("arn:") else "Hardware token"


async def _last_use(
    own: OwnCredentials, key: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """When a key was last used; None when the user may not see it."""
    try:
        results = await own.visit.iam(
            "GetAccessKeyLastUsed", AccessKeyId=key["AccessKeyId"]
        )
    except AccessDenied:
        return None
    used: Mapping[str, Any] = results["AccessKeyLastUsed"]
    return used


async def change_password(own: OwnCredentials) -> Response:
    """``/console/security/password``: the form; a POST changes the password."""
    if own.visit.posted:
        with own.visit.attempt():
            await _change(own)
            return own.visit.done("Your password was changed.", HOME)
    session = own.visit.who.session
    account = await own.visit.frame.context.deps.fresh.find(ACCOUNT, session.account)
    return await own.show(
        "password.html", requirements=requirements(account) if account else ()
    )


async def _change(own: OwnCredentials) -> None:
    # Not `visit.text`, which strips: white space is part of a password.
    old, new, again = (
        own.visit.form.find(name) or ""
        for name in ("old_password", "new_password", "new_password_again")
    )
    if new != again:
        raise ValidationError("The two new passwords do not match.")
    await own.visit.iam("ChangePassword", OldPassword=old, NewPassword=new)


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
    service = own.visit.text("service")
    return await _make_secret(own, "Create", ServiceName=service)


async def reset_service_credential(own: OwnCredentials) -> Response:
    """``POST /console/security/services/reset``: a new secret."""
    id_ = own.visit.text("id")
    return await _make_secret(own, "Reset", ServiceSpecificCredentialId=id_)


async def upload(own: OwnCredentials) -> Response:
    """``/console/security/upload``: upload a certificate or public key."""
    name, kind = _kind(own)
    if not kind.upload:
        raise NoSuchEntity("There is no such page.")
    text = own.visit.text("text")
    if own.visit.posted:
        with own.visit.attempt():
            await own.iam(f"Upload{kind.noun}", **{kind.upload: text})
            return own.visit.done(f"The {kind.words} was uploaded.", kind.page)
    return await own.show("upload.html", kind=kind, kind_name=name, text=text)


async def set_status(own: OwnCredentials) -> Response:
    """``POST /console/security/status``: activate or deactivate."""
    _, kind = _kind(own)
    status = own.visit.text("status")
    if status not in {"Active", "Inactive"}:
        raise NoSuchEntity("There is no such status.")
    await own.iam(
        f"Update{kind.noun}", **{kind.parameter: own.visit.text("id")}, Status=status
    )
    return own.visit.done(f"The {kind.words} is now {status.lower()}.", kind.page)


async def remove(own: OwnCredentials) -> Response:
    """``/console/security/remove``: GET asks for confirmation, POST deletes."""
    name, kind = _kind(own)
    identifier = own.visit.text("id")
    if not own.visit.posted:
        return await own.show(
            "remove.html", kind=kind, kind_name=name, identifier=identifier[:256]
        )
    await own.iam(f"Delete{kind.noun}", **{kind.parameter: identifier})
    return own.visit.done(f"The {kind.words} was deleted.", kind.page)


async def _make_secret(own: OwnCredentials, verb: str, **params: str) -> Response:
    answer = await own.iam(f"{verb}ServiceSpecificCredential", **params)
    made = answer["ServiceSpecificCredential"]
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
    if name not in KINDS:
        raise NoSuchEntity("There is no such kind of credential.")
    return name, KINDS[name]


def routes(
    pages: Iterable[tuple[str, tuple[str, ...], OwnPage]],
) -> tuple[PageRoute, ...]:
    """The pages for users with credentials of their own, with paths and methods."""
    return tuple(
        PageRoute(path, SECTION, _owned(page), methods) for path, methods, page in pages
    )


PAGES = routes(
    (
        (HOME, GET, overview),
        (SERVICES, GET, services),
        (f"{HOME}/password", BOTH, change_password),
        (NEW_KEY, POST, new_key),
        (UPLOAD, BOTH, upload),
        (SERVICE_CREDENTIAL, POST, new_service_credential),
        (RESET, POST, reset_service_credential),
        (STATUS, POST, set_status),
        (REMOVE, BOTH, remove),
    )
)
