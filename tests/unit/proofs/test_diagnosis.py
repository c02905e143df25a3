"""A refusal becomes a list of checks that an administrator can work through."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.errors import InvalidIdentityToken
from broker.model.audit import AuditRecord
from broker.proofs.diagnosis import (
    OIDC_STAGES,
    SAML_STAGES,
    State,
    diagnose,
    is_good,
)
from broker.proofs.refusals import explain_refusal
from broker.proofs.saml import wire_error
from broker.proofs.web_identity import translate
from broker.protocols.oidc.jwks import KeySet, parse_jwks
from broker.protocols.oidc.rejection import IssuerRejected, OidcReason, OidcRejected
from broker.protocols.oidc.verify import verify_token
from broker.protocols.saml.errors import SamlReason, SamlRejected
from tests.support.oidc_issuer import OidcIssuer, jwk_of, make_key
from tests.support.rows import rows

ISSUER = OidcIssuer("https://idp.example")


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


@rows("reason, advice")
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


def key_set(*names: str | None) -> KeySet:
    keys = [jwk_of(make_key("RS256", n), name) for n, name in enumerate(names)]
    return parse_jwks(json.dumps({"keys": keys}).encode())


NAMED = key_set("key-1")
CLIENT = {"azp": "client-1"}


@pytest.mark.parametrize(
    ("claims", "keys", "advice"),
    [
        ({"drop": ("iat",)}, NAMED, "the time of issue"),
        ({"kid": None}, key_set(None), "set StaticJwks to the same key"),
        ({}, key_set(None), "set StaticJwks to the same key"),
        ({"kid": None}, key_set("a", "b"), "publishes several"),
        ({"kid": "new"}, NAMED, "within seconds of a rotation"),
        (dict(aud="account", **CLIENT), NAMED, "mapper of type Audience"),
        ({"aud": ["account", "x"], "azp": "y"}, NAMED, "Keycloak"),
        (dict(aud="api", **CLIENT), NAMED, "Profile=aws"),
        ({"aud": "api"}, NAMED, "add-client-id"),
    ],
)
def test_what_real_identity_providers_send_is_known(
    claims: dict[str, Any], keys: KeySet, advice: str
) -> None:
    with pytest.raises(OidcRejected) as caught:
        verify_token(
            ISSUER.token(**claims),
            keys=keys,
            issuer=ISSUER.url,
            client_ids=("client-1",),
            now=datetime.now(UTC),
            skew=timedelta(seconds=60),
        )
    error = translate(caught.value)
    error.__cause__ = caught.value
    (failed,) = [c for c in diagnose(OIDC_STAGES, error) if c.state is State.FAILED]
    assert advice.lower() in failed.advice.lower()
    recorded = AuditRecord(
        event_id="1",
        at=datetime.now(UTC),
        account=None,
        action="sts:AssumeRoleWithWebIdentity",
        error_code=error.code,
        detail=error.detail,
    )
    assert explain_refusal(recorded) == failed
    assert "mapper" not in (error.message or "")


def test_the_only_key_of_a_static_set_serves_a_token_without_a_kid() -> None:
    """What the advice promises."""
    assert verify_token(
        ISSUER.token(kid=None),
        keys=key_set("any-name"),
        issuer=ISSUER.url,
        client_ids=("client-1",),
        now=datetime.now(UTC),
        skew=timedelta(seconds=60),
    )


@rows("found, advice")
def test_encryption_that_lasso_uses_is_explained(found: str, advice: str) -> None:
    cause = SamlRejected(SamlReason.ALGORITHM_NOT_ALLOWED, found)
    error = wire_error(cause)
    error.__cause__ = cause
    (failed,) = [c for c in diagnose(SAML_STAGES, error) if c.state is State.FAILED]
    assert advice in failed.advice
