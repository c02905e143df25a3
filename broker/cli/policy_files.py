"""Files with policies: what kind each is, read within bounds."""

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

import typer
from msgspec import Struct

from broker.policy import PolicyKind
from broker.policy.errors import PolicyRejected
from broker.policy.strict_json import STORED_CHARACTERS_MAX, Json, parse_json

_TRUST_ACTIONS = (
    *("sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity"),
    *("sts:setsourceidentity", "sts:tagsession"),
)


class TextType(StrEnum):
    """The kinds of policies, as the command line has them."""

    AUTO = "auto"
    IDENTITY = "identity"
    RESOURCE = "resource"
    TRUST = "trust"
    CONTROL = "control"


_KINDS: Mapping[TextType, PolicyKind] = {
    TextType.IDENTITY: PolicyKind.IDENTITY,
    TextType.RESOURCE: PolicyKind.RESOURCE,
    TextType.TRUST: PolicyKind.TRUST,
    TextType.CONTROL: PolicyKind.CONTROL,
}


class TextFile(Struct, frozen=True):
    """A text and where it is from; ``-`` is standard input."""

    name: str
    text: str


def read_policy_file(name: str) -> TextFile:
    """The text of a file.

    Raises:
        typer.BadParameter: It cannot be read, or is too long for a policy.
    """
    try:
        if name == "-":
            text = sys.stdin.read(STORED_CHARACTERS_MAX + 1)
        else:
            with Path(name).open(encoding="utf-8") as stream:
                text = stream.read(STORED_CHARACTERS_MAX + 1)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise typer.BadParameter(f"{name}: {error}") from error
    if len(text) > STORED_CHARACTERS_MAX:
        raise typer.BadParameter(
            f"{name}: a policy has at most {STORED_CHARACTERS_MAX:,} characters."
        )
    return TextFile(name, text)


def get_kind(policy_type: TextType, texts: Iterable[str]) -> PolicyKind:
    """The kind that was named, or else what the texts look like.

    Who names principals is a resource's policy, or a role's if all its actions are those
    of a trust policy.
    """
    if policy_type is not TextType.AUTO:
        return _KINDS[policy_type]
    named = trust = False
    others = False
    for text in texts:
        for statement in _statements(text):
            if not statement.keys() & {"Principal", "NotPrincipal"}:
                continue
            named = True
            actions = statement.get("Action")
            listed = actions if isinstance(actions, list) else [actions]
            is_trust = "Resource" not in statement and all(
                isinstance(action, str) and action.lower() in _TRUST_ACTIONS
                for action in listed
            )
            trust |= is_trust
            others |= not is_trust
    if not named:
        return PolicyKind.IDENTITY
    return PolicyKind.TRUST if trust and not others else PolicyKind.RESOURCE


def _statements(text: str) -> Iterable[Mapping[str, Json]]:
    try:
        value = parse_json(text, STORED_CHARACTERS_MAX)
    except PolicyRejected:
        return
    statements = value.get("Statement") if isinstance(value, dict) else None
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, dict):
            yield statement
