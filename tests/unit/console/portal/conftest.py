import pytest

from broker.actions.portal import assignment_search


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine decides about no fewer roles."""
    monkeypatch.setattr(assignment_search, "_SECONDS_MAX", 60)
