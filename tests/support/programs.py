"""Programs that `.ci/programs.py` installs, and what a run has shown of each."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.evidence import FOLDER, keep

ROOT = Path(__file__).parents[2]
PINS: dict[str, dict[str, str]] = tomllib.loads(
    (ROOT / "tests" / "programs.toml").read_text("utf-8")
)
RECORD = FOLDER / "real-programs.json"
_MARK = "program"


def program_marks(name: str) -> list[pytest.MarkDecorator]:
    """Of a module whose tests run the pinned program."""
    pin = PINS[name]
    mark = getattr(pytest.mark, _MARK)(pin["name"], pin["version"])
    return [pytest.mark.long, pytest.mark.timeout(1800), mark]


def program(name: str, package: str) -> pytest.MarkDecorator:
    """Of tests that run a program of a package, from PyPI or else from Debian."""
    lock = (ROOT / "requirements-programs.lock").read_text("utf-8")
    if match := re.search(rf"^{package}==(\S+)", lock, re.MULTILINE):
        version = match[1]
    else:
        query = ["dpkg-query", "--show", "--showformat=${Version}", package]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        version = done.stdout or "unknown"
    return getattr(pytest.mark, _MARK)(name, version)  # type: ignore[no-any-return]


def installed(name: str) -> Path:
    """The program, or the folder that its archive had; skips where it is missing."""
    place = ROOT / "artefacts" / "programs" / f"{name}-{PINS[name]['version']}"
    if not place.exists():
        assert os.environ.get("CI") != "true", f"{place} is missing"
        pytest.skip(f"{PINS[name]['name']} is not installed: .ci/setup long")
    return place if "maven" in PINS[name] else place / name


class ProgramRecord:
    """Writes what was run with which program, an entry each, to ``RECORD``.

    An entry has the program's name and version, the tests by their names, the result
    (``passed``, ``failed`` or ``skipped``) and the day.
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Workers send a test's properties along with its result."""
        if mark := item.get_closest_marker(_MARK):
            item.user_properties.append((_MARK, list(mark.args)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        match: Any = dict(report.user_properties).get(_MARK)
        if match is None or (report.when != "call" and report.passed):
            return
        name, version = match
        entry = self._found.setdefault(
            name, {"version": version, "checked": set(), "outcomes": set()}
        )
        test = report.nodeid.rpartition("::")[2].partition("[")[0]
        entry["checked"].add(test.removeprefix("test_").replace("_", " "))
        entry["outcomes"].add(report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._found or hasattr(session.config, "workerinput"):
            return
        for name, entry in self._found.items():
            outcomes = entry["outcomes"]
            worst = next(o for o in ("failed", "passed", "skipped") if o in outcomes)
            keep(
                name,
                RECORD,
                version=entry["version"],
                checked=sorted(entry["checked"]),
                result=worst,
            )
