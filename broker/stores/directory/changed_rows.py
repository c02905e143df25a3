"""Which rows a change wrote, as it is noted with the change.

Plain data: what depends on these rows is for `readings` to say.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

ROWS_MAX = 200
"""Of a table, named in a change; beyond, the whole table counts as changed."""


class ChangedRows:
    """Rows by table, each by the columns that readings are looked up by.

    None stands for any row of a table. Tables that nothing is remembered of are listed
    too: another version may remember it.
    """

    def __init__(self, rows: Mapping[str, object] | None = None) -> None:
        self.tables: dict[str, Any] = dict(rows or {})

    @classmethod
    def load(cls, text: str) -> "ChangedRows":
        """What ``dump`` wrote."""
        return cls(json.loads(text))

    @property
    def is_empty(self) -> bool:
        """Whether no row was written."""
        return not self.tables

    def values(self, table: str, column: str) -> frozenset[str] | None:
        """What the rows of a table have in a column; None if that is not known."""
        rows = self.tables.get(table, ())
        if rows is None or any(column not in row for row in rows):
            return None
        return frozenset(row[column] for row in rows)

    def dump(self) -> str:
        """As text."""
        return json.dumps(self.tables, separators=(",", ":"))

    def note(
        self, table: str, columns: Sequence[str], rows: Sequence[object] = ()
    ) -> None:
        """Add rows, each with these columns; a table without columns as a whole."""
        known = self.tables.setdefault(table, [] if columns else None)
        if known is None or not rows:
            return
        known += ({name: getattr(row, name) for name in columns} for row in rows)
        if len(known) > ROWS_MAX:
            self.tables[table] = None
