"""Gives the pages of a SQLite file that nothing needs any more back to the disk.

What was deleted stays in the file as free pages, which later rows take. When a purge
left many, they are cut off in portions, each in a shared transaction of the writer's:
a mint waits for a few milliseconds at most. New files are made for it
(``auto_vacuum=INCREMENTAL``); an older one has to be rewritten once.

Source: SQLite, "PRAGMA incremental_vacuum".
"""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from broker.stores.sqlite_writer import SqliteWriter

FOR_NEW_FILES = "PRAGMA auto_vacuum=INCREMENTAL"
"""Before anything else is written to the file."""

KEPT_PAGES = 2048
"""8 MB: most free space is soon reused, and giving it back costs a second write."""

_PORTION_PAGES = 256
_INCREMENTAL = 2


async def give_back(writer: SqliteWriter, *, kept_pages: int = KEPT_PAGES) -> None:
    """Cut off free pages when they are more than that, and a quarter of the file.

    Raises:
        StoreUnavailableError: the database cannot be written.
    """
    left = await writer.run(lambda connection: _spare_pages(connection, kept_pages))
    while left > 0:
        cut = await writer.run(partial(_cut, pages=min(left, _PORTION_PAGES)))
        if cut == 0:
            return
        left -= cut


def waste_of(path: Path) -> tuple[int, int]:
    """Bytes of the file, and how many of them it cannot give back."""
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        page, pages, free, mode = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count", "auto_vacuum")
        )
    return page * pages, 0 if mode == _INCREMENTAL else page * free


def _spare_pages(connection: sqlite3.Connection, kept_pages: int) -> int:
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    free = _free_pages(connection)
    return free - kept_pages if free * 4 > pages else 0


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _cut(connection: sqlite3.Connection, pages: int) -> int:
    """How many were cut off; none in a file that was not made for it."""
    before = _free_pages(connection)
    for _ in range(pages):
        # Python's driver takes one step of this statement: one page.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return before - _free_pages(connection)
