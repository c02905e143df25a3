"""Write the types of every operation's input and output: ``make types``.

What comes out stands in ``broker/actions/types``; a test compares it with the
models. Enumerations are plain strings: the reader has checked them, and handlers
answer with their own enumerations.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from broker.actions.models import RestName, ServiceName, load_service_model
from broker.protocols.shapes.model import ServiceModel, ShapeModel

TYPES_FOLDER = Path(__file__).parent / "types"
SERVICES: tuple[ServiceName | RestName, ...] = (
    *get_args(ServiceName),
    *get_args(RestName),
)

_SCALARS = {
    "blob": "bytes",
    "boolean": "bool",
    "double": "float",
    "float": "float",
    "integer": "int",
    "long": "int",
    "string": "str",
    "timestamp": "datetime",
}
_HEADER = '''\
"""Inputs and outputs of {name}'s operations, version {version}.

Generated from the service model by ``make types``. Do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict
'''


def types_path(name: ServiceName | RestName) -> Path:
    """The module of a service's types."""
    return TYPES_FOLDER / f"{name.replace('-', '_')}.py"


def generate(model: ServiceModel) -> str:
    """The source text of a service's types."""
    metadata = model["metadata"]
    parts = [
        _HEADER.format(
            name=(metadata.get("serviceId") or metadata["endpointPrefix"]).upper(),
            version=metadata["apiVersion"],
        )
    ]
    parts += [
        _structure(model, name, model["shapes"][name])
        for name in sorted(_used_structures(model))
    ]
    return "\n\n".join(parts)


def _used_structures(model: ServiceModel) -> set[str]:
    found: set[str] = set()
    waiting = [
        reference["shape"]
        for operation in model["operations"].values()
        for reference in (operation.get("input"), operation.get("output"))
        if reference is not None
    ]
    while waiting:
        name = waiting.pop()
        shape = model["shapes"][name]
        if shape["type"] == "structure":
            if name in found:
                continue
            found.add(name)
        waiting.extend(_targets(shape))
    return found


def _targets(shape: ShapeModel) -> Iterator[str]:
    for reference in shape.get("members", {}).values():
        yield reference["shape"]
    for part in ("member", "key", "value"):
        if part in shape:
            yield shape[part]["shape"]


def _structure(model: ServiceModel, name: str, shape: ShapeModel) -> str:
    required = frozenset(shape.get("required", ()))
    lines = [f"class {name}(TypedDict):"]
    for member, reference in shape["members"].items():
        type_ = _type(model, reference["shape"])
        lines.append(
            f"    {member}: {type_}"
            if member in required
            else f"    {member}: NotRequired[{type_}]"
        )
    if not shape["members"]:
        lines.append("    pass")
    return "\n".join(lines) + "\n"


def _type(model: ServiceModel, name: str) -> str:
    shape = model["shapes"][name]
    match shape["type"]:
        case "structure":
            return name
        case "list":
            return f"Sequence[{_type(model, shape['member']['shape'])}]"
        case "map":
            return f"Mapping[str, {_type(model, shape['value']['shape'])}]"
        case scalar:
            return _SCALARS[scalar]


def main() -> None:
    """Write one module a service."""
    for name in SERVICES:
        path = types_path(name)
        path.write_text(generate(load_service_model(name)), encoding="utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
