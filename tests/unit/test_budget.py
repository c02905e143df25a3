"""Calls cost no more Python than `benchmarks/budget.toml` allows."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SLACK = 0.04
_NOISE = 0.01
"""What a late timer or a full cache adds on a busy machine."""
_OTHER_INTERPRETERS = 1.3
"""Byte codes are those of Python 3.11; others have more of them, or fewer."""


@pytest.mark.timeout(600)
def test_calls_are_within_the_budget() -> None:
    bounds = tomllib.loads((ROOT / "benchmarks" / "budget.toml").read_text("utf-8"))
    command = [sys.executable, "-P", "-m", "benchmarks.budget"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    )
    counts = json.loads(done.stdout)
    # Of times, `make bench` says how they stand to theirs: processors differ.
    bounds = {name: b for name, b in bounds.items() if not name.endswith("_time")}
    assert counts.keys() == bounds.keys()
    if sys.version_info[:2] != (3, 11):
        bounds = {name: b * _OTHER_INTERPRETERS for name, b in bounds.items()}
        assert {n: c for n, c in counts.items() if c > bounds[n]} == {}
        return
    beyond = {
        name: (count, bounds[name])
        for name, count in counts.items()
        if not bounds[name] * (1 - _SLACK) - 10 <= count <= bounds[name] * (1 + _NOISE)
    }
    assert beyond == {}, "above a bound, or so far below that it is to be lowered"
