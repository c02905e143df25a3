"""Rows of data that one test tries in turn; it shows each that fails.

``@rows`` takes what ``pytest.mark.parametrize`` takes, or a function that makes the
rows when the test runs. Its test is one item. The rows share the test's fixtures, so a
row must leave those as they were; ``@cases`` is for tests where it cannot, and makes an
item of each row.

Without values, the rows are those under the test's name in the YAML file beside its
module: a list of rows, or a mapping of their names to them.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.mark import ParameterSet

wanted = ""
"""``--row``: what the name of a row must contain. ``tests/conftest.py`` sets it."""


@functools.cache
def _read(module: str) -> Any:
    return yaml.load(Path(module).with_suffix(".yaml").read_bytes(), yaml.CSafeLoader)


def of_file(module: str, name: str) -> Any:
    """What stands under the name in the YAML file beside the module."""
    return _read(module)[name]


def _rows_of(test: Callable[..., Any], *, is_single: bool) -> Iterable[Any]:
    listed = of_file(test.__code__.co_filename, test.__name__)
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
