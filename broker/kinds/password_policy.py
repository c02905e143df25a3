"""Password rules: the account's password policy, or AWS's default.

Source: IAM User Guide, "Setting an account password policy for IAM users".
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from broker.errors import NoSuchEntity, PasswordPolicyViolation
from broker.model.account import Account
from broker.model.entities import LoginProfile
from broker.model.names import fold_name

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
