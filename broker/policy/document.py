"""A policy as parsed: typed, frozen, and exactly what the text says."""

import json
from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

VERSION_2008 = "2008-10-17"
VERSION_2012 = "2012-10-17"


class PolicyKind(StrEnum):
    """Where a policy stands; the grammar differs a little from kind to kind."""

    IDENTITY = "identity"
    SESSION = "session"
    TRUST = "trust"
    RESOURCE = "resource"
    BOUNDARY = "boundary"
    CONTROL = "control"

    @property
    def is_about_principals(self) -> bool:
        """Whether statements name principals."""
        return self in {PolicyKind.TRUST, PolicyKind.RESOURCE}


class Effect(StrEnum):
    """What a statement does when it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class Principals(Struct, frozen=True):
    """The content of ``Principal`` or ``NotPrincipal``.

    ``anyone`` is the bare ``"*"``; the tuples hold the values in writing order.
    """

    anyone: bool = False
    aws: tuple[str, ...] = ()
    federated: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    canonical_user: tuple[str, ...] = ()


class Condition(Struct, frozen=True):
    """One operator applied to one key; ``operator`` and ``key`` as written."""

    operator: str
    key: str
    values: tuple[str, ...]


class Statement(Struct, frozen=True, kw_only=True):
    """One statement; ``index`` counts from 0.

    ``actions`` and ``resources`` belong to the ``Not…`` element when the flag is
    set. ``resources`` is None when the element is absent (trust policies).
    """

    index: int
    effect: Effect
    actions: tuple[str, ...]
    sid: str | None = None
    not_action: bool = False
    resources: tuple[str, ...] | None = None
    not_resource: bool = False
    principals: Principals | None = None
    not_principal: bool = False
    conditions: tuple[Condition, ...] = ()

    @property
    def place(self) -> str:
        """The statement as messages name it, counting from 1."""
        if self.sid:
            return f'Statement {self.index + 1} ("{self.sid}")'
        return f"Statement {self.index + 1}"


class PolicyDocument(Struct, frozen=True, kw_only=True):
    """A policy that satisfies the grammar of its kind."""

    kind: PolicyKind
    version: str
    statements: tuple[Statement, ...]
    id: str | None = None

    @property
    def has_variables(self) -> bool:
        """Whether ``${…}`` means something; it does not before 2012-10-17."""
        return self.version == VERSION_2012


def print_policy(document: PolicyDocument) -> str:
    """The document as JSON; parsing it again gives an equal document."""
    printed: dict[str, object] = {"Version": document.version}
    if document.id is not None:
        printed["Id"] = document.id
    printed["Statement"] = [dict(_elements(s)) for s in document.statements]
    return json.dumps(printed, ensure_ascii=False)


def policy_size(text: str) -> int:
    """The size that quotas count: characters without white space.

    Source: IAM quotas, "IAM doesn't count white space".
    """
    return len("".join(text.split()))


def _elements(statement: Statement) -> Iterator[tuple[str, object]]:
    if statement.sid is not None:
        yield "Sid", statement.sid
    yield "Effect", statement.effect.value
    if statement.principals is not None:
        name = "NotPrincipal" if statement.not_principal else "Principal"
        yield name, _principals(statement.principals)
    yield "NotAction" if statement.not_action else "Action", list(statement.actions)
    if statement.resources is not None:
        name = "NotResource" if statement.not_resource else "Resource"
        yield name, list(statement.resources)
    if statement.conditions:
        block: dict[str, dict[str, list[str]]] = {}
        for condition in statement.conditions:
            values = list(condition.values)
            block.setdefault(condition.operator, {})[condition.key] = values
        yield "Condition", block


def _principals(principals: Principals) -> object:
    if principals.anyone:
        return "*"
    named = {
        "AWS": principals.aws,
        "Federated": principals.federated,
        "Service": principals.service,
        "CanonicalUser": principals.canonical_user,
    }
    return {name: list(values) for name, values in named.items() if values}
