"""Fakes that the federation's unit tests share."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest


@dataclass
class SteppedClock:
    """A clock that moves when it is told to."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def step(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SteppedClock:
    """Begins now, since tokens of the issuer factory do."""
    return SteppedClock(datetime.now(UTC))
