"""The password policy's members as form fields and as sentences."""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.console.visit import Visit
from broker.errors import ValidationError
from broker.identities.password_policy import DEFAULT_LENGTH

_DIGITS_MAX = 4


@dataclass(frozen=True, slots=True)
class Rule:
    """One member of the policy; a number may be left empty, except for the length."""

    member: str
    label: str
    flag: bool = False
    least: int = 0
    most: int = 0


RULES = (
    Rule("MinimumPasswordLength", "At least this many characters", least=6, most=128),
    Rule("RequireUppercaseCharacters", "At least one uppercase letter", flag=True),
    Rule("RequireLowercaseCharacters", "At least one lowercase letter", flag=True),
    Rule("RequireNumbers", "At least one number", flag=True),
    Rule("RequireSymbols", "At least one symbol", flag=True),
    Rule("MaxPasswordAge", "Passwords expire after this many days", least=1, most=1095),
    Rule("HardExpiry", "Only an administrator can reset expired ones", flag=True),
    Rule("PasswordReusePrevention", "Previous passwords to refuse", least=1, most=24),
    Rule("AllowUsersToChangePassword", "Users may change their own", flag=True),
)


def read_policy(visit: Visit) -> dict[str, int | bool]:
    """Read the policy's members from a form.

    Raises:
        ValidationError: A numeric field does not hold a number.
    """
    given: dict[str, int | bool] = {}
    for rule in RULES:
        text = visit.text(rule.member)
        if rule.flag:
            given[rule.member] = bool(text)
        elif text:
            if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX:
                raise ValidationError(f"{rule.label}: enter a number.")
            given[rule.member] = int(text)
    return given


def policy_sentences(policy: Mapping[str, int | bool] | None) -> list[str]:
    """A policy's rules as sentences; AWS's default policy for None."""
    if policy is None:
        return [
            f"At least {DEFAULT_LENGTH} characters.",
            "At least three of: uppercase letters, lowercase letters, numbers, symbols.",
            "Not the name of the account or the user.",
            "Passwords never expire.",
        ]
    required = [
        noun
        for member, noun in (
            ("RequireUppercaseCharacters", "an uppercase letter"),
            ("RequireLowercaseCharacters", "a lowercase letter"),
            ("RequireNumbers", "a number"),
            ("RequireSymbols", "a symbol"),
        )
        if policy.get(member)
    ]
    sentences = [f"At least {policy['MinimumPasswordLength']} characters."]
    if required:
        sentences.append(f"With {_listed(required)}.")
    age = policy.get("MaxPasswordAge")
    if age:
        sentences.append(f"Passwords expire after {age} days.")
        sentences.append(
            "An administrator must reset an expired password."
            if policy.get("HardExpiry")
            else "Users with an expired password choose a new one at sign-in."
        )
    else:
        sentences.append("Passwords never expire.")
    reuse = policy.get("PasswordReusePrevention")
    if reuse:
        sentences.append(f"The last {reuse} passwords cannot be used again.")
    sentences.append(
        "Users may change their own passwords."
        if policy.get("AllowUsersToChangePassword")
        else "Users may change their own passwords if a policy allows it."
    )
    return sentences


def _listed(nouns: list[str]) -> str:
    *first, last = nouns
    return f"{', '.join(first)} and {last}" if first else last
