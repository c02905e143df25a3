"""The broker's time on machines whose clocks are set, and that sleep."""

import time
from datetime import UTC, datetime

import pytest

from broker.agent import broker_api as module
from broker.agent.broker_api import BrokerClock, count_seconds

AT = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
HOUR = 3600


class Machine:
    """Its own time of day, and the seconds that it counted."""

    def __init__(self) -> None:
        self.shown, self.counted = AT, 100.0

    def live(self, seconds: float) -> None:
        self.shown += seconds
        self.counted += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(time, "time", lambda: made.shown)
    monkeypatch.setattr(module, "count_seconds", lambda: made.counted)
    return made


def seconds(clock: BrokerClock) -> float:
    return clock.now().timestamp() - AT


def test_before_any_answer_the_machines_clock_counts(machine: Machine) -> None:
    clock = BrokerClock()
    machine.live(5)
    assert seconds(clock) == 5


@pytest.mark.parametrize("wrong", [-3 * HOUR, 0, 20, 3 * HOUR])
def test_a_clock_that_is_set_turns_no_time_back(machine: Machine, wrong: float) -> None:
    clock = BrokerClock()
    machine.shown += wrong
    clock.note(AT)
    near = wrong if abs(wrong) <= module.CLOCK_SECONDS else 0
    assert seconds(clock) == near
    machine.live(HOUR)
    machine.shown -= 3 * HOUR
    assert seconds(clock) == HOUR + near
    machine.live(HOUR)
    assert seconds(clock) == 2 * HOUR + near


def test_a_clock_that_is_set_forward_ends_what_expires_by_it(machine: Machine) -> None:
    """A machine that a snapshot stopped counts nothing, until its clock is set."""
    clock = BrokerClock()
    clock.note(AT)
    machine.shown += 3 * HOUR
    assert seconds(clock) == 3 * HOUR


def test_the_next_answer_counts(machine: Machine) -> None:
    clock = BrokerClock()
    clock.note(AT + 3 * HOUR)
    machine.live(HOUR)
    clock.note(AT + HOUR)
    assert clock.offset_seconds == 0
    assert seconds(clock) == HOUR


def test_the_counter_goes_on() -> None:
    assert count_seconds() <= count_seconds()
