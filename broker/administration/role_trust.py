"""The trust policy's statement for each kind of trusted entity."""

from dataclasses import dataclass
from typing import Any

from broker.errors import ValidationError
from broker.model.arn import iam_arn

TRUSTED = ("account", "saml", "oidc", "service")
_ACCOUNT_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustForm:
    """The form's fields; empty where nothing was entered."""

    account: str
    external_id: str = ""
    mfa: bool = False
    provider: str = ""
    audience: str = ""
    subject: str = ""
    service: str = ""
    attribute: str = ""
    value: str = ""


def trust_statement(trusted: str, wanted: TrustForm) -> dict[str, Any]:
    """Build the statement for a kind of trusted entity.

    Raises:
        ValidationError: A required field is empty or malformed.
    """
    return {
        "account": _account,
        "saml": _saml,
        "oidc": _oidc,
        "service": _service,
    }[trusted](wanted)


def _account(wanted: TrustForm) -> dict[str, Any]:
    named = wanted.account
    if named.isascii() and named.isdigit() and len(named) == _ACCOUNT_DIGITS:
        named = iam_arn(named, "root")
    elif not named.startswith("arn:"):
        raise ValidationError(
            "Enter a 12-digit account number, or the ARN of a user or role."
        )
    conditions: dict[str, dict[str, str]] = {}
    if wanted.external_id:
        conditions["StringEquals"] = {"sts:ExternalId": wanted.external_id}
    if wanted.mfa:
        conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
    return _allow({"AWS": named}, "sts:AssumeRole", conditions)


def _saml(wanted: TrustForm) -> dict[str, Any]:
    _require_provider(wanted)
    conditions: dict[str, dict[str, str]] = {}
    if wanted.audience:
        conditions[_operator(wanted.audience)] = {"SAML:aud": wanted.audience}
    if wanted.attribute and wanted.value:
        block = conditions.setdefault("StringEquals", {})
        block[wanted.attribute] = wanted.value
    elif wanted.attribute or wanted.value:
        raise ValidationError("A condition needs both an attribute and its value.")
    return _allow(
        {"Federated": wanted.provider},
        ["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"],
        conditions,
    )


def _oidc(wanted: TrustForm) -> dict[str, Any]:
    _require_provider(wanted)
    if not wanted.audience:
        raise ValidationError(
            "Enter the audience (client ID) that tokens must be issued for."
        )
    issuer = wanted.provider.partition(":oidc-provider/")[2]
    conditions = {"StringEquals": {f"{issuer}:aud": wanted.audience}}
    if wanted.subject:
        block = conditions.setdefault(_operator(wanted.subject), {})
        block[f"{issuer}:sub"] = wanted.subject
    return _allow(
        {"Federated": wanted.provider}, "sts:AssumeRoleWithWebIdentity", conditions
    )


def _operator(value: str) -> str:
    """The operator for a value, which may have wildcards."""
    return "StringLike" if "*" in value or "?" in value else "StringEquals"


def _service(wanted: TrustForm) -> dict[str, Any]:
    if not wanted.service:
        raise ValidationError("Enter the service, such as ec2.amazonaws.com.")
    service = wanted.service if "." in wanted.service else _full(wanted.service)
    return _allow({"Service": service}, "sts:AssumeRole", {})


def _full(service: str) -> str:
    return f"{service.lower()}.amazonaws.com"


def _require_provider(wanted: TrustForm) -> None:
    if not wanted.provider:
        raise ValidationError("Choose the identity provider.")


def _allow(principal: object, action: object, conditions: object) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return {**statement, "Condition": conditions} if conditions else statement
