"""Consoles of upstreams: how long their sessions may last."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from msgspec import structs

from broker.console.upstream_console import UpstreamSession
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.lineage import Ancestor, Lineage
from broker.model.upstream import UpstreamOrigin
from broker.stores.cache.port import SessionRecord

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ACCOUNT = AccountId("111122223333")
ROLE = Role(
    account=ACCOUNT,
    role_id="AROAREADONLY",
    name="ReadOnly",
    path="/",
    trust_policy="{}",
    created_at=NOW,
    max_session_duration_seconds=7200,
)


def session(ends_by: int | None = None, made_from: str = "") -> UpstreamSession:
    """A session of the role, made from one of this principal."""
    ancestor = Ancestor(
        account=ACCOUNT,
        mint_id="m",
        access_key_id="ASIA1",
        principal_id=made_from,
        issued_at_ms=1,
    )
    record = SessionRecord(
        access_key_id="ASIATHERE",
        account=ACCOUNT,
        kind="AssumeRole",
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/ReadOnly/alice",
        principal_id=ROLE.role_id,
        issued_at_ms=int(NOW.timestamp() * 1000),
        expires_at=int(NOW.timestamp()) + 3600,
        upstream=UpstreamOrigin(name="aws", endpoint="https://x", ends_by=ends_by),
    )
    if made_from:
        lineage = Lineage(origin=record.lineage.origin, ancestors=(ancestor,))
        record = structs.replace(record, lineage=lineage)
    return UpstreamSession(ROLE, cast("Any", None), record)


@pytest.mark.parametrize(
    ("requested", "minutes_left", "seconds"),
    [(900, None, 900), (43_200, None, 7200), (43_200, 60, 3600), (1800, 60, 1800)],
)
def test_a_console_session_lasts_no_longer_than_here(
    requested: int, minutes_left: int | None, seconds: int
) -> None:
    """Not beyond the role's maximum, nor beyond the end of the sign-in."""
    ends_by = minutes_left and int(NOW.timestamp()) + 60 * minutes_left
    upstream_session = session(ends_by, "AIDAALICE")
    assert upstream_session.console_seconds(requested, NOW) == seconds


@pytest.mark.parametrize(
    ("requested", "made_from"), [(899, ""), (43_201, ""), (900, "AROAANOTHER")]
)
def test_what_a_console_session_may_not_request(requested: int, made_from: str) -> None:
    with pytest.raises(ValidationError):
        session(made_from=made_from).console_seconds(requested, NOW)
