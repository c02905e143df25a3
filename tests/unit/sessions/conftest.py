from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.model.account import AccountId
from broker.model.session import Session, SessionKind
from broker.sessions.keyring import Keyring, create_keyring

ACCOUNT = AccountId("123456789012")
SALT = bytes(range(32))
START = datetime(2026, 9, 11, 12, 0, 0, 250_000, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._seconds = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def move(self, seconds: float) -> None:
        self._seconds += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def keyring(tmp_path: Path, clock: FakeClock) -> Keyring:
    return create_keyring(tmp_path / "keyring.json", clock)


@pytest.fixture
def session() -> Session:
    return Session(
        access_key_id="ASIARZPUZDIKAAAACAQD",
        account=ACCOUNT,
        kind=SessionKind.WEB_IDENTITY,
        principal_id="AROAABCDEFGHIJKLMNOPQ",
        name="app-session",
        issued_at_ms=int(START.timestamp() * 1000),
        expires_at=int(START.timestamp()) + 3600,
        provider_arn="arn:aws:iam::123456789012:oidc-provider/idp.example.com",
        provider_id="OIDCPABCDEFGHIJKLMNOP",
        identity_context={"idp.example.com:sub": ("alice",)},
        tags={"Team": "blue"},
        transitive_keys=frozenset({"Team"}),
    )


@pytest.fixture
def account_id() -> AccountId:
    return ACCOUNT


@pytest.fixture
def salt() -> bytes:
    return SALT


@pytest.fixture
def counting() -> Callable[[int], bytes]:
    """Bytes that differ from call to call and are the same in every run."""
    calls = iter(range(1, 250))
    return lambda count: bytes([next(calls)]) * count
