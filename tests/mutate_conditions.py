# ruff: noqa: T201  # a program for the terminal
"""Negates one condition at a time where the broker decides; a test must turn red.

``python -m tests.mutate_conditions [room …] [--sample N] [--seed SEED]`` takes a random
sample of the conditions (of ``if``, ``while``, comprehensions and conditional
expressions) in the rooms named, negates each by itself, and runs the room's tests on
it; what they let live then meets the tests of everything in front of the room. It
prints the survivors and how many were killed. Each mutant lives in a forked child
only; no file is changed.
"""

import argparse
import ast
import os
import random
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.mutate_checks import Swap, is_killed
from tests.support.mutants import ROOT

BROKER = ROOT / "broker"
ROOMS = {
    "pipeline": ("tests/unit/test_pipeline.py", "tests/unit/audit"),
    "authn": ("tests/unit/authn", "tests/attacks/test_sigv4.py"),
    "authz": ("tests/unit/authz", "tests/authorization/test_table.py"),
    "federation": ("tests/unit/federation", "tests/unit/authn"),
    "policy": ("tests/decisions/test_decisions.py", "tests/unit/policy"),
    "sessions": ("tests/unit/sessions",),
}
IN_FRONT = (
    *("tests/unit/actions", "tests/unit/administration", "tests/unit/console"),
    *("tests/unit/cli", "tests/wire", "tests/attacks", "tests/authorization"),
    "tests/scenarios/test_exchange.py",
)
"""In this process, but for the last."""

IN_FRONT_CPU_SECONDS = 900


def conditions(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        match node:
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                if not isinstance(test, ast.Constant):
                    yield test
            case ast.comprehension(ifs=ifs):
                yield from ifs


def negated(path: Path, number: int) -> tuple[str, ast.Module]:
    """The module with that condition negated, and what to call it."""
    tree = ast.parse(path.read_text())
    found = list(conditions(tree))[number]
    label = f"{path.relative_to(ROOT)}:{found.lineno}: not ({ast.unparse(found)[:100]})"
    mutant = Swap(found, ast.UnaryOp(ast.Not(), found)).visit(tree)
    assert isinstance(mutant, ast.Module)
    return label, ast.fix_missing_locations(mutant)


def modules(room: str) -> list[Path]:
    folder = BROKER / room
    return sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []], default=[])
    parser.add_argument("--sample", type=int, default=22)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    given = parser.parse_args()
    os.chdir(ROOT)
    places = [
        (room, path, number)
        for room in given.rooms or ROOMS
        for path in modules(room)
        for number in range(len(list(conditions(ast.parse(path.read_text())))))
    ]
    chance = random.Random(given.seed)
    sample = chance.sample(places, min(given.sample, len(places)))
    print("seed", given.seed, "of", len(places), "conditions", flush=True)
    nothing = ast.parse("")
    for room in {room for room, _, _ in sample}:
        if is_killed(BROKER / "nothing.py", nothing, ROOMS[room]):
            sys.exit(f"The tests of {room} fail without a mutant; run them first.")
    survivors = 0
    for room, path, number in sample:
        label, tree = negated(path, number)
        killed = is_killed(path, tree, ROOMS[room]) or is_killed(
            path, tree, IN_FRONT, cpu_seconds=IN_FRONT_CPU_SECONDS
        )
        survivors += not killed
        print("killed   " if killed else "survived ", label, flush=True)
    print(f"killed {len(sample) - survivors} of {len(sample)} negated conditions")


if __name__ == "__main__":
    main()
