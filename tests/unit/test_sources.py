"""Every short form of a source is explained where docs/sources.md says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/sources.md", "tests/attacks/README.md", "tests/decisions/README.md")
EXPLAINED = {
    name
    for page in PAGES
    for line in (ROOT / page).read_text("utf-8").splitlines()
    if line.startswith("| ")
    for name in line.split("|")[1].strip().split(", ")
}
ID = re.compile(r"\b(?:(?:SAML|OIDC|STS|GEN|POL)-\d{2}|REC-[A-Z]|STS-(?:M|EX)|CAP)\b")


@pytest.mark.parametrize("folder", ["broker", "tests"])
def test_every_short_form_is_explained(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*")):
        if "node_modules" in path.parts or path.suffix not in {".py", ".yaml", ".json"}:
            continue
        unknown = set(ID.findall(path.read_text("utf-8"))) - EXPLAINED
        assert not unknown, f"{path.relative_to(ROOT)}: {unknown}"
