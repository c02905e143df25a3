"""The documentation builds without a warning and needs no inline code."""

import re
from pathlib import Path

import pytest

from tests.support.site import COMMAND, ROOT, build_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(tmp_path_factory)


def test_the_same_command_builds_what_is_shipped() -> None:
    target = (ROOT / "Makefile").read_text().partition("\ndocs:")[2]
    assert " ".join(COMMAND) in target.partition("\n\n")[0]


def test_every_page_is_in_the_navigation(site: Path) -> None:
    names = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    start = (site / "index.html").read_text()
    links = set(re.findall(r'class="reference internal" href="([^"#]+)"', start))
    missing = (
        {str(name.with_suffix(".html")) for name in names} - links - {"index.html"}
    )
    assert missing == set()


def test_nothing_is_inline(site: Path) -> None:
    """The policy under which the broker serves the pages would block it."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    inline = re.compile(
        r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=\"|javascript:"
    )
    results = {page.name: inline.findall(page.read_text()) for page in pages}
    assert {name: where for name, where in results.items() if where} == {}


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:[^"]+)"'
    )
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text()) == [], page.name
