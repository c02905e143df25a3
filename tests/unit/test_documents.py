"""The documents name files, headings and settings that exist."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "samples").glob("*.md"),
        *(ROOT / "certs").glob("*.md"),
        *(ROOT / "tests").glob("README.md"),
        *(ROOT / "tests").glob("*/README.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:broker|docs|samples|tests|benchmarks)/[\w./-]+|[\w/]+\.py")
EXAMPLES = {"broker/x/y.py", "tests/unit/x/test_y.py"}
"""Paths in CONTRIBUTING.md that stand for others."""

MODULES = {
    f"/{path.relative_to(ROOT)}"
    for folder in ("broker", "samples", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "node_modules" not in path.parts
}


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", head.lower()) for head in heads)
    return {head.replace(" ", "-") for head in plain}


def dead_links(document: Path) -> Iterator[str]:
    for link in LINK.findall(document.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def missing_paths(document: Path) -> Iterator[str]:
    """Paths from the root that do not exist; modules may be named by their end."""
    named = filter(PATH.fullmatch, CODE.findall(document.read_text("utf-8")))
    for path in set(named) - EXAMPLES:
        if not (ROOT / path).exists() and not any(
            module.endswith(f"/{path}") for module in MODULES
        ):
            yield path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert list(dead_links(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_the_files_that_it_names_exist(document: Path) -> None:
    assert list(missing_paths(document)) == []


def test_the_manual_has_a_row_for_every_setting() -> None:
    manual = (ROOT / "docs/operating/settings.md").read_text("utf-8")
    settings = manual.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `BROKER_(\w+)` \|", settings, re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


def test_the_tests_that_the_threat_model_names_exist() -> None:
    text = (ROOT / "docs/threat-model.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    assert named
    assert not [
        f"{path}::{name}"
        for path, name in named
        if f"def {name}(" not in (ROOT / path).read_text("utf-8")
    ]


def test_figures_are_those_that_programs_wrote() -> None:
    command = [sys.executable, ROOT / ".ci" / "evidence.py", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_drawings_are_as_their_texts_say() -> None:
    command = [sys.executable, ROOT / ".ci" / "diagrams.py", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_in_the_navigation() -> None:
    """A page that no toctree names is one that Sphinx refuses."""
    docs = ROOT / "docs"
    index = (docs / "index.md").read_text("utf-8")
    named = set(re.findall(r"^([a-z][a-z0-9/*-]+)$", index, re.MULTILINE))
    pages = {str(path.relative_to(docs))[:-3] for path in docs.rglob("*.md")}
    folders = tuple(f"{name[:-1]}" for name in named if name.endswith("/*"))
    rest = {page for page in pages - named if not page.startswith(folders)}
    assert rest == {"index", *(page for page in pages if page[:10] == "operating/")}


def test_the_glossary_has_the_terms_of_the_consoles_help() -> None:
    macros = (ROOT / "broker/console/templates/ui.html").read_text("utf-8")
    _, _, terms = macros.partition("{% macro help(term) %}")
    rows = re.findall(
        r'^  "([^"]+)": "([^"]+)",?$', terms.partition("} %}")[0], re.MULTILINE
    )
    assert rows
    glossary = (ROOT / "docs/guide/concepts.md").read_text("utf-8")
    assert [row for row in rows if f"| {row[0]} | {row[1]} |" not in glossary] == []
