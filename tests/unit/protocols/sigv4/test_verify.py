"""Scope and time: the recorded texts and the exact edges."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from broker.protocols.sigv4 import (
    SignatureReason,
    SignedRequest,
    SigV4Rejected,
    verify_scope,
    verify_time,
)
from tests.support.rows import rows

AT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
SIGNED = SignedRequest(
    algorithm="AWS4-HMAC-SHA256",
    access_key_id="AKIARZPUZDIKAAAACAQD",
    date="20240506",
    region="eu-west-3",
    service="sts",
    terminator="aws4_request",
    session_token=None,
    signed_headers=("host",),
    signature="0",
    presigned=False,
    timestamp="20240506T070809Z",
    signed_at=AT,
    expires_seconds=None,
    content_sha256=None,
    canonical_head=b"",
)
REGION = "Credential should be scoped to a valid region. "
SERVICE = "Credential should be scoped to correct service: 'sts'. "
TERMINATOR = (
    "Credential should be scoped with a valid terminator: 'aws4_request', not 'x'. "
)
DATE = (
    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date "
    "from HTTP: '20240507' != '20240506', from '20240506T070809Z'."
)


@rows("change, text")
def test_every_wrong_part_of_the_scope_is_named_in_order(
    change: dict[str, str], text: str
) -> None:
    signed = replace(SIGNED, **change)
    with pytest.raises(SigV4Rejected) as refused:
        verify_scope(signed, regions=frozenset({"eu-west-3"}), service="sts")
    assert refused.value.message == text
    assert refused.value.reason is SignatureReason.SCOPE


def test_a_configured_region_is_accepted() -> None:
    verify_scope(SIGNED, regions=frozenset({"eu-west-3"}), service="sts")


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1", "lab"])
def test_without_a_list_every_well_formed_region_is_accepted(region: str) -> None:
    verify_scope(replace(SIGNED, region=region), regions=None, service="sts")


@pytest.mark.parametrize("region", ["", "*", "us_east", "us-", "a" * 65, "é", "a\n"])
def test_without_a_list_a_malformed_region_is_still_refused(region: str) -> None:
    with pytest.raises(SigV4Rejected):
        verify_scope(replace(SIGNED, region=region), regions=None, service="sts")


@pytest.mark.parametrize("seconds", [-300, 0, 300, 300.9])
def test_a_clock_may_be_five_minutes_off(seconds: float) -> None:
    verify_time(SIGNED, now=AT + timedelta(seconds=seconds))


def test_an_old_signature_is_told_the_window() -> None:
    with pytest.raises(SigV4Rejected) as refused:
        verify_time(SIGNED, now=AT + timedelta(seconds=301))
    assert refused.value.reason is SignatureReason.TIME
    assert refused.value.message == (
        "Signature expired: 20240506T070809Z is now earlier than 20240506T070810Z "
        "(20240506T071310Z - 5 min.)"
    )


def test_a_signature_from_the_future_is_told_the_window() -> None:
    with pytest.raises(SigV4Rejected) as refused:
        verify_time(SIGNED, now=AT - timedelta(seconds=301))
    assert refused.value.message == (
        "Signature not yet current: 20240506T070809Z is still later than "
        "20240506T070808Z (20240506T070308Z + 5 min.)"
    )


@pytest.mark.parametrize(
    ("expires", "minimum", "lifetime"),
    [(60, 0, 60), (60, 900, 900), (3600, 900, 3600), (None, 0, 300), (None, 900, 900)],
)
def test_a_url_holds_for_the_longer_of_its_lifetime_and_the_minimum(
    expires: int | None, minimum: int, lifetime: int
) -> None:
    url = replace(SIGNED, presigned=True, expires_seconds=expires)
    last = AT + timedelta(seconds=lifetime)
    verify_time(url, now=last, minimum_presigned_seconds=minimum)
    with pytest.raises(SigV4Rejected, match="Signature expired"):
        verify_time(
            url, now=last + timedelta(seconds=1), minimum_presigned_seconds=minimum
        )


def test_the_minimum_of_urls_does_not_stretch_the_header_form() -> None:
    with pytest.raises(SigV4Rejected):
        verify_time(
            SIGNED, now=AT + timedelta(seconds=301), minimum_presigned_seconds=900
        )


def test_a_url_from_the_future_is_refused() -> None:
    url = replace(SIGNED, presigned=True, expires_seconds=604_800)
    with pytest.raises(SigV4Rejected, match="not yet current"):
        verify_time(url, now=AT - timedelta(seconds=301))
