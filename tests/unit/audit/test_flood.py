from datetime import UTC, datetime, timedelta

from broker.audit.flood import (
    COUNTS_MAX,
    NAMED_MAX,
    SOURCES_MAX,
    Failure,
    FailureCounter,
)
from broker.model.account import AccountId

AT = datetime(2026, 7, 27, 12, tzinfo=UTC)
DOOR = "decisions", None
FAILURE = Failure("192.0.2.1", AccountId("111111111111"), "refused")


def admit(counter: FailureCounter, failure: Failure, now: float) -> bool:
    return counter.admit(failure, DOOR, f"id-{now}", AT, now)


def counts(counter: FailureCounter, now: float) -> list[tuple[Failure, int]]:
    return [(burst.failure, burst.count) for burst in counter.drain(now)]


def test_a_source_is_recorded_in_full_up_to_its_rate() -> None:
    counter = FailureCounter(per_second=3)
    admitted = [admit(counter, FAILURE, 10.0) for _ in range(5)]
    assert admitted == [True] * 3 + [False] * 2
    assert admit(counter, Failure("192.0.2.2"), 10.5)


def test_the_rest_comes_back_as_a_count_when_the_second_is_over() -> None:
    counter = FailureCounter(per_second=3)
    for _ in range(5):
        admit(counter, FAILURE, 10.0)
    assert counts(counter, 10.9) == []
    assert counts(counter, 11.0) == [(FAILURE, 2)]
    assert counts(counter, 12.0) == []


def test_a_count_knows_its_account_its_outcome_its_times_and_its_requests() -> None:
    counter = FailureCounter(per_second=0)
    other = Failure(FAILURE.source, None, "error")
    for number in range(NAMED_MAX + 5):
        at = AT + timedelta(milliseconds=number)
        counter.admit(FAILURE, DOOR, f"one-{number}", at, 10.0)
    counter.admit(other, DOOR, "other", AT, 10.0)
    burst, last = counter.drain(11.0)
    assert (burst.failure, burst.count) == (FAILURE, NAMED_MAX + 5)
    assert burst.request_ids == [f"one-{number}" for number in range(NAMED_MAX)]
    assert (burst.first, burst.last) == (AT, AT + timedelta(milliseconds=NAMED_MAX + 4))
    assert (last.failure, last.request_ids) == (other, ["other"])


def test_a_new_second_begins_again() -> None:
    counter = FailureCounter(per_second=1)
    assert admit(counter, FAILURE, 10.0)
    list(counter.drain(11.0))
    assert admit(counter, FAILURE, 11.0)


def test_too_many_sources_share_one_count() -> None:
    counter = FailureCounter(per_second=1, per_minute=2 * SOURCES_MAX)
    for number in range(SOURCES_MAX):
        admit(counter, Failure(str(number)), 10.0)
    assert admit(counter, Failure("one more"), 10.0)
    assert not admit(counter, Failure("and another"), 10.0)
    assert counts(counter, 11.0) == [(Failure("other addresses"), 1)]


def test_too_many_accounts_share_one_count() -> None:
    counter = FailureCounter(per_second=0)
    for number in range(COUNTS_MAX + 2):
        admit(counter, Failure("a", AccountId(f"{number:012}")), 10.0)
    *_, (failure, count) = counts(counter, 11.0)
    assert (failure, count) == (Failure("other addresses"), 2)


def test_all_sources_of_a_door_share_a_rate() -> None:
    counter = FailureCounter(per_minute=3)
    at_door = [admit(counter, Failure(str(number)), 60.0) for number in range(5)]
    assert at_door == [True] * 3 + [False] * 2
    assert counter.admit(Failure("5"), ("api", None), "id", AT, 60.0)
    list(counter.drain(119.0))
    assert not admit(counter, Failure("6"), 119.0)
    assert admit(counter, Failure("6"), 120.0)
