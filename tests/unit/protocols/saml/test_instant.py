"""Instants as SAML writes them."""

from datetime import UTC, datetime

import pytest

from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.texts import parse_instant
from tests.support.rows import rows


@rows("text, micros")
def test_utc_instants_are_read_to_the_microsecond(text: str, micros: int) -> None:
    assert parse_instant(text, "x") == datetime(2026, 3, 1, 12, 0, 0, micros, UTC)


@rows("text")
def test_anything_else_is_refused(text: str | None) -> None:
    with pytest.raises(SamlRejected) as refusal:
        parse_instant(text, "x")
    assert refusal.value.reason is SamlReason.TIMESTAMP
