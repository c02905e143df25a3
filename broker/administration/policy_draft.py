"""A policy as form fields, and its conversion from and to JSON.

A draft may be incomplete or wrong; `policy_check` checks it. A statement that the form
cannot express is kept as JSON, and so is a collapsed one, so nothing is lost.
"""

import json
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from broker.policy import PolicyKind, PolicyRejected, RejectionReason
from broker.policy.strict_json import Json, NumberText, parse_json

VERSION = "2012-10-17"
ANYONE = "*"
PRINCIPAL_TYPES = ("AWS", "Federated", "Service")
OPEN_MAX = 4
"""Statements that are open at a time, to keep the page short."""

STATEMENTS_MAX = 200
"""More than fit into any policy that IAM stores."""

ROWS_MAX = 60
"""Conditions or principals of a statement in the form."""

_TOP = frozenset({"Version", "Id", "Statement"})
_SPACE, _DELETE = " ", "\x7f"


class ConditionRow(Struct, frozen=True):
    """One operator applied to one key."""

    operator: str = ""
    key: str = ""
    values: tuple[str, ...] = ()


class PrincipalRow(Struct, frozen=True):
    """Principals of one type; `ANYONE` has no values."""

    kind: str = ""
    values: tuple[str, ...] = ()


class DraftFields(Struct, frozen=True, kw_only=True):
    """A statement's form fields."""

    sid: str = ""
    effect: str = "Allow"
    not_action: bool = False
    actions: tuple[str, ...] = ()
    not_resource: bool = False
    resources: tuple[str, ...] | None = None
    principals: tuple[PrincipalRow, ...] | None = None
    conditions: tuple[ConditionRow, ...] = ()


class DraftStatement(Struct, frozen=True):
    """A statement: open with its fields, or collapsed as ``raw`` JSON.

    ``expressible`` says whether it can be opened.
    """

    fields: DraftFields | None
    raw: str = ""
    expressible: bool = True

    @property
    def is_open(self) -> bool:
        """Whether its fields are in the form."""
        return self.fields is not None

    def value(self) -> object:
        """The statement as a JSON value."""
        return json.loads(self.raw) if self.fields is None else _value(self.fields)

    def folded(self) -> "DraftStatement":
        """The same statement, collapsed."""
        return self if self.fields is None else fold(_value(self.fields))

    def shown(self) -> str:
        """The statement as formatted JSON."""
        return pretty(self.value())


class PolicyDraft(Struct, frozen=True, kw_only=True):
    """A policy; ``version`` and ``id`` are None where the text has none."""

    version: str | None = VERSION
    id: str | None = None
    statements: tuple[DraftStatement, ...] = ()

    def text(self) -> str:
        """The policy as formatted JSON."""
        return pretty(self.value())

    def value(self) -> dict[str, object]:
        """The policy as a JSON value."""
        printed: dict[str, object] = {}
        if self.version is not None:
            printed["Version"] = self.version
        if self.id is not None:
            printed["Id"] = self.id
        printed["Statement"] = [statement.value() for statement in self.statements]
        return printed

    def with_open(self, index: int, kind: PolicyKind) -> "PolicyDraft":
        """The draft with one more statement open, collapsing the first open ones."""
        opened = [n for n, statement in enumerate(self.statements) if statement.is_open]
        close = set(opened[: max(0, len(opened) + 1 - OPEN_MAX)]) - {index}
        return replace(
            self,
            statements=tuple(
                open_statement(statement, kind)
                if number == index
                else statement.folded()
                if number in close
                else statement
                for number, statement in enumerate(self.statements)
            ),
        )

    def with_statement(
        self, index: int, changed: DraftStatement | None
    ) -> "PolicyDraft":
        """The draft with one statement replaced, or removed if None."""
        kept = list(self.statements)
        kept[index : index + 1] = [] if changed is None else [changed]
        return replace(self, statements=tuple(kept))


def blank_statement(kind: PolicyKind) -> DraftFields:
    """The fields of a new statement."""
    if kind is PolicyKind.TRUST:
        return DraftFields(
            principals=(PrincipalRow("AWS"),), actions=("sts:AssumeRole",)
        )
    if kind is PolicyKind.RESOURCE:
        return DraftFields(principals=(PrincipalRow("AWS"),), resources=())
    return DraftFields(resources=())


def read_draft(text: str, kind: PolicyKind) -> PolicyDraft:
    """Parse a text into a draft, opening the first statements that can be.

    Raises:
        PolicyRejected: The text does not have a policy's outline, so no form can show it.
    """
    value = parse_json(text)
    if not isinstance(value, dict):
        raise _no_outline("it is not a JSON object")
    unknown = [name for name in value if name not in _TOP]
    if unknown:
        raise _no_outline("a policy has only Version, Id and Statement")
    listed = value.get("Statement", [])
    raw = listed if isinstance(listed, list) else [listed]
    if len(raw) > STATEMENTS_MAX:
        raise _no_outline(f"it has more than {STATEMENTS_MAX} statements")
    statements: list[DraftStatement] = []
    for word in raw:
        fields = find_fields(word, kind)
        opens = sum(s.is_open for s in statements) < OPEN_MAX
        statements.append(
            DraftStatement(fields)
            if fields is not None and opens
            else DraftStatement(None, compact(_plain(word)), fields is not None)
        )
    return PolicyDraft(
        version=_top_text(value, "Version"),
        id=_top_text(value, "Id"),
        statements=tuple(statements),
    )


def find_fields(value: Json, kind: PolicyKind) -> DraftFields | None:
    """Parse a statement into fields; None when the form cannot express it."""
    if not isinstance(value, dict):
        return None
    rest = dict(value)
    sid = rest.pop("Sid", "")
    effect = rest.pop("Effect", None)
    conditions = _condition_rows(rest.pop("Condition", {}))
    actions, not_action = _either(rest, "Action")
    resources: tuple[str, ...] | None = None
    not_resource = False
    principals: tuple[PrincipalRow, ...] | None = None
    if kind.is_about_principals:
        principals = _principal_rows(rest.pop("Principal", {"AWS": []}))
    if kind is not PolicyKind.TRUST:
        resources, not_resource = _either(rest, "Resource")
    if (
        rest
        or ("Sid" in value and not sid)
        or _line(sid) is None
        or effect not in {"Allow", "Deny"}
        or actions is None
        or conditions is None
        or (resources is None and kind is not PolicyKind.TRUST)
        or (principals is None and kind.is_about_principals)
    ):
        return None
    return DraftFields(
        sid=str(sid),
        effect=str(effect),
        not_action=not_action,
        actions=actions,
        not_resource=not_resource,
        resources=resources,
        principals=principals,
        conditions=conditions,
    )


def open_statement(statement: DraftStatement, kind: PolicyKind) -> DraftStatement:
    """Open a statement, if the form can express it."""
    if statement.fields is not None or not statement.expressible:
        return statement
    fields = find_fields(parse_json(statement.raw), kind)
    return statement if fields is None else DraftStatement(fields)


def fold(value: object) -> DraftStatement:
    """A collapsed statement from a JSON value."""
    return DraftStatement(None, compact(value))


def pretty(value: object) -> str:
    """Format as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=4)


def compact(value: object) -> str:
    """Format as ASCII JSON on one line, which a form field keeps unchanged."""
    return json.dumps(value, separators=(",", ":"))


def _no_outline(what: str) -> PolicyRejected:
    return PolicyRejected(
        RejectionReason.WRONG_TYPE,
        f"The form cannot show this text: {what}.",
        "The policy",
    )


def _top_text(value: Mapping[str, Json], name: str) -> str | None:
    if name not in value:
        return None
    text = value[name]
    if _line(text) is None or text == "":
        raise _no_outline(f"{name} must be a plain string")
    return str(text)


def _plain(value: Json, *, condition: bool = False) -> object:
    """Convert number texts back to numbers.

    In a condition a number stands for the string of its digits, so it stays a string.
    """
    if isinstance(value, dict):
        return {
            key: _plain(inner, condition=condition or key == "Condition")
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner, condition=condition) for inner in value]
    if isinstance(value, NumberText):
        return str(value) if condition else json.loads(value)
    return value


def _line(value: Json) -> str | None:
    """The value if it is a string that a form's line preserves; else None."""
    if not isinstance(value, str) or isinstance(value, NumberText):
        return None
    if value != value.strip() or value.startswith("\ufeff"):
        return None
    if any(c < _SPACE or c == _DELETE for c in value):
        return None
    return value


def _lines(value: Json) -> tuple[str, ...] | None:
    results: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        line = _line(item)
        if not line:
            return None
        results.append(line)
    return tuple(results)


def _either(rest: dict[str, Json], element: str) -> tuple[tuple[str, ...] | None, bool]:
    """The values of an element or its ``Not…`` form, and whether it is negated."""
    negated = f"Not{element}" in rest
    name = f"Not{element}" if negated else element
    if name not in rest:
        return (), False
    return _lines(rest.pop(name)), negated


def _condition_rows(block: Json) -> tuple[ConditionRow, ...] | None:
    if not isinstance(block, dict):
        return None
    rows: list[ConditionRow] = []
    for operator, keys in block.items():
        if not _line(operator) or not isinstance(keys, dict) or not keys:
            return None
        for key, value in keys.items():
            values = _condition_values(value)
            if not _line(key) or values is None:
                return None
            rows.append(ConditionRow(operator, key, values))
    return tuple(rows) if len(rows) <= ROWS_MAX else None


def _condition_values(value: Json) -> tuple[str, ...] | None:
    items = value if isinstance(value, list) else [value]
    words: list[Json] = [
        ("true" if item else "false")
        if isinstance(item, bool)
        else str(item)
        if isinstance(item, NumberText)
        else item
        for item in items
    ]
    return _lines(words)


def _principal_rows(value: Json) -> tuple[PrincipalRow, ...] | None:
    if value == ANYONE:
        return (PrincipalRow(ANYONE),)
    if not isinstance(value, dict) or not value:
        return None
    rows: list[PrincipalRow] = []
    for kind, named in value.items():
        values = _lines(named)
        if kind not in PRINCIPAL_TYPES or values is None:
            return None
        rows.append(PrincipalRow(kind, values))
    return tuple(rows)


def _value(fields: DraftFields) -> dict[str, object]:
    printed: dict[str, object] = {}
    if fields.sid:
        printed["Sid"] = fields.sid
    printed["Effect"] = fields.effect
    if fields.principals is not None:
        printed["Principal"] = _principal_value(fields.principals)
    printed["NotAction" if fields.not_action else "Action"] = _short(fields.actions)
    # A resource's policy may leave them out: it is about all that it holds for.
    if fields.resources or (fields.resources is not None and fields.principals is None):
        name = "NotResource" if fields.not_resource else "Resource"
        printed[name] = _short(fields.resources)
    conditions = _condition_value(fields.conditions)
    if conditions:
        printed["Condition"] = conditions
    return printed


def _principal_value(rows: Iterable[PrincipalRow]) -> object:
    named: dict[str, list[str]] = {}
    anyone = False
    for row in rows:
        if row.kind == ANYONE:
            anyone = True
        elif row.kind:
            named.setdefault(row.kind, []).extend(row.values)
    if anyone and named:
        named.setdefault("AWS", []).append(ANYONE)
    if anyone and not named:
        return ANYONE
    return {kind: _short(tuple(values)) for kind, values in named.items()}


def _condition_value(rows: Iterable[ConditionRow]) -> dict[str, dict[str, object]]:
    block: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.key or row.values:
            keys = block.setdefault(row.operator, {})
            keys.setdefault(row.key, []).extend(row.values)
    return {
        operator: {key: _short(tuple(values)) for key, values in keys.items()}
        for operator, keys in block.items()
    }


def _short(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)
