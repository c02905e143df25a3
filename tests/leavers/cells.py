"""What a cell of the table must be: dead, or alive for a reason that the page prints."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

BY_PROGRAMS = frozenset({"s3", "cli_login", "cli_sso_login"})
"""Places that nobody holds where their program does not run."""

_FILE = Path(__file__).with_name("kept.yaml")


@dataclass(frozen=True)
class Expected:
    """``reasons`` by their keys; ``on_purpose`` by way and place."""

    reasons: dict[str, str]
    on_purpose: dict[tuple[str, str], str]

    def lives(self, way: str, place: str) -> bool:
        return (way, place) in self.on_purpose


@cache
def expected() -> Expected:
    """What the file beside this module says."""
    data = yaml.safe_load(_FILE.read_text("utf-8"))
    on_purpose: dict[tuple[str, str], str] = {}
    for entry in data["on_purpose"]:
        for cell in _cells(entry):
            assert cell not in on_purpose, f"{cell} has two reasons"
            on_purpose[cell] = entry["why"]
    return Expected(data["reasons"], on_purpose)


def _cells(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [(way, place) for way in entry["ways"] for place in entry["places"]]


def find_faults(results: dict[str, dict[str, float | None]]) -> list[str]:
    """In words: what lives that should be dead, and what is dead that lives on purpose."""
    faults = []
    known = expected()
    for way, cells in results.items():
        for place, seconds in cells.items():
            cell = (way, place)
            if seconds is None and not known.lives(way, place):
                faults.append(f"{way}: {place} is alive")
            if seconds is not None and cell in known.on_purpose:
                why = known.on_purpose[cell]
                faults.append(f"{way}: {place} is dead, but lives on purpose: {why}")
    faults += [
        f"{way}: nobody holds {place}, which is listed as alive"
        for way, place in sorted(known.on_purpose)
        if way in results and place not in results[way] and place not in BY_PROGRAMS
    ]
    return faults
