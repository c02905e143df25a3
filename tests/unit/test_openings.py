"""What the openings of `broker` and of its rooms say is there."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROKER = ROOT / "broker"
ROOMS = sorted(path.parent for path in BROKER.glob("*/__init__.py"))
NAME = re.compile(r"(?<!`)`([A-Za-z_.]+)`(?!`)")
LISTED = re.compile(r"^    (\w+)  ", re.MULTILINE)


def opening_of(room: Path) -> str:
    _, text, _ = (room / "__init__.py").read_text().split('"""', 2)
    return text


def stands(name: str, room: Path) -> bool:
    """A module, folder or export of the room, or a module by its whole name."""
    if f'"{name}",' in (room / "__init__.py").read_text().replace("]", ","):
        return True
    path = ROOT.joinpath(*name.split(".")) if "." in name else room / name
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("room", [BROKER, *ROOMS], ids=lambda room: room.name)
def test_what_an_opening_names_is_there(room: Path) -> None:
    text = opening_of(room)
    names = [*NAME.findall(text), *LISTED.findall(text)]
    assert names
    assert [name for name in names if not stands(name, room)] == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_an_opening_says_what_the_room_owns_and_leaves_to_others(room: Path) -> None:
    first, _, rest = opening_of(room).partition("\n")
    assert first.endswith((".", "?", ":", ",")) or rest
    assert rest.strip(), "only a first line"


def test_the_map_has_the_layers_in_their_order() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [c["layers"] for c in contracts if c["name"] == "calls go down"]
    levels = [set(re.findall(r"\w+", layer)) for layer in layers]
    text = opening_of(BROKER)
    listed, named = LISTED.findall(text), {*NAME.findall(text)}
    assert {*listed} | named == set().union(*levels)
    heights = [
        next(n for n, level in enumerate(levels) if room in level) for room in listed
    ]
    assert heights == sorted(heights)
