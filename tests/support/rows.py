"""Rows of data that one test tries in turn; it shows each that fails.

``@rows`` takes what ``pytest.mark.parametrize`` takes, or a function that makes the
rows when the test runs. Its test is one item. The rows share the test's fixtures, so a
row must leave those as they were; ``@cases`` is for tests where it cannot, and makes an
item of each row.

Without values, the rows are those under the test's name in the YAML file beside its
module: a list of rows, or a mapping of their names to them. There, ``!bytes text`` is
bytes, by Latin-1, ``!join [a, [b, 99], c]`` a text in which b stands 99 times,
``!tuple [a, b]`` a tuple, and ``!name Reason.EXPIRED`` what the module calls so, or
the class of an error.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.mark import ParameterSet

from broker import errors

wanted = ""
"""``--row``: what the name of a row must contain. ``tests/conftest.py`` sets it."""


class _Loader(yaml.CSafeLoader):
    """Reads what the module's docstring says."""


def _join(loader: _Loader, node: yaml.SequenceNode) -> str:
    parts = loader.construct_sequence(node, deep=True)
    return "".join(p if isinstance(p, str) else p[0] * p[1] for p in parts)


@dataclass(frozen=True)
class _Name:
    text: str


_Loader.add_constructor("!join", _join)
_Loader.add_constructor("!bytes", lambda _, node: node.value.encode("latin-1"))
_Loader.add_constructor("!name", lambda _, node: _Name(node.value))
_Loader.add_constructor(
    "!tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
)


@functools.cache
def _read(module: str) -> Any:
    return yaml.load(Path(module).with_suffix(".yaml").read_bytes(), _Loader)


def of_file(module: str, name: str, names: dict[str, Any] | None = None) -> Any:
    """What stands under the name in the YAML file beside the module."""
    return _resolve(_read(module)[name], names or {})


def _resolve(value: Any, names: dict[str, Any]) -> Any:
    if isinstance(value, _Name):
        first, *rest = value.text.split(".")
        owner = names[first] if first in names else getattr(errors, first)
        return functools.reduce(getattr, rest, owner)
    if isinstance(value, list | tuple):
        return type(value)(_resolve(member, names) for member in value)
    if isinstance(value, dict):
        return {key: _resolve(member, names) for key, member in value.items()}
    return value


def _rows_of(test: Callable[..., Any], *, is_single: bool) -> Iterable[Any]:
    listed = of_file(test.__code__.co_filename, test.__name__, test.__globals__)
    if isinstance(listed, list):
        return listed
    return [
        pytest.param(*([row] if is_single else row), id=name)
        for name, row in listed.items()
    ]


def cases(
    names: str, ids: Callable[[Any], str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One item for each row of the test in the file."""

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        listed = _rows_of(test, is_single="," not in names)
        return pytest.mark.parametrize(names, listed, ids=ids)(test)

    return decorate


def rows(
    names: str | tuple[str, ...],
    values: Iterable[Any] | Callable[[], Iterable[Any]] | None = None,
    ids: Iterable[str] | Callable[[Any], str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The test is called with each row and fails with all that the rows raised."""
    names = (
        tuple(names.replace(" ", "").split(",")) if isinstance(names, str) else names
    )

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def named() -> list[tuple[str, dict[str, Any]]]:
            is_single = len(names) == 1
            if values is None:
                listed = _rows_of(test, is_single=is_single)
            else:
                listed = values() if callable(values) else values
            sets = [ParameterSet.extract_from(row, is_single) for row in listed]
            label = ids if callable(ids) else lambda value: str(value)[:60]
            labels = [row.id or "-".join(map(label, row.values)) for row in sets]
            if ids is not None and not callable(ids):
                labels = list(ids)
            members = (dict(zip(names, row.values, strict=True)) for row in sets)
            return list(zip(labels, members, strict=True))

        async def await_each(**fixtures: Any) -> None:
            for attempt, row in _attempts(named()):
                with attempt:
                    await test(**fixtures, **row)

        def call_each(**fixtures: Any) -> None:
            for attempt, row in _attempts(named()):
                with attempt:
                    test(**fixtures, **row)

        whole = await_each if inspect.iscoroutinefunction(test) else call_each
        functools.update_wrapper(whole, test)
        fixtures = inspect.signature(test)
        left = [p for p in fixtures.parameters.values() if p.name not in names]
        whole.__dict__["__signature__"] = fixtures.replace(parameters=left)
        del whole.__dict__["__wrapped__"]
        whole.__dict__["rows"] = named
        return whole

    return decorate


def _attempts(named: list[tuple[str, dict[str, Any]]]) -> Iterator[tuple[Any, Any]]:
    failures: list[BaseException] = []

    @contextmanager
    def attempt(name: str) -> Iterator[None]:
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001
            error.add_note(f"row: {name}")
            failures.append(error)

    chosen = [(name, row) for name, row in named if wanted in name]
    if not chosen:
        pytest.skip(f"no row's name contains {wanted!r}")
    for name, row in chosen:
        yield attempt(name), row
    if failures:
        message = f"{len(failures)} of {len(chosen)} rows"
        raise BaseExceptionGroup(message, failures)
