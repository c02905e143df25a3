"""README, documentation and samples set up clients as the one place does."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.console.client_settings import SERVICES, client_variables, services_section

ROOT = Path(__file__).parents[3]
BROKERS = ("https://broker.example.com", "http://127.0.0.1:8080")
ELSEWHERE = {
    "localstack.md": {"AWS_ENDPOINT_URL"},
    "lakehouse.md": {"AWS_ENDPOINT_URL"},
}
"""What leads to another server on purpose, by page."""

_BLOCK = re.compile(r"^ *```[^\n`]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(
    r'\b(AWS_(?:ENDPOINT_URL(?:_STS)?|REGION|DEFAULT_REGION))(?:=|: |, value: )"?'
    r'([^\s"},]+)'
)
_SECTION = re.compile(r"^\[services [\w-]+\]\n(?:[^\[\n].*\n?)*", re.MULTILINE)
_SERVICE = re.compile(r"^([\w-]+) =\n  endpoint_url = (\S+)$", re.MULTILINE)


def read_blocks() -> Iterator[tuple[str, str]]:
    """What is to be pasted from pages, and whole samples, with the file's name."""
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for block in _BLOCK.findall(page.read_text("utf-8")):
            yield page.name, block
    for sample in (ROOT / "samples").rglob("*"):
        if sample.is_file() and "__pycache__" not in sample.parts:
            yield sample.name, sample.read_text("utf-8")


BLOCKS = [*read_blocks()]


def test_variables_are_complete() -> None:
    seen, wrong = 0, []
    for name, block in BLOCKS:
        results = dict(_VARIABLE.findall(block))
        origin = results.get("AWS_ENDPOINT_URL_STS") or results.get("AWS_ENDPOINT_URL")
        if origin:
            seen += 1
            wanted = client_variables(origin, results.get("AWS_REGION", "none"))
            if any(
                results.get(variable) != value
                for variable, value in wanted.items()
                if variable not in ELSEWHERE.get(name, ())
            ):
                wrong.append((name, results))
    assert wrong == []
    assert seen > 10


def test_profiles_have_a_section_with_every_service() -> None:
    seen = 0
    for name, block in BLOCKS:
        # A profile's own endpoint_url does not reach STS in Go's credential chain.
        assert not re.search("^endpoint_url", block, re.MULTILINE), name
        for section in _SECTION.findall(block):
            results = dict(_SERVICE.findall(section))
            origin = results.get("sts", "")
            if origin in BROKERS:
                seen += 1
                wanted = {each: f"{origin}{path}" for each, path in SERVICES.items()}
                assert {each: results.get(each) for each in wanted} == wanted, name
    assert seen > 2


def test_pages_and_commands_print_the_one_place() -> None:
    literal = [
        path.relative_to(ROOT / "broker").as_posix()
        for path in (ROOT / "broker").rglob("*")
        if path.suffix in {".py", ".html", ".txt"}
        and re.search(
            r"AWS_ENDPOINT_URL(?:_STS)?[=\"]|^ *endpoint_url = ",
            path.read_text("utf-8"),
            re.MULTILINE,
        )
    ]
    # The second reads what is set.
    assert sorted(literal) == ["cli/console_url.py", "console/client_settings.py"]


@pytest.mark.parametrize("origin", BROKERS)
def test_a_section_is_read_back(origin: str) -> None:
    results = dict(_SERVICE.findall(services_section("broker", origin)))
    assert results == {each: f"{origin}{path}" for each, path in SERVICES.items()}
