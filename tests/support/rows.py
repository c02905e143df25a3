"""Rows of data that one test tries in turn; it shows each that fails.

``@rows`` takes what ``pytest.mark.parametrize`` takes, or a function that makes the
rows when the test runs. Its test is one item. The rows share the test's fixtures, so a
row must leave those as they were.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from _pytest.mark import ParameterSet

wanted = ""
"""``--row``: what the name of a row must contain. ``tests/conftest.py`` sets it."""


def rows(
    names: str | tuple[str, ...],
    values: Iterable[Any] | Callable[[], Iterable[Any]],
    ids: Iterable[str] | Callable[[Any], str] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The test is called with each row and fails with all that the rows raised."""
    names = tuple(names.split(",")) if isinstance(names, str) else names

    @functools.cache
    def named() -> list[tuple[str, dict[str, Any]]]:
        given = values() if callable(values) else values
        found = [ParameterSet.extract_from(v, len(names) == 1) for v in given]
        label = ids if callable(ids) else lambda value: str(value)[:60]
        labels = [row.id or "-".join(map(label, row.values)) for row in found]
        if ids is not None and not callable(ids):
            labels = list(ids)
        members = (dict(zip(names, row.values, strict=True)) for row in found)
        return list(zip(labels, members, strict=True))

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
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
