"""The sprite has the icons in use, and no others."""

import re
from pathlib import Path

from broker import console
from broker.console.navigation import SECTIONS
from broker.console.pages import search

FOLDER = Path(console.__file__).parent


def test_every_icon_that_a_page_shows_is_there_and_no_other() -> None:
    sprite = (FOLDER / "static" / "icons.svg").read_text()
    there = set(re.findall(r'<symbol id="([a-z0-9-]+)"', sprite))
    texts = [path.read_text() for path in (FOLDER / "templates").rglob("*.html")]
    drawn = {
        name
        for text in texts
        for call in re.findall(r"\bicon\(([^)]*)\)", text)
        for name in re.findall(r'"([a-z0-9-]+)"', call)
    } - {"big", "good", "warn", "bad"}
    listed = {entry.icon for section in SECTIONS for entry in section.entries}
    listed |= {icon for _, _, icon in search._PAGES_OF.values()}
    assert (drawn | listed) - there == set()
    named = {name for text in texts for name in re.findall(r'"([a-z0-9-]+)"', text)}
    assert there - named - listed - {"arrow-right"} == set()
