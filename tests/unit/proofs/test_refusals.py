"""A record of a refused proof is told in plain words."""

from datetime import UTC, datetime

import pytest

from broker.model.audit import AuditRecord
from broker.proofs.refusals import explain_refusal
from broker.proofs.saml import wire_error
from broker.proofs.web_identity import translate
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.saml.errors import SamlReason, SamlRejected
from tests.support.rows import rows

SAML = "sts:AssumeRoleWithSAML"
TOKEN = "sts:AssumeRoleWithWebIdentity"


def record(action: str, code: str, detail: str = "", reason: str = "") -> AuditRecord:
    return AuditRecord(
        event_id="1",
        at=datetime.now(UTC),
        account=None,
        action=action,
        error_code=code,
        detail=detail,
        reason=reason,
    )


@pytest.mark.parametrize("reason", SamlReason)
def test_every_reason_of_saml_is_a_check_with_advice(reason: SamlReason) -> None:
    error = wire_error(SamlRejected(reason, "this was found"))
    for action in (SAML, "signin:ListRolesWithSAML"):
        check = explain_refusal(record(action, error.code, error.detail))
        assert check is not None
        assert check.found == "this was found"
        assert check.title
        assert check.advice


@pytest.mark.parametrize("reason", OidcReason)
def test_every_reason_of_openid_connect_too(reason: OidcReason) -> None:
    error = translate(OidcRejected(reason, "wire text", "this was found"))
    for action in (TOKEN, "signin:ListRolesWithWebIdentity"):
        check = explain_refusal(record(action, error.code, error.detail))
        assert check is not None
        assert check.found == "this was found"
        assert check.advice


@rows("action, code, detail, title")
def test_other_refusals(action: str, code: str, detail: str, title: str) -> None:
    check = explain_refusal(record(action, code, detail, "the reason"))
    assert check is not None
    assert title in check.title
    assert check.found == (detail or "the reason")
    assert check.advice


@pytest.mark.parametrize(
    ("action", "code"),
    [(SAML, ""), ("iam:GetRole", "AccessDenied"), (TOKEN, "ServiceUnavailable")],
)
def test_only_refused_proofs_are_explained(action: str, code: str) -> None:
    assert explain_refusal(record(action, code)) is None


def test_a_trust_policy_with_githubs_older_subject_is_told_of_the_newer() -> None:
    def advice(wanted: str, subject: str) -> str:
        detail = (
            "No trust policy allows it. Statement 1 comes closest, but StringEquals asks"
            f' for token.actions.githubusercontent.com:sub "{wanted}" and the request has'
            f' "{subject}".'
        )
        check = explain_refusal(record(TOKEN, "AccessDenied", detail))
        assert check is not None
        return check.advice

    names, ids = "repo:example/shop:ref:main", "repo:example@12/shop@45:ref:main"
    assert "ids of owner and repository" in advice(names, ids)
    for wanted, subject in ((names, names), (ids, ids), ("repo:*", ids), (names, "x")):
        assert advice(wanted, subject).startswith("Compare the conditions")
