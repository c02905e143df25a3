"""Pages, commands and documents use the words of docs/words.md, and not the others."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.test_documents import DOCUMENTS, ROOT

GLOSSARY = ROOT / "docs" / "words.md"
OTHERS = {GLOSSARY, ROOT / "CHANGELOG.md", ROOT / "tests" / "attacks" / "README.md"}
"""The words themselves, what was written, and titles of papers."""

ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \|$", GLOSSARY.read_text("utf-8"), re.MULTILINE
)
AVOIDED = re.compile(
    r"\b(?:" + "|".join(w for _, row in ROWS[1:] for w in row.split(", ")) + r")\b",
    re.IGNORECASE,
)


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


def test_each_thing_has_one_word() -> None:
    pages = (ROOT / "broker").rglob("*.html")
    code = (ROOT / "broker").rglob("*.py")
    results = {
        f"{path.relative_to(ROOT)}: {word}"
        for path in {*DOCUMENTS, *pages, *code} - OTHERS
        if "site" not in path.parts
        for text in texts(path)
        for word in AVOIDED.findall(text)
    }
    assert results == set()
