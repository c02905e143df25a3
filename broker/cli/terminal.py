"""The only module that prints.

Names, tags, subjects, addresses and error texts may come from attackers. Control
characters, escape sequences, bidirectional overrides and invisible characters are
escaped as in Python literals, and nothing is interpreted as markup.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

_QUIET_SECONDS, _EVERY_SECONDS = 1.0, 0.2
NO_ENTRIES = "There are none."

_MANY_ROWS = 1000
"""From this many rows on, `rich` is too slow to lay out the table."""

_AGO = re.compile(r"([0-9]{1,6})\s*([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def plain(text: str) -> str:
    """The text with every unprintable character escaped, line breaks included."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(*lines: object, err: bool = False, colour: str | None = None) -> None:
    """Print lines; a line break inside one is escaped."""
    for line in lines:
        typer.secho(plain(str(line)), err=err, fg=colour)


def say_lines(text: str) -> None:
    """Print lines of CSV; a character that could act on the terminal is escaped."""
    for line in text.split("\r\n")[:-1]:
        typer.echo(plain(line))


def say_json(
    value: object,
    *,
    indent: int | None = None,
    default: Callable[[object], str] | None = None,
) -> None:
    """Print a value as JSON in ASCII."""
    text = json.dumps(value, indent=indent, default=default)
    typer.echo(text.replace("\x7f", "\\u007f"))


def say_result(
    members: Mapping[str, object], *sentences: object, as_json: bool
) -> None:
    """Print what a command did as sentences, or as one JSON object."""
    if as_json:
        say_json(members)
    else:
        say(*sentences)


def say_entries(
    entries: Iterable[Mapping[str, Any]],
    headings: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[str]],
    *,
    as_json: bool,
) -> None:
    """Print entries as JSON, one per line, or as a table with a ``row`` of each.

    Where there are none, that is said on stderr.
    """
    if as_json:
        say_json_lines(entries)
    else:
        say_table(headings, map(row, entries))


def say_json_lines(entries: Iterable[Mapping[str, Any]]) -> None:
    """Print entries as JSON, one per line; on stderr, that there are none."""
    count = 0
    for entry in entries:
        say_json(entry)
        count += 1
    if not count:
        say(NO_ENTRIES, err=True)


def say_members(members: Mapping[str, Any]) -> None:
    """Print the members of one thing, each with its value or values beside it."""
    width = max(map(len, members))
    for name, value in members.items():
        lines = _value_lines(value)
        say(f"{name:<{width}}  {lines[0] if lines else 'none'}")
        say(*(f"{'':<{width}}  {line}" for line in lines[1:]))


def _value_lines(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}={entry}" for name, entry in value.items()]
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def say_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], styles: Iterable[str] = ()
) -> None:
    """Print rows under headings; ``styles`` has a style per row, or is empty."""
    rows = list(rows)
    if not rows:
        say(NO_ENTRIES, err=True)
    if len(rows) > _MANY_ROWS or not sys.stdout.isatty():
        _say_plain_table([headings, *rows])
        return
    # Imported here: a pipe needs none of it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    styles = iter(styles)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row), style=next(styles, ""))
    Console().print(table)


def _say_plain_table(rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, for a pipe or where rich would take too long."""
    listed_rows = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*listed_rows, strict=True)]
    for row in listed_rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def ask(question: str) -> None:
    """Print a prompt on stderr, without a line break."""
    sys.stderr.write(plain(question))
    sys.stderr.flush()


class Progress:
    """A line on stderr that says how far work is which takes more than a second.

    Only a terminal shows it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._next = self._began + _QUIET_SECONDS
        self._is_shown = False

    def tell(self, done: int, of: int = 0) -> None:
        """Show how much is done, and of how much if that is known."""
        now = time.monotonic()
        if now < self._next or not sys.stderr.isatty():
            return
        self._next, self._is_shown = now + _EVERY_SECONDS, True
        text = f"{self._what}: {done:,}"
        if of >= done > 0:
            left = (now - self._began) / done * (of - done)
            text += f" of {of:,}, about {format_duration(left)} left"
        sys.stderr.write(f"\r{plain(text)}\x1b[K")
        sys.stderr.flush()

    def end(self) -> float:
        """Remove the line; how many seconds it took."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        return time.monotonic() - self._began


def parse_time(text: str, now: datetime) -> datetime:
    """Parse a time: ISO 8601 (UTC by default), or a duration ago such as ``2h``.

    Raises:
        ValueError: It is neither; the text gives examples.
    """
    wrong = ValueError(
        f"{text!r} is not a time; use for example 2026-01-31T12:00, 2026-01-31 or 2h"
    )
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise wrong from None


def format_time(moment: datetime) -> str:
    """Format a time in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def format_duration(seconds: float) -> str:
    """Format a duration in its two largest units: ``1h 05m``, ``42s``."""
    left = max(0, int(seconds))
    minutes, rest = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
