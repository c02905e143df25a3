from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.errors import ExpiredFederationToken, ValidationError
from broker.model.session import SessionKind
from broker.sessions.limits import console_duration, session_duration
from tests.support.rows import rows

NOW = datetime(2026, 9, 11, 12, tzinfo=UTC)
ROLE_MAX = (
    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
)
CHAIN = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
LEAST = "1 validation error detected: Value '{}' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to {}"
MOST = "1 validation error detected: Value '{}' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to {}"

ROLE, SAML, WEB = SessionKind.ASSUME_ROLE, SessionKind.SAML, SessionKind.WEB_IDENTITY
FEDERATION, SESSION = SessionKind.FEDERATION_TOKEN, SessionKind.SESSION_TOKEN
ROOT = SessionKind.ROOT_TASK


def ends_in(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("kind", "requested", "circumstances", "seconds"),
    [
        (ROLE, None, {}, 3600),
        (ROLE, 900, {}, 900),
        (ROLE, 3600, {}, 3600),
        (ROLE, 43_200, {"role_max": 43_200}, 43_200),
        (ROLE, 3600, {"chained": True, "role_max": 43_200}, 3600),
        (ROLE, None, {"chained": True, "role_max": 43_200}, 3600),
        (WEB, None, {"role_max": 43_200}, 3600),
        (WEB, 7200, {"role_max": 7200}, 7200),
        (ROOT, None, {}, 900),
        (ROOT, 0, {}, 0),
        (FEDERATION, None, {}, 43_200),
        (FEDERATION, 129_600, {}, 129_600),
        (FEDERATION, None, {"is_root": True}, 3600),
        (FEDERATION, 129_600, {"is_root": True}, 3600),
        (FEDERATION, 900, {"is_root": True}, 900),
        (SESSION, None, {}, 43_200),
        (SESSION, None, {"is_root": True}, 3600),
        (SESSION, 7200, {"is_root": True}, 3600),
        # Recorded against AWS with a role maximum above 7200 s.
        (SAML, None, {"role_max": 43_200}, 3600),
        (SAML, None, {"role_max": 43_200, "saml_duration": 900}, 900),
        (SAML, None, {"role_max": 43_200, "saml_duration": 7200}, 3600),
        (SAML, 7200, {"role_max": 43_200}, 7200),
        (SAML, 7200, {"role_max": 43_200, "saml_duration": 900}, 7200),
        (SAML, None, {"session_ends_at": ends_in(600)}, 600),
        (SAML, 900, {"session_ends_at": ends_in(598.9)}, 598),
        (SAML, 900, {"session_ends_at": ends_in(901)}, 900),
    ],
)
def test_a_session_lasts_as_long_as_the_rules_say(
    kind: SessionKind,
    requested: int | None,
    circumstances: dict[str, Any],
    seconds: int,
) -> None:
    assert session_duration(kind, requested, now=NOW, **circumstances) == seconds


@rows("kind, requested, circumstances, text")
def test_a_longer_or_shorter_request_is_refused_in_awss_words(
    kind: SessionKind, requested: int, circumstances: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        session_duration(kind, requested, now=NOW, **circumstances)
    assert caught.value.message == text


@pytest.mark.parametrize("left", [0.9, 0, -1])
def test_a_proof_whose_session_is_over_gives_none(left: float) -> None:
    with pytest.raises(ExpiredFederationToken, match=r"^Response has expired$"):
        session_duration(SAML, None, now=NOW, session_ends_at=ends_in(left))
    with pytest.raises(ExpiredFederationToken, match=r"^Response has expired$"):
        console_duration(None, now=NOW, role_max=3600, session_ends_at=ends_in(left))


@pytest.mark.parametrize(
    ("requested", "role_max", "ends_at", "seconds"),
    [
        (None, 43_200, None, 3600),
        (43_200, 43_200, None, 43_200),
        (43_200, 7200, None, 7200),
        (900, 3600, None, 900),
        (3600, 3600, ends_in(600), 600),
    ],
)
def test_a_console_session_never_outlasts_role_and_provider(
    requested: int | None, role_max: int, ends_at: datetime | None, seconds: int
) -> None:
    lasts = console_duration(
        requested, now=NOW, role_max=role_max, session_ends_at=ends_at
    )
    assert lasts == seconds


@pytest.mark.parametrize("requested", [899, 43_201])
def test_a_console_session_of_a_bad_length_is_refused(requested: int) -> None:
    with pytest.raises(ValidationError):
        console_duration(requested, now=NOW, role_max=43_200)
