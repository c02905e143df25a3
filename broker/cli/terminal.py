"""The one place that prints.

Names, tags, subjects, addresses and error texts come from strangers. What would steer
a terminal (C0 and C1 controls, escape sequences), turn its text around (bidirectional
overrides) or hide in it is spelt out as Python spells it, and nothing is read as
markup.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 400
"""For a pipe a row stays on its line."""

_MANY_ROWS = 1000
"""More are for no terminal's width."""


def plain(text: str) -> str:
    """The text on one line, each character that has no look of its own spelt out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(*lines: object, err: bool = False, colour: str | None = None) -> None:
    """Print lines; a line break inside one is spelt out."""
    for line in lines:
        typer.secho(plain(str(line)), err=err, fg=colour)


def say_fields(*fields: str) -> None:
    """Print a line of fields with tabs between them, for programs."""
    typer.echo("\t".join(map(plain, fields)))


def say_json(
    value: object,
    *,
    indent: int | None = None,
    default: Callable[[object], str] | None = None,
) -> None:
    """Print a value as JSON in ASCII."""
    text = json.dumps(value, indent=indent, default=default)
    typer.echo(text.replace("\x7f", "\\u007f"))


def say_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    styles: Iterable[str] = (),
) -> None:
    """Print rows under headings; ``styles`` has a style for each row, or nothing."""
    rows = list(rows)
    if len(rows) > _MANY_ROWS:
        _say_long_table([headings, *rows])
        return
    table = Table(*headings, box=None, header_style="bold", pad_edge=False)
    styles = iter(styles)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row), style=next(styles, ""))
    if sys.stdout.isatty():
        Console().print(table)
    else:
        Console(width=_PIPE_WIDTH, soft_wrap=True).print(table)


def _say_long_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns side by side; rich takes a quarter of a millisecond for each row."""
    shown = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def ask(question: str) -> None:
    """Print a question to the person at the terminal, who answers on its line."""
    sys.stderr.write(plain(question))
    sys.stderr.flush()
