"""Instants as SAML writes them."""

from datetime import UTC, datetime

import pytest

from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.texts import parse_instant


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-03-01T12:00:00Z", 0),
        ("2026-03-01T12:00:00.5Z", 500_000),
        ("2026-03-01T12:00:00.123Z", 123_000),
        ("2026-03-01T12:00:00.1234567Z", 123_456),
        ("2026-03-01T12:00:00.123456789Z", 123_456),
    ],
)
def test_utc_instants_are_read_to_the_microsecond(text: str, micros: int) -> None:
    assert parse_instant(text, "x") == datetime(2026, 3, 1, 12, 0, 0, micros, UTC)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00:00+01:00",
        "2026-03-01 12:00:00Z",
        "2026-03-01T12:00:00z",
        "2026-03-01T12:00:00Z\n",
        " 2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-13-01T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:60Z",
        "-2026-03-01T12:00:00Z",
        "20260-03-01T12:00:00Z",
        "٢٠٢٦-03-01T12:00:00Z",
        "now",
    ],
)
def test_anything_else_is_refused(text: str | None) -> None:
    with pytest.raises(SamlRejected) as refusal:
        parse_instant(text, "x")
    assert refusal.value.reason is SamlReason.TIMESTAMP
