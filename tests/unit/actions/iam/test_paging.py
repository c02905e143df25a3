"""Markers of lists that are read whole."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.actions.iam.paging import cut
from broker.actions.models import load_service_model
from broker.errors import ValidationError
from broker.model.page import PageRequest
from tests.conformance.query import examples
from tests.support.iam import Iam


@given(
    st.sets(st.text(min_size=1, max_size=300), max_size=12),
    st.integers(min_value=1, max_value=5),
)
def test_pages_list_each_item_once_in_order(keys: set[str], size: int) -> None:
    results: list[str] = []
    request = PageRequest(None, size)
    while True:
        page = cut(list(keys), str, request)
        results += page.items
        if page.marker is None:
            break
        assert len(page.marker) <= 320
        assert page.marker.isascii()
        request = PageRequest(page.marker, size)
    assert results == sorted(keys)


def test_a_marker_of_a_deleted_item_goes_on_where_it_stood() -> None:
    page = cut(["a", "b", "c", "d"], str, PageRequest(None, 2))
    rest = cut(["a", "bb", "c", "d"], str, PageRequest(page.marker, 9))
    assert rest.items == ("bb", "c", "d")


@pytest.mark.parametrize("marker", ["", "x", "é", "AAAA", "?" * 40])
def test_another_marker_is_refused(marker: str) -> None:
    with pytest.raises(ValidationError, match="Invalid Marker"):
        cut(["a"], str, PageRequest(marker, 1))


IAM = cast("Any", load_service_model("iam"))
PAGINATED = sorted(
    name
    for name, operation in IAM["operations"].items()
    if "input" in operation
    and "Marker" in IAM["shapes"][operation["input"]["shape"]]["members"]
    and name != "ListDelegationRequests"  # never has a second page
)


@pytest.mark.parametrize("operation", [n for n in PAGINATED if n != "ListUsers"])
async def test_the_marker_of_another_operation_is_refused(
    iam: Iam, operation: str
) -> None:
    for name in ("ann", "bob"):
        await iam("CreateUser", UserName=name)
    marker = (await iam("ListUsers", MaxItems=1))["Marker"]
    assert (await iam("ListUsers", Marker=marker))["Users"][0]["UserName"] == "bob"
    shape = IAM["operations"][operation]["input"]["shape"]
    asked = examples.structure(IAM["shapes"], shape, full=False)
    with pytest.raises(ValidationError, match="Invalid Marker"):
        await iam(operation, **asked, Marker=marker)


async def test_a_list_takes_its_own_markers_only(iam: Iam) -> None:
    for text in ("YW5u", "ann", "x" * 320):
        with pytest.raises(ValidationError, match="Invalid Marker"):
            await iam("ListUsers", Marker=text)
