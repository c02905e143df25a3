"""A refusal becomes a list of checks that an administrator can work through."""

import pytest

from broker.errors import InvalidIdentityToken
from broker.federation.diagnosis import (
    OIDC_STAGES,
    SAML_STAGES,
    State,
    diagnose,
    is_good,
)
from broker.federation.saml import wire_error
from broker.federation.web_identity import translate
from broker.protocols.oidc.rejection import IssuerRejected, OidcReason, OidcRejected
from broker.protocols.saml.errors import SamlReason, SamlRejected


@pytest.mark.parametrize("reason", SamlReason)
def test_every_saml_reason_fails_one_check_and_says_what_to_change(
    reason: SamlReason,
) -> None:
    cause = SamlRejected(reason, "found this, expected that")
    error = wire_error(cause)
    error.__cause__ = cause
    checks = diagnose(SAML_STAGES, error)
    (failed,) = [check for check in checks if check.state is State.FAILED]
    assert failed.found == "found this, expected that"
    assert failed.advice
    assert len(checks) == len(SAML_STAGES) + 1
    assert not is_good(checks)


@pytest.mark.parametrize("reason", OidcReason)
def test_every_oidc_reason_fails_one_check(reason: OidcReason) -> None:
    cause = OidcRejected(reason, "text", "aud is x")
    error = translate(cause)
    error.__cause__ = cause
    checks = diagnose(OIDC_STAGES, error)
    (failed,) = [check for check in checks if check.state is State.FAILED]
    assert failed.found == "aud is x"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (SamlReason.UNSIGNED, "signing of assertions"),
        (SamlReason.ALGORITHM_NOT_ALLOWED, "AES-GCM"),
        (SamlReason.ALGORITHM_NOT_ALLOWED, "AllowSha1"),
        (SamlReason.SIGNATURE_INVALID, "new metadata"),
        (SamlReason.DECRYPTION_FAILED, "SP metadata"),
        (SamlReason.ENCRYPTION_REQUIRED, "encrypted"),
        (SamlReason.METADATA_UNUSABLE, "LegacyRsa"),
        (SamlReason.METADATA_EXPIRED, "MetadataUrl"),
        (SamlReason.LIFETIME_TOO_LONG, "a day or less"),
        (SamlReason.TIMESTAMP, "UTC"),
        (SamlReason.CONFIRMATION, "bearer"),
        (SamlReason.TOO_LARGE, "fewer roles"),
        (OidcReason.UNKNOWN_KEY, "StaticJwks"),
        (OidcReason.BAD_DISCOVERY, "jwks_uri"),
        (OidcReason.MISSING_CLAIM, "OneTimeUse"),
        (OidcReason.BAD_TIMESTAMP, "numbers"),
        (OidcReason.NO_AUTHORIZED_PARTY, "azp"),
    ],
)
def test_the_advice_is_for_what_was_found(
    reason: SamlReason | OidcReason, advice: str
) -> None:
    if isinstance(reason, SamlReason):
        cause: SamlRejected | OidcRejected = SamlRejected(reason, "x")
        error, stages = InvalidIdentityToken(), SAML_STAGES
    else:
        cause = OidcRejected(reason, "x")
        error, stages = InvalidIdentityToken(), OIDC_STAGES
    error.__cause__ = cause
    (failed,) = [c for c in diagnose(stages, error) if c.state is State.FAILED]
    assert advice in failed.advice


def test_what_comes_after_the_failure_was_not_reached() -> None:
    cause = SamlRejected(SamlReason.RECIPIENT_WRONG, "x")
    error = wire_error(cause)
    error.__cause__ = cause
    states = [check.state for check in diagnose(SAML_STAGES, error)]
    assert states.index(State.FAILED) == 10
    assert set(states[11:]) == {State.NOT_REACHED}
    assert State.UNFINISHED in states[:10]  # the times of the conditions come later


def test_what_is_found_wrong_before_the_proof_is_read_leaves_all_the_rest_open() -> (
    None
):
    unusable = SamlRejected(SamlReason.METADATA_UNUSABLE, "x")
    nobody = IssuerRejected(OidcReason.MISSING_CLAIM, "x")
    error = InvalidIdentityToken()
    for cause, stages, held in (
        (unusable, SAML_STAGES, []),
        (nobody, OIDC_STAGES, ["The token is a JWT"]),
    ):
        error.__cause__ = cause
        checks = diagnose(stages, error)
        assert [c.title for c in checks if c.state is State.HELD] == held
        assert [c.state for c in checks].count(State.FAILED) == 1
        assert State.UNFINISHED not in {c.state for c in checks}


def test_an_attribute_of_ours_that_is_wrong_fails_after_all_the_rest() -> None:
    checks = diagnose(SAML_STAGES, InvalidIdentityToken("RoleSessionName is required"))
    assert [check.state for check in checks[:-1]] == [State.HELD] * len(SAML_STAGES)
    assert "RoleSessionName" in checks[-1].found


def test_a_proof_that_passed_held_everywhere() -> None:
    assert is_good(diagnose(SAML_STAGES, None))
    assert is_good(diagnose(OIDC_STAGES, None))
