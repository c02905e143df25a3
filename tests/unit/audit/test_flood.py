from broker.audit.flood import MAX_SOURCES, FailureCounter


def test_a_source_is_recorded_in_full_up_to_its_rate() -> None:
    counter = FailureCounter(per_second=3)
    assert [counter.admit("192.0.2.1", 10.0) for _ in range(5)] == [True] * 3 + [
        False
    ] * 2
    assert counter.admit("192.0.2.2", 10.5)


def test_the_rest_comes_back_as_a_count_when_the_second_is_over() -> None:
    counter = FailureCounter(per_second=3)
    for _ in range(5):
        counter.admit("192.0.2.1", 10.0)
    assert list(counter.drain(10.9)) == []
    assert list(counter.drain(11.0)) == [("192.0.2.1", 2)]
    assert list(counter.drain(12.0)) == []


def test_a_new_second_begins_anew() -> None:
    counter = FailureCounter(per_second=1)
    assert counter.admit("192.0.2.1", 10.0)
    list(counter.drain(11.0))
    assert counter.admit("192.0.2.1", 11.0)


def test_too_many_sources_share_one_count() -> None:
    counter = FailureCounter(per_second=1)
    for number in range(MAX_SOURCES):
        counter.admit(str(number), 10.0)
    assert counter.admit("one more", 10.0)
    assert not counter.admit("and another", 10.0)
    assert list(counter.drain(11.0)) == [("other addresses", 1)]
