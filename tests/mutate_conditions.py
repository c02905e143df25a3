# ruff: noqa: T201  # a program for the terminal
"""Negates one condition of the broker at a time; a test must turn red.

``python -m tests.mutate_conditions --record [TESTS …]`` runs the tests (all of ``make
test``) and writes which of them meet which conditions (of ``if``, ``while``,
comprehensions and conditional expressions), also in the processes that they start.
``python -m tests.mutate_conditions [package …] [--sample N] [--seed SEED]`` takes a
random sample of the conditions in the packages named, negates each by itself, and runs
the tests that met it. It prints which were killed, the survivors and how many tests
each had. It records first if nothing is recorded. A condition met only in a process
whose test gives it an environment of its own, and does not fork it, counts as not met.
"""

import argparse
import ast
import builtins
import importlib
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import mutate_checks
from tests.support import mutants
from tests.support.evidence import keep
from tests.support.mutants import BROKER, MET, NEGATED, ROOT, WORKER

RECORD = ROOT / "artefacts" / "conditions.jsonl"
CPU_SECONDS = 900
SECONDS = 300
"""At most for the tests of one condition, by what they took when they were recorded."""


class Recorder:
    """A plugin of pytest: writes a test's name, its seconds and what it met."""

    def __init__(self) -> None:
        folder = Path(os.environ[MET])
        self._met = mutants.record_conditions(folder)
        self._lines = (folder / f"{os.environ[WORKER]}.jsonl").open("w", buffering=1)

    def pytest_runtest_logstart(self) -> None:
        self._started, self._failed = time.monotonic(), False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        met = [number for number, byte in enumerate(self._met[:]) if byte]
        self._met[:] = bytes(len(self._met))
        seconds = round(time.monotonic() - self._started, 2)
        if not self._failed:
            self._lines.write(json.dumps([nodeid, seconds, met]) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """In the workers of a run with ``-p tests.mutate_conditions``."""
    if WORKER in os.environ:
        config.pluginmanager.register(Recorder())


def run(folder: Path, *words: str, **variables: str) -> str:
    """What pytest prints."""
    options = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *words],
        env=mutants.environment(folder, **variables),
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    ).stdout


def modules() -> list[Path]:
    generated = set((BROKER / "actions" / "types").glob("*.py"))
    return sorted(set(BROKER.rglob("*.py")) - generated)


def texts(path: Path) -> list[str]:
    """The module's conditions, as long as other lines change only."""
    name = path.relative_to(ROOT)
    exprs = mutants.conditions(ast.parse(path.read_text()))
    return [f"{name}: {ast.unparse(each)}" for each in exprs]


def record(tests: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        firsts, names = {}, list[str]()
        for path in modules():
            firsts[str(path)] = len(names)
            names += texts(path)
        (folder / "firsts.json").write_text(json.dumps({**firsts, "": len(names)}))
        words = ("-n", "2", "--dist", "loadfile", "-p", "tests.mutate_conditions")
        print(run(folder, *words, *tests, **{MET: name}).splitlines()[-1])
        lines = [each.read_text() for each in folder.glob("*.jsonl")]
        RECORD.parent.mkdir(exist_ok=True)
        RECORD.write_text("".join([json.dumps(names) + "\n", *lines]))


def find_tests(sample: Sequence[str]) -> dict[str, list[str]]:
    """The tests that met each: the module's own first, then the quickest."""
    results: dict[str, list[tuple[bool, float, str]]] = {text: [] for text in sample}
    with RECORD.open() as file:
        numbers = dict(enumerate(json.loads(next(file))))
        for line in file:
            test, seconds, met = json.loads(line)
            for text in results.keys() & {numbers[number] for number in met}:
                module = Path(text.partition(":")[0])
                results[text].append((f"test_{module.name}" not in test, seconds, test))
    chosen = {}
    for text, tests in results.items():
        left = float(SECONDS)
        chosen[text] = [
            test for _, seconds, test in sorted(tests) if (left := left - seconds) > 0
        ]
    return chosen


def import_negatable(sample: Sequence[tuple[Path, int]]) -> None:
    """Imports the broker for all children; ``__negated__`` says what is negated."""
    builtins.__dict__["__negated__"] = ""
    trees = {path: ast.parse(path.read_text()) for path, _ in sample}
    for path, tree in trees.items():
        changes = {}
        for number, expr in enumerate(mutants.conditions(tree)):
            if (path, number) in sample:
                which = ast.parse(f"__negated__ == {f'{path}:{number}'!r}", mode="eval")
                negated = ast.UnaryOp(ast.Not(), expr)
                changes[expr] = ast.IfExp(which.body, negated, expr)
        mutants.Swap(changes).visit(tree)
    sys.meta_path.insert(0, mutants.MutantLoader(trees.get))
    importlib.import_module("broker.compose.app")


def is_killed(which: str, tests: Sequence[str]) -> bool:
    def negate() -> None:
        sys.modules["__main__"] = types.ModuleType("__main__")  # or forks import it
        builtins.__dict__["__negated__"] = which
        os.environ.update(mutants.environment(folder, **{NEGATED: which}))

    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Two files are soon collected, and mostly enough.
        return any(
            mutate_checks.is_killed(
                {},
                [test for test in tests if test.partition("::")[0] in some],
                cpu_seconds=CPU_SECONDS,
                first=negate,
            )
            for some in (files[:2], files[2:])
            if some
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="package or test")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--sample", type=int, default=22)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    namespace = parser.parse_args()
    os.chdir(ROOT)
    if namespace.record or not RECORD.exists():
        record(namespace.words if namespace.record else ())
    if namespace.record:
        return
    places = [
        (path, number, text)
        for path in modules()
        if not namespace.words or path.relative_to(BROKER).parts[0] in namespace.words
        for number, text in enumerate(texts(path))
    ]
    chance = random.Random(namespace.seed)
    sample = chance.sample(places, min(namespace.sample, len(places)))
    print("seed", namespace.seed, "of", len(places), "conditions", flush=True)
    chosen = find_tests([text for _, _, text in sample])
    import_negatable([(path, number) for path, number, _ in sample])
    killed = 0
    for path, number, text in sample:
        tests = chosen[text]
        survived = not is_killed(f"{path}:{number}", tests)
        killed += not survived
        print(
            f"survived  {text} ({len(tests)} tests)"
            if survived
            else f"killed    {text}",
            flush=True,
        )
    print(f"killed {killed} of {len(sample)} negated conditions")
    keep("mutate_conditions", tried=len(sample), killed=killed, of=len(places))


if __name__ == "__main__":
    main()
