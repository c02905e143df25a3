"""Markers of lists that are read whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.actions.iam.paging import cut
from broker.errors import ValidationError
from broker.model.page import PageRequest


@given(
    st.sets(st.text(min_size=1, max_size=300), max_size=12),
    st.integers(min_value=1, max_value=5),
)
def test_pages_list_each_item_once_in_order(keys: set[str], size: int) -> None:
    found: list[str] = []
    request = PageRequest(None, size)
    while True:
        page = cut(list(keys), str, request)
        found += page.items
        if page.marker is None:
            break
        assert len(page.marker) <= 320
        assert page.marker.isascii()
        request = PageRequest(page.marker, size)
    assert found == sorted(keys)


def test_a_marker_of_a_deleted_item_goes_on_where_it_stood() -> None:
    page = cut(["a", "b", "c", "d"], str, PageRequest(None, 2))
    rest = cut(["a", "bb", "c", "d"], str, PageRequest(page.marker, 9))
    assert rest.items == ("bb", "c", "d")


@pytest.mark.parametrize("marker", ["", "x", "é", "AAAA", "?" * 40])
def test_another_marker_is_refused(marker: str) -> None:
    with pytest.raises(ValidationError, match="Invalid Marker"):
        cut(["a"], str, PageRequest(marker, 1))
