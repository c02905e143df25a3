"""The trust policy's statement for each kind of trusted entity."""

from typing import Any

from msgspec import Struct

from broker.errors import ValidationError
from broker.model.arn import iam_arn

TRUSTED = ("account", "saml", "oidc", "service")
_ACCOUNT_DIGITS = 12


class TrustForm(Struct, frozen=True, kw_only=True):
    """The form's fields; empty where nothing was entered."""

    account: str
    external_id: str = ""
    mfa: bool = False
    provider: str = ""
    audience: str = ""
    subjects: str = ""
    service: str = ""
    attribute: str = ""
    value: str = ""
    tag_session: bool = False
    source_identity: bool = False


def trust_statement(trusted: str, form: TrustForm) -> dict[str, Any]:
    """Build the statement for a kind of trusted entity.

    Raises:
        ValidationError: A required field is empty or malformed.
    """
    return {"account": _account, "saml": _saml, "oidc": _oidc, "service": _service}[
        trusted
    ](form)


def _account(form: TrustForm) -> dict[str, Any]:
    named = form.account
    if named.isascii() and named.isdigit() and len(named) == _ACCOUNT_DIGITS:
        named = iam_arn(named, "root")
    elif not named.startswith("arn:"):
        raise ValidationError(
            "Enter a 12-digit account number, or the ARN of a user or role."
        )
    conditions: dict[str, dict[str, str]] = {}
    if form.external_id:
        conditions["StringEquals"] = {"sts:ExternalId": form.external_id}
    if form.mfa:
        conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
    actions = _actions("sts:AssumeRole", form)
    return _allow({"AWS": named}, actions, conditions)


def _saml(form: TrustForm) -> dict[str, Any]:
    _require_provider(form)
    conditions: dict[str, dict[str, str]] = {}
    if form.audience:
        conditions[_operator(form.audience)] = {"SAML:aud": form.audience}
    if form.attribute and form.value:
        block = conditions.setdefault("StringEquals", {})
        block[form.attribute] = form.value
    elif form.attribute or form.value:
        raise ValidationError("A condition needs both an attribute and its value.")
    actions = _actions("sts:AssumeRoleWithSAML", form)
    return _allow({"Federated": form.provider}, actions, conditions)


def _oidc(form: TrustForm) -> dict[str, Any]:
    _require_provider(form)
    if not form.audience:
        raise ValidationError(
            "Enter the audience (client ID) that tokens must be issued for."
        )
    issuer = form.provider.partition(":oidc-provider/")[2]
    conditions: dict[str, dict[str, Any]] = {
        "StringEquals": {f"{issuer}:aud": form.audience}
    }
    subjects = form.subjects.split()
    if subjects:
        block = conditions.setdefault(_operator(form.subjects), {})
        block[f"{issuer}:sub"] = subjects if len(subjects) > 1 else subjects[0]
    actions = _actions("sts:AssumeRoleWithWebIdentity", form)
    return _allow({"Federated": form.provider}, actions, conditions)


def _actions(operation: str, form: TrustForm) -> str | list[str]:
    """The actions that allow the operation with what a session may bring along.

    A session whose transitive tags or source identity are not accepted cannot assume
    the role at all (IAM User Guide, id_session-tags and id_credentials_temp_control).
    """
    actions = [operation]
    if form.tag_session:
        actions.append("sts:TagSession")
    if form.source_identity:
        actions.append("sts:SetSourceIdentity")
    return actions if len(actions) > 1 else operation


def _operator(value: str) -> str:
    """The operator for a value, which may have wildcards."""
    return "StringLike" if "*" in value or "?" in value else "StringEquals"


def _service(form: TrustForm) -> dict[str, Any]:
    if not form.service:
        raise ValidationError("Enter the service, such as ec2.amazonaws.com.")
    service = (
        form.service if "." in form.service else f"{form.service.lower()}.amazonaws.com"
    )
    return _allow({"Service": service}, "sts:AssumeRole", {})


def _require_provider(form: TrustForm) -> None:
    if not form.provider:
        raise ValidationError("Choose the identity provider.")


def _allow(principal: object, action: object, conditions: object) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return {**statement, "Condition": conditions} if conditions else statement
