"""Pages, commands and documents use the words of docs/words.md, and not the others.

codespell reads them too, with American spelling and the glossary's words.
"""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_documents import DOCUMENTS, ROOT

GLOSSARY = ROOT / "docs" / "words.md"
OTHERS = {GLOSSARY, ROOT / "CHANGELOG.md", ROOT / "tests" / "attacks" / "README.md"}
"""The words themselves, what was written, and titles of papers."""

ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \|$", GLOSSARY.read_text("utf-8"), re.MULTILINE
)[1:]
AVOIDED = re.compile(
    r"\b(?:"
    + "|".join(r"\s+".join(w.split()) for _, row in ROWS for w in row.split(", "))
    + r")\b",
    re.IGNORECASE,
)
DICTIONARIES = "clear,rare,en-GB_to_en-US"
NAMES = "alpha-numeric"
"""AWS's own spelling."""


def texts(path: Path) -> Iterator[str]:
    """What a reader of the page, the command's output or the document sees."""
    source = path.read_text("utf-8")
    if path.suffix == ".html":
        yield re.sub(r"\{#.*?#\}", "", source, flags=re.DOTALL)
    elif path.suffix == ".md":
        yield re.sub(r"```.*?```|`[^`]*`", "", source, flags=re.DOTALL)
    else:
        tree = ast.parse(source)
        silent = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in silent:
                yield str(node.value)


def sentences(path: Path) -> Iterator[str]:
    """The texts without names of files, variables, classes and addresses."""
    for text in texts(path):
        if path.suffix == ".html":
            page = re.sub(r"\{[{%].*?[%}]\}", _sayings, text, flags=re.DOTALL)
            yield re.sub(r"<\w[^>]*>", _sayings, page)
        elif path.suffix == ".md":
            yield re.sub(r"\]\([^)]*\)|https?://\S+", "]", text)
        elif " " in text.strip():
            yield re.sub("`[^`]*`", "", text)


def _sayings(code: re.Match[str]) -> str:
    """The texts of several words in it."""
    return " ".join(text for text in re.findall('"([^"]*)"', code[0]) if " " in text)


def read_everything() -> list[Path]:
    pages = (ROOT / "broker").rglob("*.html")
    code = (ROOT / "broker").rglob("*.py")
    paths = {*DOCUMENTS, *pages, *code} - OTHERS
    return sorted(path for path in paths if "site" not in path.parts)


def test_each_thing_has_one_word() -> None:
    results = {
        f"{path.relative_to(ROOT)}: {word}"
        for path in read_everything()
        for text in texts(path)
        for word in AVOIDED.findall(text)
    }
    assert results == set()


def test_a_phrase_is_recognized_across_lines() -> None:
    assert AVOIDED.search("until the trust\n  relationship") is not None


def test_spelling_is_american(tmp_path: Path) -> None:
    if importlib.util.find_spec("codespell_lib") is None:
        assert os.environ.get("CI") != "true", "codespell is missing"
        pytest.skip("codespell is missing")
    for path in read_everything():
        copy = tmp_path / "texts" / path.relative_to(ROOT).with_suffix(".txt")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("\n".join(sentences(path)), "utf-8")
    own = tmp_path / "glossary.txt"
    own.write_text(
        "".join(
            f"{word}->{right}\n"
            for right, row in ROWS
            for word in row.split(", ")
            if word.isalpha()
        ),
        "utf-8",
    )
    command = [sys.executable, "-m", "codespell_lib", "texts"]
    command += ["--builtin", DICTIONARIES, "--dictionary", "-"]
    command += ["--dictionary", str(own), "--ignore-words-list", NAMES]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines() == []
    assert result.returncode == 0, result.stderr
