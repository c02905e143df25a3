"""Structures: their members, read one by one and required where they must be there."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from broker.protocols.shapes.model import ShapeModel, ShapeReference, Shapes
from broker.protocols.shapes.violations import Violations

ABSENT = object()
"""What reads as if it had not been sent."""

Read = Callable[[Any, str, Violations], object]
"""Reads a node that is there; the text is its path in messages."""

_Member = tuple[str, str, bool, Read, str]


class Members(dict[str, _Member]):
    """The members of a structure by their names on the wire, ready to be read."""

    def __init__(self, members: Iterable[tuple[str, _Member]]) -> None:
        super().__init__(members)
        self.required = frozenset(wire for wire, entry in self.items() if entry[2])


def compile_members(
    shapes: Shapes,
    shape: ShapeModel,
    compile_shape: Callable[[ShapeReference], Read],
    *,
    wire_name: Callable[[str, ShapeReference], str] = lambda member, _: member,
    only: Iterable[str] | None = None,
) -> Members:
    """The members of a structure, or ``only`` these, ready to be read."""
    required = frozenset(shape.get("required", ()))
    return Members(
        (
            wire_name(member, reference := shape["members"][member]),
            (
                member,
                member[:1].lower() + member[1:],
                member in required,
                compile_shape(reference),
                "" if shapes[reference["shape"]].get("sensitive") else " null",
            ),
        )
        for member in (shape["members"] if only is None else only)
    )


def read_members(
    members: Members, params: Mapping[str, Any], path: str, violations: Violations
) -> dict[str, object]:
    """Those that are there; a node that is None is not."""
    result = {}
    whole = members.required <= params.keys()
    # Of many members few are sent.
    for wire in filter(params.__contains__, members) if whole else members:
        member, label, required, read, null = members[wire]
        node = params.get(wire)
        if node is not None:
            value = read(node, path + label, violations)
            if value is not ABSENT:
                result[member] = value
                continue
        if required:
            violations.add(null, path + label, "Member must not be null")
    return result
