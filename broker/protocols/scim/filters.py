"""The part of SCIM's filter language that identity providers use.

Attributes that are equal to a value, joined by *and*, each at most once. Anything else
is refused by name, so that no filter costs more than a look-up.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Never

from msgspec import Struct
from scim2_models import Resource, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    ValuePath,
)

from broker.protocols.scim.resources import Group, ScimRejected, User, is_text

FILTER_CHARACTERS_MAX = 2000

_FIELDS: Mapping[type[Resource[Any]], Mapping[str, str]] = {
    User: {
        "id": "id",
        "username": "userName",
        "externalid": "externalId",
        "active": "active",
        "emails": "emails",
        "emails.value": "emails",
    },
    Group: {
        "id": "id",
        "displayname": "displayName",
        "externalid": "externalId",
        "members": "members",
        "members.value": "members",
    },
}
"""The attributes that may be asked for, by their names in lower case."""


class FilterCondition(Struct, frozen=True):
    """An attribute (a user's or group's, as SCIM spells it) and its value."""

    attribute: str
    value: str | bool


def read_filter(text: str, kind: type[Resource[Any]]) -> tuple[FilterCondition, ...]:
    """The conditions of a filter, all of which must hold.

    Raises:
        ScimRejected: it is not supported.
        SCIMException: it is malformed.
    """
    if len(text) > FILTER_CHARACTERS_MAX:
        raise ScimRejected(
            f"The filter is longer than {FILTER_CHARACTERS_MAX} characters.",
            "invalidFilter",
        )
    bound: Any = ScimFilter[kind]  # type: ignore[valid-type]
    node: FilterNode = bound(text).ast
    conditions = tuple(_conditions(node, kind))
    if len({condition.attribute for condition in conditions}) < len(conditions):
        raise ScimRejected(
            "A filter may name each attribute only once.", "invalidFilter"
        )
    return conditions


def _conditions(
    node: FilterNode, kind: type[Resource[Any]]
) -> Iterator[FilterCondition]:
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.and_:
        for term in node.terms:
            yield from _conditions(term, kind)
    elif isinstance(node, ValuePath):
        yield _selection(node, kind)
    elif isinstance(node, Comparison) and node.op is CompareOperator.eq:
        yield _equal(node, kind, "")
    else:
        _refuse(node)


def _selection(node: ValuePath, kind: type[Resource[Any]]) -> FilterCondition:
    """``emails[type eq "work" and value eq "…"]``: the one value that is asked for."""
    inner = node.val_filter
    terms = (
        inner.terms
        if isinstance(inner, LogicalExpr) and inner.op is LogicalOperator.and_
        else (inner,)
    )
    values = []
    for term in terms:
        if not isinstance(term, Comparison) or term.op is not CompareOperator.eq:
            _refuse(node)
        name = term.attr_path.attr.lower()
        if name == "value":
            values.append(_equal(term, kind, f"{node.attr_path.attr}."))
        elif name not in {"type", "primary"}:
            _refuse(node)
    if len(values) != 1:
        _refuse(node)
    return values[0]


def _equal(node: Comparison, kind: type[Resource[Any]], prefix: str) -> FilterCondition:
    path: AttrPath = node.attr_path
    name = f"{prefix}{path.attr}".lower()
    if path.sub_attr:
        name = f"{name}.{path.sub_attr.lower()}"
    attribute = _FIELDS[kind].get(name)
    if attribute is None or (path.uri or "").lower() not in {
        "",
        str(kind.__schema__).lower(),
    }:
        _refuse(node)
    value = node.value
    if attribute == "active":
        if isinstance(value, str):
            value = value.lower() == "true"
        if not isinstance(value, bool):
            _refuse(node)
    elif not isinstance(value, str) or not is_text(value):
        _refuse(node)
    return FilterCondition(attribute, value)


def _refuse(node: FilterNode) -> Never:
    raise ScimRejected(
        f"The filter {str(node)[:200]} is not supported: ask for attributes that are"
        " equal (eq) to a value, joined by and: id, externalId; a user's userName,"
        " emails.value, active; a group's displayName, members.value.",
        "invalidFilter",
    )
