from datetime import UTC, datetime, timedelta

import pytest

from broker.model.revocation import Revocation
from broker.sessions.revoke import (
    revoke_issued_before,
    revoke_key_id,
    revoke_session,
)
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.port import DirectoryChange
from tests.unit.sessions.conftest import ACCOUNT

NOW = datetime(2026, 9, 11, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


class Written:
    """A change that keeps what it is told to revoke."""

    def __init__(self) -> None:
        self.revocations: list[Revocation] = []

    async def revoke(self, revocation: Revocation) -> None:
        self.revocations.append(revocation)


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def change(written: Written) -> DirectoryChange:
    return written


async def test_a_mark_lies_at_the_time_of_the_revocation(
    change: DirectoryChange, written: Written
) -> None:
    await revoke_issued_before(
        change, account=ACCOUNT, target="AROAX", now=NOW, reason="r"
    )
    [revocation] = written.revocations
    assert revocation.not_before_ms == NOW_MS + 1
    assert revocation.reason == "r"


async def test_a_mark_outlives_the_longest_session(
    change: DirectoryChange, written: Written
) -> None:
    await revoke_issued_before(change, account=ACCOUNT, target="AROAX", now=NOW)
    assert written.revocations[0].expires_at > NOW + timedelta(hours=36, minutes=2)


@pytest.mark.parametrize("known", [True, False])
async def test_a_single_revocation_outlives_all_that_came_from_its_session(
    change: DirectoryChange, written: Written, known: bool
) -> None:
    if known:
        long_over = SessionRecord(
            access_key_id="ASIAX",
            account=ACCOUNT,
            kind="AssumeRole",
            principal_arn="arn",
            principal_id="AROAX",
            issued_at_ms=NOW_MS - 90_000_000,
            expires_at=NOW_MS // 1000 - 3600,
        )
        await revoke_session(change, long_over, now=NOW)
    else:
        await revoke_key_id(change, account=ACCOUNT, access_key_id="ASIAX", now=NOW)
    [revocation] = written.revocations
    assert revocation.not_before_ms is None
    assert revocation.expires_at > NOW + timedelta(hours=36, minutes=2)
