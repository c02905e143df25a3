import pytest

from broker.actions.portal import assignments


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine decides about no fewer roles."""
    monkeypatch.setattr(assignments, "_SECONDS_MAX", 60)
