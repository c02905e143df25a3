"""Fakes that the federation's unit tests share."""

import pytest

from tests.support.clocks import SteppedClock


@pytest.fixture
def clock() -> SteppedClock:
    """Begins now, since tokens of the issuer factory do."""
    return SteppedClock()
