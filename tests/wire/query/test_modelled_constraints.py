"""Whatever the models constrain is refused: one broken input for each constraint.

The inputs and the expected texts are derived from botocore's models on their own;
they go over HTTP, signed, through the whole broker, and change nothing. IAM tells no
values, and some broken patterns by a sentence of its own (``messages.json`` has them).
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_asyncio

from broker.actions.models import load_service_model
from tests.conformance.query import examples
from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import InProcess, in_process
from tests.support.rows import rows

MODELS = {name: load_service_model(cast("Any", name)) for name in ("sts", "iam")}
OPERATIONS = [
    (service, operation)
    for service, model in MODELS.items()
    for operation in model["operations"]
]
LONGEST_SENT = 1_000_000
"""Longer texts do not fit into a request, which has an answer of its own."""

BELL = "\a"
"""Breaks every pattern of the models."""


@dataclass(frozen=True)
class Broken:
    """An input with one constraint broken, and what the answer must say."""

    given: dict[str, Any]
    path: str
    text: str
    code: str = "ValidationError"


def broken_inputs(service: str, operation: str) -> Iterator[Broken]:
    """One input for each constraint that a request of the operation can break."""
    shapes = cast("dict[str, Any]", MODELS[service]["shapes"])
    reference = cast("Any", MODELS[service]["operations"][operation]).get("input")
    if reference is None:
        return
    name = reference["shape"]
    valid = examples.structure(shapes, name, full=False)
    for member, path, text, code in _structure(shapes, name, "", ()):
        params = {**valid, **({member[0]: member[1]} if member[1] is not None else {})}
        if member[1] is None:
            del params[member[0]]
        yield Broken(params, path, text, code)


_Case = tuple[tuple[str, Any], str, str, str]


def _structure(
    shapes: dict[str, Any], name: str, path: str, above: tuple[str, ...]
) -> Iterator[_Case]:
    """Each member with a broken value; None stands for leaving it out."""
    shape = shapes[name]
    for member in shape.get("required", ()):
        label = path + member[0].lower() + member[1:]
        yield (member, None), label, "Member must not be null", "ValidationError"
    for member, inner in shape["members"].items():
        label = path + member[0].lower() + member[1:]
        for value, where, text, code in _value(
            shapes, inner["shape"], label, (*above, name)
        ):
            yield (member, value), where, text, code


def _value(
    shapes: dict[str, Any], name: str, path: str, above: tuple[str, ...]
) -> Iterator[tuple[Any, str, str, str]]:
    shape = shapes[name]
    if name in above:
        return
    match shape["type"]:
        case "structure":
            yield from _inner_structure(shapes, name, path, above)
        case "list":
            yield from _list(shapes, name, path, above)
        case "map":
            entry = examples.example(shapes, shape["value"]["shape"], full=False)
            for key, _, text, code in _value(shapes, shape["key"]["shape"], "", above):
                yield {key: entry}, f"{path}.1.key", text, code
        case "string":
            for value, text in _strings(shape):
                yield value, path, text, "ValidationError"
        case "blob":
            return
        case _:
            for value, text in _numbers(shape):
                yield value, path, text, "ValidationError"
            yield "perhaps", "", "", "MalformedInput"


def _inner_structure(
    shapes: dict[str, Any], name: str, path: str, above: tuple[str, ...]
) -> Iterator[tuple[Any, str, str, str]]:
    whole = examples.structure(shapes, name, full=False)
    for (member, value), where, text, code in _structure(
        shapes, name, f"{path}.", above
    ):
        changed = {**whole, member: value}
        if value is None:
            del changed[member]
        if changed:  # the protocol has no way to say "empty structure"
            yield changed, where, text, code


def _list(
    shapes: dict[str, Any], name: str, path: str, above: tuple[str, ...]
) -> Iterator[tuple[Any, str, str, str]]:
    shape, element = shapes[name], shapes[name]["member"]["shape"]
    entry = examples.example(shapes, element, full=False)
    if "max" in shape:
        text = f"Member must have length less than or equal to {shape['max']}"
        yield [entry] * (shape["max"] + 1), path, text, "ValidationError"
    if shape.get("min", 0) > 1:
        text = f"Member must have length greater than or equal to {shape['min']}"
        yield [entry] * (shape["min"] - 1), path, text, "ValidationError"
    for value, where, text, code in _value(
        shapes, element, f"{path}.1.member", (*above, name)
    ):
        inside = shapes[element]["type"] == "structure"
        yield [value], where if inside else path, text, code


def _numbers(shape: dict[str, Any]) -> Iterator[tuple[int, str]]:
    assert shape["type"] in {"integer", "long", "boolean", "timestamp"}
    if "min" in shape:
        text = f"Member must have value greater than or equal to {shape['min']}"
        yield shape["min"] - 1, text
    if "max" in shape:
        text = f"Member must have value less than or equal to {shape['max']}"
        yield shape["max"] + 1, text


def _strings(shape: dict[str, Any]) -> Iterator[tuple[str, str]]:
    shortest, longest = shape.get("min", 0), shape.get("max")
    filling = examples.text(shape)[:1] or "a"
    if shortest > 1 or (shortest == 1 and not shape.get("enum")):
        text = f"Member must have length greater than or equal to {shortest}"
        yield filling * (shortest - 1), text
    if longest is not None and longest < LONGEST_SENT:
        text = f"Member must have length less than or equal to {longest}"
        yield filling * (longest + 1), text
    if "pattern" in shape:
        text = f"Member must satisfy regular expression pattern: {shape['pattern']}"
        yield BELL * max(shortest, 1), text
    if "enum" in shape:
        text = "Member must satisfy enum value set"
        yield "none-of-these"[: longest or None], text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[InProcess, Key]]:
    async with in_process(tmp_path_factory.mktemp("constraints")) as made:
        yield made, await made.create_account(ACCOUNT)


@pytest.mark.timeout(600)  # a thousand calls
@pytest.mark.asyncio(loop_scope="module")
@rows("service,operation", OPERATIONS, ids=[f"{s}:{o}" for s, o in OPERATIONS])
async def test_every_modelled_constraint_is_refused(
    broker: tuple[InProcess, Key], service: str, operation: str
) -> None:
    installation, root = broker
    for case in broken_inputs(service, operation):
        reply = await installation.call(service, operation, root, **case.given)
        told = (
            f"{case.path}: {case.text}\n{str(case.given)[:500]}\n{reply.body[:2000]!r}"
        )
        assert reply.status == 400, told
        assert reply.code == case.code, told
        if case.code != "ValidationError":
            continue
        if service == "iam" and reply.message.startswith("The specified value for "):
            assert f" for {case.path} is invalid. It must " in reply.message, told
            continue
        value = "Value at" if service == "iam" else " at"
        assert (
            f"{value} '{case.path}' failed to satisfy constraint: " in reply.message
        ), told
        assert case.text in reply.message, told


def test_the_models_constrain_this_much() -> None:
    """Fewer would mean that the derivation overlooks some."""
    count = sum(1 for each in OPERATIONS for _ in broken_inputs(*each))
    assert count > 1000, count
