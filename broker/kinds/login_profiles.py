"""Login profiles: users' passwords, how they are set, changed and verified.

Hashing takes tens of milliseconds, so it never runs inside a transaction: a password
is *prepared* first and then written, provided that nothing changed in between.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import (
    AccessDenied,
    ConcurrentModification,
    EntityAlreadyExists,
    NoSuchEntity,
    PasswordPolicyViolation,
)
from broker.kinds.password_policy import (
    check_password,
    expires_at,
    is_hard_expiry,
    reuse_prevention,
)
from broker.kinds.passwords import Hashes, Passwords
from broker.kinds.sign_in_links import end_link, issue_link, linked_users
from broker.kinds.users import missing_user
from broker.model.account import Account, AccountId
from broker.model.entities import LoginProfile, User
from broker.model.secret import Confidential, Hidden, Secret
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import (
    ACCOUNT,
    LOGIN_PROFILE,
    MFA_DEVICE,
    PASSKEY,
    USER,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader

NO_ACCOUNT = AccountId("000000000000")
"""Stands in for a missing account, so that timing does not reveal it."""

_NO_USER = "AIDA"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PasswordState(Enum):
    """What a right password is good for."""

    GOOD = "good"
    MUST_CHANGE = "must change"
    """The administrator requires a new one, or it has expired."""

    HARD_EXPIRED = "hard expired"
    """Only an administrator can set a new one."""


class VerifiedPassword(Struct, frozen=True):
    """Whose password it was, and the login profile that it is in."""

    user: User
    state: PasswordState
    profile: LoginProfile


class PreparedPassword(Confidential, frozen=True):
    """A new password, hashed and sealed, and the profile it was prepared for."""

    user: User
    before: LoginProfile | None
    sealed: Hidden[bytes]


async def verify_password(
    passwords: Passwords,
    directory: DirectoryReader,
    account: Account | None,
    user_name: str,
    password: str,
    *,
    now: datetime,
) -> VerifiedPassword | None:
    """The user that a password proves; None for any other reason at the same cost.

    Raises:
        Throttling: too many passwords are being verified already.
    """
    # Look up missing users as well, so that timing does not reveal them.
    number = account.account_id if account else NO_ACCOUNT
    user = await directory.named(USER, number, user_name)
    profile = await directory.find(
        LOGIN_PROFILE, number, user.user_id if user else _NO_USER
    )
    hashed = passwords.open(profile).current if profile else None
    right = await passwords.matches(hashed, password)
    if not right or user is None or profile is None or account is None:
        return None
    return VerifiedPassword(user, password_state(account, profile, now=now), profile)


def password_mark(profile: LoginProfile) -> int:
    """Which of a user's passwords it is: when it was set, microseconds since 1970."""
    return (profile.changed_at - _EPOCH) // timedelta(microseconds=1)


def password_state(
    account: Account, profile: LoginProfile, *, now: datetime
) -> PasswordState:
    """Whether a password is to be changed before anything else."""
    expiry = expires_at(account, profile)
    if expiry is not None and now >= expiry:
        if is_hard_expiry(account):
            return PasswordState.HARD_EXPIRED
        return PasswordState.MUST_CHANGE
    if profile.reset_required:
        return PasswordState.MUST_CHANGE
    return PasswordState.GOOD


async def require_login_profile(directory: DirectoryReader, user: User) -> LoginProfile:
    """A user's login profile.

    Raises:
        NoSuchEntity: the user has no password.
    """
    profile = await directory.find(LOGIN_PROFILE, user.account, user.user_id)
    if profile is None:
        raise NoSuchEntity(f"Login Profile for User {user.name} cannot be found.")
    return profile


async def prepare_password(
    passwords: Passwords,
    directory: DirectoryReader,
    account: Account,
    user: User,
    password: str,
) -> PreparedPassword:
    """Check a new password against the account's policy and hash it.

    Raises:
        PasswordPolicyViolation: the policy refuses it.
        Throttling: too many passwords are being hashed already.
    """
    check_password(account, user.name, password)
    before = await directory.find(LOGIN_PROFILE, user.account, user.user_id)
    if before is None:
        hashes = Hashes(await passwords.hash(password))
    else:
        known = passwords.open(before)
        forbidden = (known.current, *known.former)[: reuse_prevention(account)]
        if await passwords.matches_any(forbidden, password):
            raise PasswordPolicyViolation(
                "Password should not be one of the last"
                f" {reuse_prevention(account)} passwords"
            )
        hashes = known.followed_by(await passwords.hash(password))
    return PreparedPassword(
        user, before, passwords.seal(user.account, user.user_id, hashes)
    )


async def prepare_own_password(  # both passwords and whose they are
    passwords: Passwords,
    directory: DirectoryReader,
    account: Account,
    user: User,
    *,
    old: str,
    new: str,
    now: datetime,
) -> PreparedPassword:
    """Likewise for a user who knows the old password.

    Raises:
        NoSuchEntity: the user has no password.
        AccessDenied: the old password is wrong, or has expired for good.
        PasswordPolicyViolation, Throttling: see ``prepare_password``.
    """
    profile = await require_login_profile(directory, user)
    if not await passwords.matches(passwords.open(profile).current, old):
        raise AccessDenied("The old password was incorrect.")
    if password_state(account, profile, now=now) is PasswordState.HARD_EXPIRED:
        raise AccessDenied(
            "The password has expired. Only an administrator can set a new one."
        )
    return await prepare_password(passwords, directory, account, user, new)


async def create_login_profile(
    change: DirectoryChange,
    prepared: PreparedPassword,
    *,
    reset_required: bool,
    now: datetime,
) -> LoginProfile:
    """Give a user a first password, which ends their sign-in link for good.

    Raises:
        NoSuchEntity: the user was deleted while the password was hashed.
        EntityAlreadyExists: the user has one.
    """
    user = await change.find(USER, prepared.user.account, prepared.user.user_id)
    if user is None:
        raise missing_user(prepared.user.name)
    if await change.find(LOGIN_PROFILE, user.account, user.user_id) is not None:
        raise EntityAlreadyExists(f"Login Profile for user {user.name} already exists.")
    profile = LoginProfile(
        account=user.account,
        user_id=user.user_id,
        sealed=prepared.sealed,
        created_at=now,
        changed_at=now,
        reset_required=reset_required,
    )
    await change.insert(LOGIN_PROFILE, profile)
    account = await change.find(ACCOUNT, user.account)
    if account is not None and user.user_id in linked_users(account):
        await update_account(change, end_link(account, user.user_id, now=now))
    return profile


async def replace_password(
    change: DirectoryChange,
    prepared: PreparedPassword,
    *,
    reset_required: bool,
    now: datetime,
) -> None:
    """Put a prepared password in force.

    Raises:
        NoSuchEntity: the user has no password any more.
        ConcurrentModification: it was changed meanwhile.
    """
    profile = await require_login_profile(change, prepared.user)
    if prepared.before is None or profile.sealed != prepared.before.sealed:
        raise ConcurrentModification(
            "The password was changed by another request. Try again."
        )
    await change.update(
        LOGIN_PROFILE,
        replace(
            profile,
            sealed=prepared.sealed,
            changed_at=now,
            reset_required=reset_required,
        ),
    )


async def replace_with_link(
    change: DirectoryChange, account: Account, user_name: str, *, now: datetime
) -> tuple[User, Secret]:
    """End a user's password, and all that began with it; the token of a sign-in link.

    Raises:
        NoSuchEntity: there is no such user, or they never had a password nor a link.
    """
    number = account.account_id
    user = await change.named(USER, number, user_name)
    if user is None:
        raise missing_user(user_name)
    profile = await change.find(LOGIN_PROFILE, number, user.user_id)
    if profile is not None:
        await change.remove(LOGIN_PROFILE, profile)
    elif user.user_id not in linked_users(account):
        raise NoSuchEntity(f"Login Profile for User {user.name} cannot be found.")
    account, token = issue_link(account, user, now=now)
    await update_account(change, account)
    return user, token


async def list_factors(
    directory: DirectoryReader, account: AccountId, holder: str
) -> tuple[str, ...]:
    """The serial numbers of all of them; ``holder`` is the account's number for root.

    A user who has one must use it to sign in.
    """
    devices = await directory.all_of(MFA_DEVICE, account, user_id=holder)
    passkeys = await directory.all_of(PASSKEY, account, user_id=holder)
    return (
        *(device.serial for device in devices),
        *(passkey.serial for passkey in passkeys),
    )
