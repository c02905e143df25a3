"""Claims as the values of condition keys.

A condition compares texts: a text counts as it is, a Boolean as ``true`` or ``false``,
a number in digits, a list of texts as several values; ``null`` and an empty list are
no value. What has another form or is too large refuses the token: were the key left
out, a ``Deny`` on it would not bite.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from broker.protocols.oidc.aws_claims import CHARACTERS_MAX, VALUES_MAX
from broker.protocols.oidc.rejection import OidcReason, OidcRejected


def read_values(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The values of a claim; none when the token does not have it.

    A name with slashes is that of a claim first (``oidc.circleci.com/project-id``),
    and else the way through objects (``google/organization_number``).

    Raises:
        OidcRejected: BAD_CLAIM.
    """
    value = claims.get(name)
    if type(value) is str and len(value) <= CHARACTERS_MAX:
        return (value,)  # what most claims are
    if name not in claims:
        value = _descend(claims, name)
    members = value if isinstance(value, list) else [] if value is None else [value]
    if len(members) > VALUES_MAX:
        raise _bad(name, f"has {len(members)} values, {VALUES_MAX} are read")
    if isinstance(value, list) and not all(isinstance(m, str) for m in members):
        raise _bad(name, "is a list of something else than texts")
    return tuple(_text(member, name) for member in members)


def _descend(claims: Mapping[str, Any], name: str) -> object:
    value: object = claims
    for step in name.split("/"):
        if not isinstance(value, dict):  # as JSON has it
            return None
        value = value.get(step)
    return value


def _text(value: object, name: str) -> str:
    match value:
        case str():
            text = value
        case bool():
            text = "true" if value else "false"
        case int():
            text = str(value)
        case float() if isfinite(value):
            text = str(int(value)) if value.is_integer() else str(value)
        case _:
            raise _bad(name, "is not text, Boolean, number or list of texts")
    if len(text) > CHARACTERS_MAX:
        raise _bad(name, f"has {len(text)} characters, {CHARACTERS_MAX} are read")
    return text


def _bad(name: str, what: str) -> OidcRejected:
    return OidcRejected(
        OidcReason.BAD_CLAIM, f"bad claim: {name}", f"the claim {name} {what}"
    )
