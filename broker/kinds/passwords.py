"""Password hashes: argon2id in a small thread pool, sealed before they are stored.

The queue is bounded, so that a flood of guesses is refused rather than filling memory.
The plain password is never stored or shown.

Password rules: the account's password policy, or AWS's default.

Source: IAM User Guide, "Setting an account password policy for IAM users".
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from broker.errors import NoSuchEntity, PasswordPolicyViolation, Throttling
from broker.model.account import Account, AccountId
from broker.model.entities import PASSWORD_SEAL, LoginProfile
from broker.model.names import fold_name
from broker.model.sealing import SealerOpener
from broker.runtime.entropy import random_bytes

Result = TypeVar("Result")

_THREADS = 2
_WAITING_MAX = 512
"""About 15 seconds of work: a whole company may sign in at nine o'clock.

A queued entry takes a few kilobytes; only a running hash takes 46 MiB.
"""

# OWASP, "Password Storage Cheat Sheet": argon2id with 46 MiB, one pass, one lane.
_HASHER = PasswordHasher(
    time_cost=1, memory_cost=47_104, parallelism=1, hash_len=32, type=Type.ID
)
REMEMBERED_MAX = 24
"""Former passwords that a policy can forbid. Source: the model's maximum."""


class Hashes(Struct, frozen=True):
    """The hash in force, and those of earlier passwords, newest first."""

    current: str
    former: tuple[str, ...] = ()

    def followed_by(self, new: str) -> "Hashes":
        """With a new hash in force."""
        return Hashes(new, (self.current, *self.former)[: REMEMBERED_MAX - 1])


class Passwords:
    """Hashes and verifies passwords of one worker."""

    def __init__(self, sealer: SealerOpener) -> None:
        self._sealer = sealer
        self._pool = ThreadPoolExecutor(_THREADS, "argon2")
        self._waiting = 0
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password.

        Raises:
            Throttling: too many passwords are being hashed already.
        """
        return await self._run(lambda: _HASHER.hash(password))

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether a password has this hash; for None it takes as long and is False.

        Raises:
            Throttling: too many passwords are being hashed already.
        """
        if hashed is None:
            if self._dummy is None:
                self._dummy = await self.hash(random_bytes(16).hex())
            await self._run(lambda: _verify(self._dummy or "", password))
            return False
        return await self._run(lambda: _verify(hashed, password))

    async def matches_any(self, hashes: tuple[str, ...], password: str) -> bool:
        """Whether a password has one of these hashes."""
        for hashed in hashes:
            if await self.matches(hashed, password):
                return True
        return False

    def seal(self, account: AccountId, user_id: str, hashes: Hashes) -> bytes:
        """The hashes as they are kept."""
        purpose, column = PASSWORD_SEAL
        text = json.dumps([hashes.current, *hashes.former])
        return self._sealer.seal(purpose, account, user_id, column, text.encode())

    def open(self, profile: LoginProfile) -> Hashes:
        """The hashes that a login profile keeps."""
        purpose, column = PASSWORD_SEAL
        text = self._sealer.open_sealed(
            purpose, profile.account, profile.user_id, column, profile.sealed
        )
        current, *former = json.loads(text)
        return Hashes(current, tuple(former))

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= _WAITING_MAX:
            raise Throttling(detail="too many passwords are being hashed")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


PasswordPolicy = Mapping[str, int | bool]

LONGEST = 128
DEFAULT_LENGTH = 8
LEAST_LENGTH = 6
"""The minimum of a policy without ``MinimumPasswordLength``."""

_DEFAULT_CLASSES = 3
_SYMBOLS: Final = frozenset("!@#$%^&*()_+-=[]{}|'")


FLAGS = (
    "RequireSymbols",
    "RequireNumbers",
    "RequireUppercaseCharacters",
    "RequireLowercaseCharacters",
    "AllowUsersToChangePassword",
)


def complete_policy(password_policy: PasswordPolicy) -> PasswordPolicy:
    """A policy as stored: omitted members have their defaults."""
    policy: dict[str, int | bool] = {
        "MinimumPasswordLength": password_policy.get(
            "MinimumPasswordLength", LEAST_LENGTH
        ),
        **{flag: bool(password_policy.get(flag, False)) for flag in FLAGS},
    }
    for member in ("MaxPasswordAge", "PasswordReusePrevention", "HardExpiry"):
        if member in password_policy:
            policy[member] = password_policy[member]
    return policy


def require_policy(account: Account) -> PasswordPolicy:
    """The account's own password policy.

    Raises:
        NoSuchEntity: it has none.
    """
    if account.password_policy is None:
        raise NoSuchEntity(
            f"The Password Policy with domain name {account.account_id} cannot be found."
        )
    return account.password_policy


def users_may_change(account: Account) -> bool:
    """Whether users may change their own passwords without any other permission."""
    return bool((account.password_policy or {}).get("AllowUsersToChangePassword"))


def reuse_prevention(account: Account) -> int:
    """How many of a user's last passwords may not be reused."""
    return int((account.password_policy or {}).get("PasswordReusePrevention", 0))


def expires_at(account: Account, profile: LoginProfile) -> datetime | None:
    """When a password has to be changed; None for never."""
    days = int((account.password_policy or {}).get("MaxPasswordAge", 0))
    return profile.changed_at + timedelta(days=days) if days else None


def is_hard_expiry(account: Account) -> bool:
    """Whether only an administrator can replace a password that has expired."""
    return bool((account.password_policy or {}).get("HardExpiry"))


def requirements(account: Account) -> tuple[str, ...]:
    """The rules for a new password, one line each, for people."""
    policy = account.password_policy
    if policy is None:
        return (
            f"At least {DEFAULT_LENGTH} characters, at most {LONGEST}",
            "At least three of uppercase letters, lowercase letters, numbers and symbols",
            "Not the name of the account or user",
        )
    least = int(policy.get("MinimumPasswordLength", LEAST_LENGTH))
    lines = [f"At least {least} characters, at most {LONGEST}"]
    lines += [
        f"At least one {noun}" for member, noun, _ in _CLASSES if policy.get(member)
    ]
    forbidden = reuse_prevention(account)
    if forbidden:
        lines.append(f"None of your last {forbidden} passwords")
    return tuple(lines)


def check_password(account: Account, user_name: str, password: str) -> None:
    """Check a new password against the policy.

    Raises:
        PasswordPolicyViolation: naming all that is missing, never the password.
    """
    policy = account.password_policy
    missing = (
        _default_missing(password) if policy is None else _missing(policy, password)
    )
    if len(password) > LONGEST:
        missing.append(f"a maximum length of {LONGEST}")
    texts = []
    if missing:
        *most, last = missing
        listed = f"{', '.join(most)} and {last}" if most else last
        texts.append(f"Password should have {listed}")
    names = (user_name, account.alias or account.account_id)
    own_names = set(map(fold_name, names))
    if policy is None and fold_name(password) in own_names:
        texts.append("Password should not be the name of the account or user")
    if texts:
        raise PasswordPolicyViolation(". ".join(texts))


def _missing(policy: PasswordPolicy, password: str) -> list[str]:
    least = int(policy.get("MinimumPasswordLength", LEAST_LENGTH))
    results = []
    if len(password) < least:
        results.append(f"a minimum length of {least}")
    for member, noun, has in _CLASSES:
        if policy.get(member) and not has(password):
            results.append(f"at least one {noun}")
    return results


def _default_missing(password: str) -> list[str]:
    results = []
    if len(password) < DEFAULT_LENGTH:
        results.append(f"a minimum length of {DEFAULT_LENGTH}")
    classes = sum(
        has(password) for has in (_has_upper, _has_lower, _has_digit, _has_symbol)
    )
    if classes < _DEFAULT_CLASSES:
        results.append(
            "at least three of uppercase letters, lowercase letters, numbers and symbols"
        )
    return results


def _has_upper(text: str) -> bool:
    return any("A" <= char <= "Z" for char in text)


def _has_lower(text: str) -> bool:
    return any("a" <= char <= "z" for char in text)


def _has_digit(text: str) -> bool:
    return any("0" <= char <= "9" for char in text)


def _has_symbol(text: str) -> bool:
    return any(char in _SYMBOLS for char in text)


_CLASSES: Final = (
    ("RequireUppercaseCharacters", "uppercase letter", _has_upper),
    ("RequireLowercaseCharacters", "lowercase letter", _has_lower),
    ("RequireNumbers", "number", _has_digit),
    ("RequireSymbols", "symbol", _has_symbol),
)


GENERATED_LENGTH = 20
_CHARACTERS = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ",
    "abcdefghijkmnopqrstuvwxyz",
    "23456789",
    "!@#$%^*()_+-=[]{}",
)
"""Of a generated password: without letters and digits that look alike."""


def new_password(least: int = GENERATED_LENGTH) -> str:
    """Generate a password with every character class that a policy can require.

    It has at least ``GENERATED_LENGTH`` characters, which is 113 bits of entropy or more.
    """
    length = max(least, GENERATED_LENGTH)
    alphabet = "".join(_CHARACTERS)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(length))
        if all(any(char in kind for char in password) for kind in _CHARACTERS):
            return password
