"""``Users``, what belongs to them, and ``Groups``."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from broker.kinds import groups, users
from broker.kinds.groups import add_user, require_group
from broker.kinds.mfa_devices import deactivate_device
from broker.kinds.user_credentials import (
    certificate_fingerprint,
    parse_certificate,
    parse_ssh_key,
    set_status,
    ssh_fingerprint,
    upload_certificate,
    upload_ssh_key,
)
from broker.kinds.yaml_text import TemplateError, at_place
from broker.model.credentials import CredentialKind, CredentialStatus, UserCredential
from broker.model.entities import User
from broker.model.names import fold_name
from broker.stores.directory.identities import (
    list_credentials_of,
    list_memberships,
    remove_member,
)
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    LOGIN_PROFILE,
    MFA_DEVICE,
    PASSKEY,
    USER_CREDENTIAL,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.reports import list_login_profiles
from broker.template.owned import (
    ATTACHED,
    BOUNDED,
    POLICIES,
    adopt_names,
    as_present,
    clear_owned,
    finish_bounded,
    further_owned,
    keep_owned,
    read_attached,
    read_policies,
    short_name,
    show_policies,
    write_owned,
)
from broker.template.properties import Properties
from broker.template.section import AccountWork, Described, Members, Section

_LOGIN, _KEYS, _CERTIFICATES = "LoginProfile", "SSHPublicKeys", "SigningCertificates"
_KINDS = {
    _KEYS: (CredentialKind.SSH_PUBLIC_KEY, "SSHPublicKeyBody", "SSH key"),
    _CERTIFICATES: (
        CredentialKind.SIGNING_CERTIFICATE,
        "CertificateBody",
        "certificate",
    ),
}
_GROUPS = "Groups"


class Login(StrEnum):
    """The public properties of a user's password."""

    KEPT = "a password"
    RESET_REQUIRED = "a password to be changed"


class PublicCredentials(Struct, frozen=True, kw_only=True):
    """Credentials of one kind: status by fingerprint, and the texts to upload."""

    statuses: Mapping[str, str]
    texts: Mapping[str, str] = {}

    def __eq__(self, other: object) -> bool:
        # The fingerprints stand for the texts.
        return isinstance(other, PublicCredentials) and self.statuses == other.statuses

    __hash__ = None  # type: ignore[assignment] # its statuses have none

    def __str__(self) -> str:
        return ", ".join(
            f"{fingerprint[:11]}… {status}"
            for fingerprint, status in self.statuses.items()
        )

    def with_others_of(
        self, before: "PublicCredentials"
    ) -> tuple["PublicCredentials", tuple[str, ...]]:
        """These and existing ones that they lack; and which those are."""
        others = [status for status in before.statuses if status not in self.statuses]
        kept = {**self.statuses, **{other: before.statuses[other] for other in others}}
        return replace(self, statuses=dict(sorted(kept.items()))), tuple(others)


async def further_credentials(
    page: Sequence[User], directory: DirectoryReader
) -> list[Members]:
    """The credentials of each of a page's users, with few queries."""
    account, user_ids = page[0].account, [user.user_id for user in page]
    held: dict[tuple[CredentialKind, str], list[UserCredential]] = defaultdict(list)
    for credential in await list_credentials_of(directory, account, user_ids):
        held[credential.kind, credential.user_id].append(credential)
    logins = {
        profile.user_id: Login.RESET_REQUIRED if profile.reset_required else Login.KEPT
        for profile in await list_login_profiles(directory, account, user_ids)
    }
    return [
        {
            _LOGIN: logins.get(user_id),
            **{
                name: _public(held.get((kind, user_id), []))
                for name, (kind, _, _) in _KINDS.items()
            },
        }
        for user_id in user_ids
    ]


def complete_credentials(before: Members, after: Members) -> tuple[Members, bool]:
    """Fill in the kinds that ``after`` leaves alone; whether a password is missing."""
    there = {name: before.get(name) for name in CREDENTIALS}
    said = {name: after[name] for name in CREDENTIALS if after[name] is not None}
    no_password = _LOGIN in said and there[_LOGIN] is None
    settled = {**after, **there, **said}
    return (settled | {_LOGIN: None} if no_password else settled), no_password


def keep_credentials(
    before: Members, after: Members
) -> tuple[Members, tuple[str, ...]]:
    """Keep existing keys and certificates that the template does not name."""
    kept, parts = dict(after), list[str]()
    for name, (_, _, noun) in _KINDS.items():
        old: PublicCredentials | None = before[name]
        new: PublicCredentials | None = after[name]
        if old is not None and new is not None:
            kept[name], others = new.with_others_of(old)
            parts += [f"{noun} {fingerprint[:11]}…" for fingerprint in others]
    return kept, tuple(parts)


async def write_credentials(
    work: AccountWork, user: User, before: Members, after: Members
) -> None:
    """Write what differs; see `complete_credentials`."""
    login: Login | None = after[_LOGIN]
    if login is not None and login is not before.get(_LOGIN):
        profile = await work.change.find(LOGIN_PROFILE, user.account, user.user_id)
        if profile is not None:
            required = login is Login.RESET_REQUIRED
            await work.change.update(
                LOGIN_PROFILE, replace(profile, reset_required=required)
            )
    for name, (kind, _, _) in _KINDS.items():
        if after[name] is not None:
            with at_place(name):
                await _write_public(work, user, kind, after[name])


async def clear_credentials(work: AccountWork, user: User) -> None:
    """Delete all of a user's credentials."""
    change = work.change
    profile = await change.find(LOGIN_PROFILE, user.account, user.user_id)
    if profile is not None:
        await change.remove(LOGIN_PROFILE, profile)
    mine = {"user_id": user.user_id}
    for key in await change.all_of(ACCESS_KEY, user.account, **mine):
        await change.remove(ACCESS_KEY, key)
    for kind in CredentialKind:
        for held in await change.all_of(
            USER_CREDENTIAL, user.account, kind=kind, **mine
        ):
            await change.remove(USER_CREDENTIAL, held)
    for device in await change.all_of(MFA_DEVICE, user.account, **mine):
        if device.virtual:
            await change.remove(MFA_DEVICE, device)
        else:
            await deactivate_device(change, device)
    for passkey in await change.all_of(PASSKEY, user.account, **mine):
        await change.remove(PASSKEY, passkey)


def _show_login(login: Login | None) -> Members | None:
    if login is None:
        return None
    return {"PasswordResetRequired": login is Login.RESET_REQUIRED}


def _showing(body: str) -> Callable[[PublicCredentials | None], list[Members]]:
    def show(held: PublicCredentials | None) -> list[Members]:
        if held is None:
            return []
        return [
            {body: held.texts[fingerprint], "Status": status}
            for fingerprint, status in held.statuses.items()
        ]

    return show


def _read_login(properties: Properties, name: str) -> Login | None:
    if not properties.has(name):
        return None
    part = properties.part(name)
    if part.has("Password"):
        raise TemplateError(
            f"{part.place}.Password",
            "is a secret; call CreateLoginProfile, and leave it out",
        )
    required = part.flag("PasswordResetRequired")
    part.finish()
    return Login.RESET_REQUIRED if required else Login.KEPT


def _read_public(properties: Properties, name: str) -> PublicCredentials | None:
    kind, body, _ = _KINDS[name]
    if not properties.has(name):
        return None
    statuses: dict[str, str] = {}
    texts: dict[str, str] = {}

    def read(item: Properties) -> None:
        text = item.text(body).strip()
        status = item.optional_text("Status") or CredentialStatus.ACTIVE.value
        if status not in set(CredentialStatus):
            raise TemplateError(f"{item.place}.Status", "must be Active or Inactive")
        with at_place(f"{item.place}.{body}"):
            fingerprint = _fingerprint(kind, text)
        if fingerprint in statuses:
            raise TemplateError(item.place, "this one comes twice")
        statuses[fingerprint], texts[fingerprint] = status, text

    properties.read_each(name, read)
    return PublicCredentials(statuses=dict(sorted(statuses.items())), texts=texts)


def _fingerprint(kind: CredentialKind, text: str) -> str:
    if kind is CredentialKind.SSH_PUBLIC_KEY:
        return ssh_fingerprint(parse_ssh_key(text))
    return certificate_fingerprint(parse_certificate(text))


def _public(held: list[UserCredential]) -> PublicCredentials:
    ordered = sorted(held, key=lambda credential: credential.fingerprint)
    return PublicCredentials(
        statuses={
            credential.fingerprint: credential.status.value for credential in ordered
        },
        texts={
            credential.fingerprint: credential.body.strip() for credential in ordered
        },
    )


async def _write_public(
    work: AccountWork, user: User, kind: CredentialKind, spec: PublicCredentials
) -> None:
    change = work.change
    listed = await change.all_of(
        USER_CREDENTIAL, user.account, kind=kind, user_id=user.user_id
    )
    there = {user_credential.fingerprint: user_credential for user_credential in listed}
    for fingerprint, credential in there.items():
        if fingerprint not in spec.statuses:
            await change.remove(USER_CREDENTIAL, credential)
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


CREDENTIALS: Mapping[str, Callable[[Properties, str], Any]] = {
    _LOGIN: _read_login,
    **dict.fromkeys(_KINDS, _read_public),
}
"""What reads them; None for kinds that are left alone."""

SHOWN_CREDENTIALS: Mapping[str, Callable[[Any], object]] = {
    _LOGIN: _show_login,
    **{name: _showing(body) for name, (_, body, _) in _KINDS.items()},
}


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({fold_name(name): name for name in names}.values()))


async def _further(page: Sequence[User], directory: DirectoryReader) -> list[Members]:
    if not page:
        return []
    account, user_ids = page[0].account, [user.user_id for user in page]
    members = await list_memberships(directory, account, user_ids)
    return [
        {
            **owned,
            _GROUPS: _distinct(group.name for group in members.get(user.user_id, ())),
            **credentials,
        }
        for user, owned, credentials in zip(
            page,
            await further_owned(page, directory),
            await further_credentials(page, directory),
            strict=True,
        )
    ]


async def _write(
    work: AccountWork, user: User, before: Members, after: Members
) -> None:
    await write_owned(work, user, before, after)
    change, account, wanted = work.change, user.account, after.get(_GROUPS, ())
    for name in set(before.get(_GROUPS, ())) - set(wanted):
        group = await require_group(change, account, name)
        await remove_member(change, account, group.group_id, user.user_id)
    for name in wanted:
        with at_place(f"{_GROUPS}.{name}"):
            group = await require_group(change, account, name)
            await add_user(change, work.account, group, user)
    await write_credentials(work, user, before, after)


def _keep(before: Members, after: Members) -> tuple[Members, tuple[str, ...]]:
    """Keep memberships, keys and certificates unless ``--prune`` is given."""
    kept, named = keep_owned(before, after)
    kept, held = keep_credentials(before, kept)
    values = set(map(fold_name, after[_GROUPS]))
    others = [name for name in before[_GROUPS] if fold_name(name) not in values]
    groups = tuple(sorted({*after[_GROUPS], *others}))
    parts = tuple(f"membership in {name}" for name in others)
    return {**kept, _GROUPS: groups}, (*named, *held, *parts)


def _adopt(before: Members, after: Members) -> Members:
    """Names of groups and of inline policies have no case."""
    present = as_present(before[_GROUPS])
    groups = tuple(sorted({present(name) for name in after[_GROUPS]}))
    return {**adopt_names(before, after), _GROUPS: groups}


def _require_calls(
    before: Members | None, after: Members
) -> tuple[Members, tuple[str, ...]]:
    """A password is set by an API call."""
    settled, no_password = complete_credentials(before or {}, after)
    if not no_password:
        return settled, ()
    return settled, (f"password of user {after['UserName']}: call CreateLoginProfile",)


async def _clear(work: AccountWork, there: Described) -> None:
    user: User = there.found
    await clear_owned(work, there)
    for name in there.properties[_GROUPS]:
        group = await require_group(work.change, user.account, name)
        await remove_member(work.change, user.account, group.group_id, user.user_id)
    await clear_credentials(work, user)
    await users.USERS.check_removal(user, work.change)


USERS = Section(
    section="Users",
    of=users.USERS,
    name="UserName",
    reads={
        "UserName": short_name,
        "Path": Properties.path,
        **BOUNDED,
        _GROUPS: lambda properties, name: _distinct(properties.texts(name)),
        **CREDENTIALS,
    },
    renamed={"UserName": "NewUserName", "Path": "NewPath"},
    further=_further,
    shows={POLICIES: show_policies, **SHOWN_CREDENTIALS},
    finish=finish_bounded,
    write=_write,
    clear=_clear,
    adopt=_adopt,
    keep=_keep,
    require_calls=_require_calls,
)


async def _clear_group(work: AccountWork, there: Described) -> None:
    await clear_owned(work, there)
    await groups.GROUPS.check_removal(there.found, work.change)


GROUPS = Section(
    section="Groups",
    of=groups.GROUPS,
    name="GroupName",
    reads={
        "GroupName": Properties.name,
        "Path": Properties.path,
        ATTACHED: read_attached,
        POLICIES: read_policies,
    },
    renamed={"GroupName": "NewGroupName", "Path": "NewPath"},
    further=further_owned,
    shows={POLICIES: show_policies},
    write=write_owned,
    clear=_clear_group,
    adopt=adopt_names,
    keep=keep_owned,
)
