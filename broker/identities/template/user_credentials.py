"""A user's credentials in a template: their public parts, and one flag.

``LoginProfile`` without its password, ``SSHPublicKeys`` and ``SigningCertificates``
with their texts. An absent property leaves those credentials alone, even with
``--prune``; secrets (passwords, access keys) are created by API calls.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from broker.errors import BrokerError
from broker.identities.mfa_devices import deactivate_device
from broker.identities.public_keys import (
    certificate_fingerprint,
    parse_certificate,
    parse_ssh_key,
    ssh_fingerprint,
)
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountWork, without_empty
from broker.identities.template.properties import Properties
from broker.identities.user_credentials import (
    set_status,
    upload_certificate,
    upload_ssh_key,
)
from broker.model.account import AccountId
from broker.model.credentials import CredentialKind, CredentialStatus, UserCredential
from broker.model.entities import User
from broker.stores.directory.credentials import list_credentials_of
from broker.stores.directory.kinds import (
    LOGIN_PROFILE,
    MFA_DEVICE,
    PASSKEY,
    USER_CREDENTIAL,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.reports import list_login_profiles


class Login(StrEnum):
    """The public properties of a user's password."""

    KEPT = "a password"
    RESET_REQUIRED = "a password to be changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicCredentials:
    """Credentials of one kind: status by fingerprint, and the texts to upload."""

    statuses: Mapping[str, str]
    texts: Mapping[str, str] = field(compare=False, default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(
            f"{fingerprint[:11]}… {status}"
            for fingerprint, status in self.statuses.items()
        )

    def with_others_of(
        self, before: "PublicCredentials"
    ) -> tuple["PublicCredentials", tuple[str, ...]]:
        """These and existing ones that they lack; and which those are."""
        others = [one for one in before.statuses if one not in self.statuses]
        kept = {**self.statuses, **{one: before.statuses[one] for one in others}}
        return replace(self, statuses=dict(sorted(kept.items()))), tuple(others)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCredentials:
    """All credentials of a user; None for kinds that are left alone."""

    login: Login | None = field(default=None, metadata={"property": "LoginProfile"})
    ssh_keys: PublicCredentials | None = field(
        default=None, metadata={"property": "SSHPublicKeys"}
    )
    certificates: PublicCredentials | None = field(
        default=None, metadata={"property": "SigningCertificates"}
    )


NOTHING_SAID = UserCredentials()

_SECTIONS = {
    CredentialKind.SSH_PUBLIC_KEY: ("SSHPublicKeys", "SSHPublicKeyBody"),
    CredentialKind.SIGNING_CERTIFICATE: ("SigningCertificates", "CertificateBody"),
}


def read_credentials(properties: Properties) -> UserCredentials:
    """The credentials among a user's properties.

    Raises:
        TemplateError: one of them is invalid, or a password is given.
    """
    return UserCredentials(
        login=_read_login(properties),
        ssh_keys=_read_public(properties, CredentialKind.SSH_PUBLIC_KEY),
        certificates=_read_public(properties, CredentialKind.SIGNING_CERTIFICATE),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCredentials:
    """The credentials of several users, by the user's unique id."""

    logins: Mapping[str, Login]
    ssh_keys: Mapping[str, PublicCredentials]
    certificates: Mapping[str, PublicCredentials]

    def of(self, user_id: str) -> UserCredentials:
        """The credentials that a user has."""
        none = PublicCredentials(statuses={})
        return UserCredentials(
            login=self.logins.get(user_id),
            ssh_keys=self.ssh_keys.get(user_id, none),
            certificates=self.certificates.get(user_id, none),
        )


async def load_credentials(
    directory: DirectoryReader, account: AccountId, user_ids: Sequence[str]
) -> AllCredentials:
    """Load these users' credentials, with few queries."""
    held: dict[tuple[CredentialKind, str], list[UserCredential]] = defaultdict(list)
    for one in await list_credentials_of(directory, account, user_ids):
        held[one.kind, one.user_id].append(one)

    def public(wanted: CredentialKind) -> dict[str, PublicCredentials]:
        return {
            who: _public(some) for (kind, who), some in held.items() if kind is wanted
        }

    return AllCredentials(
        logins={
            profile.user_id: Login.RESET_REQUIRED
            if profile.reset_required
            else Login.KEPT
            for profile in await list_login_profiles(directory, account, user_ids)
        },
        ssh_keys=public(CredentialKind.SSH_PUBLIC_KEY),
        certificates=public(CredentialKind.SIGNING_CERTIFICATE),
    )


def complete_credentials(
    before: UserCredentials, after: UserCredentials
) -> tuple[UserCredentials, bool]:
    """Fill in the kinds that ``after`` leaves alone; whether a password is missing."""
    no_password = after.login is not None and before.login is None
    settled = UserCredentials(
        login=before.login if no_password or after.login is None else after.login,
        ssh_keys=before.ssh_keys if after.ssh_keys is None else after.ssh_keys,
        certificates=(
            before.certificates if after.certificates is None else after.certificates
        ),
    )
    return settled, no_password


def keep_credentials(
    before: UserCredentials, after: UserCredentials
) -> tuple[UserCredentials, tuple[str, ...]]:
    """Keep existing keys and certificates that the template does not name."""
    parts: list[str] = []
    kept: dict[str, PublicCredentials | None] = {}
    for member, noun in (("ssh_keys", "SSH key"), ("certificates", "certificate")):
        old: PublicCredentials | None = getattr(before, member)
        new: PublicCredentials | None = getattr(after, member)
        if old is not None and new is not None:
            new, others = new.with_others_of(old)
            parts += [f"{noun} {fingerprint[:11]}…" for fingerprint in others]
        kept[member] = new
    return replace(after, **kept), tuple(parts)  # type: ignore[arg-type]  # by name


async def write_credentials(
    work: AccountWork, user: User, before: UserCredentials, after: UserCredentials
) -> None:
    """Write what differs; see `complete_credentials`."""
    if after.login is not None and after.login is not before.login:
        profile = await work.change.find(LOGIN_PROFILE, user.account, user.user_id)
        if profile is not None:
            required = after.login is Login.RESET_REQUIRED
            await work.change.update(
                LOGIN_PROFILE, replace(profile, reset_required=required)
            )
    for kind, spec in (
        (CredentialKind.SSH_PUBLIC_KEY, after.ssh_keys),
        (CredentialKind.SIGNING_CERTIFICATE, after.certificates),
    ):
        if spec is not None:
            await _write_public(work, user, kind, spec)


async def delete_credentials(work: AccountWork, user: User) -> None:
    """Delete a user's credentials other than password and access keys."""
    change = work.change
    for kind in CredentialKind:
        for held in await change.all_of(
            USER_CREDENTIAL, user.account, kind=kind, user_id=user.user_id
        ):
            await change.remove(USER_CREDENTIAL, held)
    for device in await change.all_of(MFA_DEVICE, user.account, user_id=user.user_id):
        if device.virtual:
            await change.remove(MFA_DEVICE, device)
        else:
            await deactivate_device(change, device)
    for passkey in await change.all_of(PASSKEY, user.account, user_id=user.user_id):
        await change.remove(PASSKEY, passkey)


def show_credentials(credentials: UserCredentials) -> dict[str, object]:
    """The properties as a template writes them."""
    shown: dict[str, object] = {}
    if credentials.login is not None:
        required = credentials.login is Login.RESET_REQUIRED
        shown["LoginProfile"] = {"PasswordResetRequired": required}
    for kind, held in (
        (CredentialKind.SSH_PUBLIC_KEY, credentials.ssh_keys),
        (CredentialKind.SIGNING_CERTIFICATE, credentials.certificates),
    ):
        section, body = _SECTIONS[kind]
        if held is not None:
            shown[section] = [
                {body: held.texts[fingerprint], "Status": status}
                for fingerprint, status in held.statuses.items()
            ]
    return without_empty(shown)


def _read_login(properties: Properties) -> Login | None:
    if not properties.has("LoginProfile"):
        return None
    given = Properties(
        properties.mapping("LoginProfile"), f"{properties.place}.LoginProfile"
    )
    if given.has("Password"):
        raise TemplateError(
            f"{given.place}.Password",
            "is a secret; call CreateLoginProfile, and leave it out",
        )
    required = given.flag("PasswordResetRequired")
    given.finish()
    return Login.RESET_REQUIRED if required else Login.KEPT


def _read_public(
    properties: Properties, kind: CredentialKind
) -> PublicCredentials | None:
    section, body = _SECTIONS[kind]
    if not properties.has(section):
        return None
    statuses: dict[str, str] = {}
    texts: dict[str, str] = {}
    for item in properties.items(section):
        text = item.text(body).strip()
        status = item.optional_text("Status") or CredentialStatus.ACTIVE.value
        item.finish()
        if status not in set(CredentialStatus):
            raise TemplateError(f"{item.place}.Status", "must be Active or Inactive")
        try:
            fingerprint = _fingerprint(kind, text)
        except BrokerError as error:
            raise TemplateError(f"{item.place}.{body}", str(error)) from error
        if fingerprint in statuses:
            raise TemplateError(item.place, "this one comes twice")
        statuses[fingerprint], texts[fingerprint] = status, text
    return PublicCredentials(statuses=dict(sorted(statuses.items())), texts=texts)


def _fingerprint(kind: CredentialKind, text: str) -> str:
    if kind is CredentialKind.SSH_PUBLIC_KEY:
        return ssh_fingerprint(parse_ssh_key(text))
    return certificate_fingerprint(parse_certificate(text))


def _public(held: list[UserCredential]) -> PublicCredentials:
    ordered = sorted(held, key=lambda one: one.fingerprint)
    return PublicCredentials(
        statuses={one.fingerprint: one.status.value for one in ordered},
        texts={one.fingerprint: one.body.strip() for one in ordered},
    )


async def _write_public(
    work: AccountWork, user: User, kind: CredentialKind, spec: PublicCredentials
) -> None:
    change = work.change
    listed = await change.all_of(
        USER_CREDENTIAL, user.account, kind=kind, user_id=user.user_id
    )
    there = {one.fingerprint: one for one in listed}
    for fingerprint, found in there.items():
        if fingerprint not in spec.statuses:
            await change.remove(USER_CREDENTIAL, found)
    for fingerprint, status in spec.statuses.items():
        found_or_made = there.get(fingerprint)
        if found_or_made is None:
            text = spec.texts[fingerprint]
            found_or_made = await _upload(work, user, kind, text)
        if found_or_made.status.value != status:
            await set_status(change, found_or_made, status)


async def _upload(
    work: AccountWork, user: User, kind: CredentialKind, text: str
) -> UserCredential:
    if kind is CredentialKind.SSH_PUBLIC_KEY:
        return await upload_ssh_key(work.change, work.account, user, text, work.now)
    return await upload_certificate(
        work.change, work.account, user.user_id, text, work.now
    )
