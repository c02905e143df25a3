"""What the program calls a fault."""

from typing import Any

import pytest

from tests.leavers.cells import find_faults
from tests.leavers.places import PLACES
from tests.leavers.table import Held, Row
from tests.leavers.ways import WAYS

NO_WORLD: Any = None


@pytest.mark.parametrize(
    ("way", "place", "slack", "accepted", "is_late"),
    [
        ("user_deleted", "console", 1, 2.1, True),
        ("user_deleted", "console", 1, 1.9, False),
        ("user_deleted", "console", 30, 2.1, False),
        ("user_deleted", "role_a", 1, 2.1, False),  # lives on purpose
        ("ldap_deleted", "console", 1, 46.9, False),
        ("ldap_deleted", "console", 1, 47.1, True),
    ],
)
def test_a_use_that_is_accepted_after_the_promise_is_a_fault(
    way: str, place: str, slack: float, accepted: float, is_late: bool
) -> None:
    row = Row(NO_WORLD, WAYS[way], 5, slack)
    row._held[place] = Held(
        PLACES[place], lambda _: True, accepted_seconds=accepted, refused_seconds=60
    )
    assert len(row.find_late()) == is_late


def test_what_lives_and_should_not_or_is_dead_and_lives_on_purpose_is_a_fault() -> None:
    faults = find_faults({"user_deleted": {"console": None, "role_a": 0.1}})
    assert "user_deleted: console is alive" in faults
    assert any("role_a is dead, but lives on purpose" in fault for fault in faults)
    assert any("nobody holds role_b" in fault for fault in faults)
