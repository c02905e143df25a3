"""Rejects trust policies that trust a shared issuer without naming a tenant.

Such a policy would accept the tokens of every tenant, so IAM refuses to store it.

Source: IAM User Guide, id_roles_providers_oidc_secure-by-default.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from broker.policy.document import Condition, Effect, PolicyDocument, Statement
from broker.policy.errors import PolicyRejected, RejectionReason
from broker.policy.wildcard import compile_wildcard, tokenize

_WEB_IDENTITY = "sts:assumerolewithwebidentity"
_FEDERATED_ACTIONS = (_WEB_IDENTITY, "sts:assumerolewithsaml")
_COGNITO = "cognito-identity.amazonaws.com"
_OPERATORS = frozenset({"StringEquals", "StringLike", "StringEqualsIgnoreCase"})

_BY_SUBJECT = (
    "token.actions.githubusercontent.com",
    "vstoken.actions.githubusercontent.com",
    "oidc-configuration.audit-log.githubusercontent.com",
    "gitlab.com",
    "app.terraform.io",
    "agent.buildkite.com",
    "oidc.codefresh.io",
    "studio.datachain.ai/api",
    "scalr.io",
    "tokens.cloud.shisho.dev",
    "proidc.upbound.io",
)
_BY_AUDIENCE = (_COGNITO, "api.pulumi.com/oidc", "sandboxes.cloud", "oidc.vercel.com")

REQUIRED_KEYS: Mapping[str, str] = MappingProxyType(
    {
        **{issuer: f"{issuer}:sub" for issuer in _BY_SUBJECT},
        **{issuer: f"{issuer}:aud" for issuer in _BY_AUDIENCE},
    }
)
"""The condition key that a trust policy must restrict, by issuer."""


class _Principal(NamedTuple):
    text: str
    issuer: str


def allows_federated_action(statement: Statement) -> bool:
    """Whether the statement's actions cover one of the unsigned calls."""
    return any(_covers(statement, action) for action in _FEDERATED_ACTIONS)


def check_shared_issuers(document: PolicyDocument) -> None:
    """Refuse a trust policy that trusts a shared issuer without naming a tenant.

    Raises:
        PolicyRejected: SHARED_ISSUER, with IAM's recorded texts.
    """
    for statement in document.statements:
        if statement.effect is Effect.DENY or statement.principals is None:
            continue
        if not _covers(statement, _WEB_IDENTITY):
            continue
        for value in statement.principals.federated:
            _check(statement, _Principal(value, _issuer(value)))


def _check(statement: Statement, principal: _Principal) -> None:
    required = REQUIRED_KEYS.get(principal.issuer.lower())
    if required is None:
        return
    place = f"{statement.place}, Condition"
    if not statement.conditions and principal.issuer == _COGNITO:
        raise PolicyRejected(
            RejectionReason.SHARED_ISSUER,
            "A condition block must be present for the Cognito provider",
            place,
        )
    if not any(_binds(condition, required) for condition in statement.conditions):
        raise PolicyRejected(
            RejectionReason.SHARED_ISSUER,
            f"Trust policy with trusted principal {principal.text} must evaluate, "
            "using StringEquals, StringLike or StringEqualsIgnoreCase, "
            f"{required} which is not scoped to all.",
            place,
        )


def _binds(condition: Condition, key: str) -> bool:
    _, _, name = condition.operator.rpartition(":")
    return (
        name in _OPERATORS
        and condition.key.lower() == key
        and "*" not in condition.values
    )


def _issuer(value: str) -> str:
    _, marker, issuer = value.partition(":oidc-provider/")
    return issuer if marker else value


def _covers(statement: Statement, action: str) -> bool:
    named = any(
        compile_wildcard(tokenize(written.lower()))(action)
        for written in statement.actions
    )
    return named is not statement.not_action
