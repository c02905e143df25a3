"""The root's password: for emergencies, off unless the operator switches it on.

It is stored like users' passwords, under the account's number, and works only while the
root has a second factor. The account's password policy is for users; the root's
password has its own rules.
"""

from datetime import datetime

from broker.errors import (
    NoSuchEntity,
    PasswordPolicyViolation,
)
from broker.kinds.login_profiles import NO_ACCOUNT, list_factors
from broker.kinds.password_policy import LONGEST
from broker.kinds.passwords import Hashes, Passwords
from broker.model.account import Account, AccountId
from broker.model.entities import LoginProfile
from broker.stores.directory.kinds import (
    LOGIN_PROFILE,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader

LEAST = 16
"""Characters; seldom typed, so it may be long."""


async def prepare_root_password(
    passwords: Passwords, account: AccountId, password: str
) -> bytes:
    """Hash and seal a password, outside any transaction.

    Raises:
        PasswordPolicyViolation: it is too short or too long.
    """
    if not LEAST <= len(password) <= LONGEST:
        raise PasswordPolicyViolation(
            f"The root's password should have {LEAST} to {LONGEST} characters."
        )
    return passwords.seal(account, account, Hashes(await passwords.hash(password)))


async def set_root_password(
    change: DirectoryChange, account: AccountId, sealed: bytes, *, now: datetime
) -> None:
    """Enable the root's sign-in with this password; earlier sign-ins end."""
    await end_root_sign_in(change, account)
    await change.insert(
        LOGIN_PROFILE,
        LoginProfile(
            account=account,
            user_id=account,
            sealed=sealed,
            created_at=now,
            changed_at=now,
        ),
    )


async def end_root_sign_in(change: DirectoryChange, account: AccountId) -> bool:
    """Disable it and end the root's console sessions; whether it was enabled."""
    profile = await change.find(LOGIN_PROFILE, account, account)
    if profile is None:
        return False
    await change.remove(LOGIN_PROFILE, profile)
    return True


async def require_root_password(
    directory: DirectoryReader, account: AccountId
) -> LoginProfile:
    """The root's login profile; the account's number stands for its user name.

    Raises:
        NoSuchEntity: the root has no password.
    """
    profile = await directory.find(LOGIN_PROFILE, account, account)
    if profile is None:
        raise NoSuchEntity(f"Login Profile for User {account} cannot be found.")
    return profile


async def verify_root_password(
    passwords: Passwords,
    directory: DirectoryReader,
    account: Account | None,
    password: str,
) -> LoginProfile | None:
    """The root's login profile that a password proves.

    None for any other reason, at the same cost: it is off, or has no second factor.

    Raises:
        Throttling: too many passwords are being verified already.
    """
    number = account.account_id if account else NO_ACCOUNT
    profile = await directory.find(LOGIN_PROFILE, number, number)
    factors = await list_factors(directory, number, number)
    hashed = passwords.open(profile).current if profile else None
    right = await passwords.matches(hashed, password)
    return profile if right and factors else None
