"""The page that the table is printed on: written from cells, and read again."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.leavers.cells import expected
from tests.leavers.places import PLACES, TABLES
from tests.leavers.table import Cells
from tests.leavers.ways import WAYS

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "leavers.md"
_BEGIN, _END = "<!-- figures: leavers -->", "<!-- end -->"
_NOBODY = "-"


def write(rows: Mapping[str, Cells], notes: list[str]) -> None:
    """Put the tables, and what else the run says, into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    lines = "\n".join(_lines(rows, notes))
    PAGE.write_text(f"{before}{_BEGIN}\n\n{lines}\n\n{_END}{after}", "utf-8")


def _lines(rows: Mapping[str, Cells], notes: list[str]) -> Iterator[str]:
    letters: dict[str, str] = {}
    yield f"Measured on {datetime.now(UTC).date().isoformat()}. {' '.join(notes)}"
    for table in TABLES:
        places = [place for place in PLACES.values() if place.table == table]
        shown = {
            way: cells
            for way, cells in rows.items()
            if any(place.name in cells for place in places)
        }
        yield f"\n## {table}\n"
        yield "| " + " | ".join(["Way", *(place.heading for place in places)]) + " |"
        yield "|---" * (len(places) + 1) + "|"
        for way, cells in shown.items():
            texts = [_cell(way, place.name, cells, letters) for place in places]
            yield "| " + " | ".join([WAYS[way].heading, *texts]) + " |"
    yield "\n## What lives on, and why\n"
    for why, letter in letters.items():
        yield f"- **{letter}**: {' '.join(expected().reasons[why].split())}"


def _cell(way: str, place: str, cells: Cells, letters: dict[str, str]) -> str:
    if place not in cells:
        return _NOBODY
    seconds = cells[place]
    if seconds is not None:
        return f"{seconds:.1f}"
    why = expected().on_purpose[way, place]
    return letters.setdefault(why, chr(ord("a") + len(letters)))


def read() -> dict[str, dict[str, bool]]:
    """By way and place, whether it is dead; from the page as it stands."""
    headings = {way.heading: way.name for way in WAYS.values()}
    found: dict[str, dict[str, bool]] = {}
    tables = re.findall(
        r"^## ([^\n]+)\n\n\|[^\n]*\n\|[-|]*\n((?:\|[^\n]*\n)*)",
        PAGE.read_text("utf-8"),
        re.MULTILINE,
    )
    for table, rows in tables:
        names = [place.name for place in PLACES.values() if place.table == table]
        for row in rows.splitlines():
            heading, *texts = (text.strip() for text in row.strip("|").split("|"))
            cells = found.setdefault(headings[heading], {})
            for name, text in zip(names, texts, strict=True):
                if text != _NOBODY:
                    cells[name] = text[0].isdigit()
    return found
