"""A test of rows tries them all, and fails with each that failed."""

import pytest

from tests.support import rows as support
from tests.support.rows import cases, of_file, rows


@rows("number,expected", [(1, 1), (2, 3), (4, 5), (6, 6)], ids=["a", "b", "bc", "d"])
def compare(number: int, expected: int) -> None:
    assert number == expected


@pytest.mark.parametrize(
    ("wanted", "failed"),
    [("", ["row: b", "row: bc"]), ("b", ["row: b", "row: bc"]), ("c", ["row: bc"])],
)
def test_each_row_that_fails_is_shown(
    monkeypatch: pytest.MonkeyPatch, wanted: str, failed: list[str]
) -> None:
    monkeypatch.setattr(support, "wanted", wanted)
    with pytest.raises(BaseExceptionGroup) as raised:
        compare()
    assert [note for e in raised.value.exceptions for note in e.__notes__] == failed


def test_a_run_without_matching_rows_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(support, "wanted", "x")
    with pytest.raises(pytest.skip.Exception):
        compare()


@cases("read, expected")
def test_a_row_of_the_file_is_read_as_the_module_means_it(
    read: object, expected: str
) -> None:
    assert repr(read) == expected
    assert of_file(__file__, "names", {"support": support}) == [support.rows]
