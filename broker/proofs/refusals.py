"""Explains from the audit record why a proof was refused.

Answers on the wire are as terse as AWS's. The record holds the reason, from which this
derives the failed check, what was found and what to change.
"""

import re
from enum import StrEnum

from broker.model.audit import COUNT_FAILURES, AuditRecord
from broker.proofs.admission import REVOKED
from broker.proofs.diagnosis import (
    ADMITTED,
    ADMITTED_ADVICE,
    CLAIMS,
    CLAIMS_ADVICE,
    NOT_REVOKED,
    NOT_REVOKED_ADVICE,
    OIDC_STAGES,
    REACH_ADVICE,
    REGISTERED,
    SAML_STAGES,
    Check,
    State,
)
from broker.proofs.scim import NOT_ADMITTED
from broker.protocols.oidc.rejection import OidcReason
from broker.protocols.saml.errors import SamlReason

_SAML = frozenset({"sts:AssumeRoleWithSAML", "signin:ListRolesWithSAML"})
_TOKEN = frozenset({"sts:AssumeRoleWithWebIdentity", "signin:ListRolesWithWebIdentity"})

_LIST_ROLES = "signin:ListRolesWithLDAPIdentity"
_LDAP = frozenset({"sts:AssumeRoleWithLDAPIdentity", _LIST_ROLES})
_LET_IN = "The directory accepts the person"
_LET_IN_ADVICE = (
    "Look at the entry in the directory: the person has to type the right name and"
    " password, and the account must be open; broker providers test shows what it finds."
)
_ASKED = "The directory can be queried"
_ASKED_ADVICE = "Run broker providers test with the provider's ARN: it says what fails."
_GROUPS_ADVICE = (
    "Put the person into a group that GroupRoles maps to a role, or map one of their"
    " groups; broker providers test lists them."
)

_TRUST = "The role's trust policy accepts it"
_TRUST_ADVICE = (
    "Compare the conditions of the role's trust policy (audience, subject, tags) with"
    " what the proof says; or send this person or workload another role."
)
_GITHUB_IDS = re.compile(r'"repo:[^/@:"]+@\d+/[^/@:"]+@\d+:')
"""A subject of GitHub's with the ids of owner and repository; see the recipe."""

_GITHUB_NAMES = re.compile(r'"repo:[^/@:"]+/[^/@:"]+:')
_GITHUB_ADVICE = (
    "The token's subject has GitHub's form since July 2026, with the ids of owner and"
    " repository, and the trust policy names the form without. List both forms, and"
    " require repository_id, which no other repository ever has."
)
_REPLAY = "It has not been used before"
_REPLAY_ADVICE = (
    "A proof opens a role once. Sign in again; if every sign-in fails so, something"
    " posts the same response twice."
)
_SENT_AWAY = "The identity provider accepted the person"
_SENT_AWAY_ADVICE = "Look at the identity provider's own log: it refused the sign-in."
_CLIENT = "The identity provider accepts the broker as its client"
_CLIENT_ADVICE = (
    "Set the provider's ClientId, and ClientSecret, to what the client has at the identity"
    " provider (broker providers set); there, have the client use its secret"
    " (client_secret_basic): the broker has no key for private_key_jwt. If the answer is"
    " invalid_grant, the code was too old or used: sign in again."
)
_REQUEST = "The request is complete"
_REQUEST_ADVICE = "Correct what the message names; this is the client's to do."
_ROLES = "It gives access to a role"
_ROLES_ADVICE = (
    "Have the identity provider send the role's and the provider's ARN, as the"
    " provider's page says; or have an operator map groups to roles (GroupRoles)."
)
_BY_CODE = {
    "AccessDenied": (_TRUST, _TRUST_ADVICE),
    "IDPCommunicationError": (REGISTERED, REACH_ADVICE),
    "IDPRejectedClaim": (_SENT_AWAY, _SENT_AWAY_ADVICE),
    "ValidationError": (_REQUEST, _REQUEST_ADVICE),
}
_BY_WORD = (
    (REVOKED, (NOT_REVOKED, NOT_REVOKED_ADVICE)),
    (NOT_ADMITTED, (ADMITTED, ADMITTED_ADVICE)),
    ("replay:", (_REPLAY, _REPLAY_ADVICE)),
    ("has no provider for", (REGISTERED, REACH_ADVICE)),
    ("there is no provider", (REGISTERED, REACH_ADVICE)),
    ("the response nominates no provider", (_ROLES, _ROLES_ADVICE)),
    ("no value of the Role attribute", (_ROLES, _ROLES_ADVICE)),
    ("does not list", (_ROLES, _ROLES_ADVICE)),
    ("opens no role", (_ROLES, _ROLES_ADVICE)),
    ("the token endpoint refused", (_CLIENT, _CLIENT_ADVICE)),
    ("GroupRoles maps", (_ROLES, _GROUPS_ADVICE)),
)
_REASONS = frozenset({*SamlReason, *OidcReason})
COUNTED_ONLY = "only counted"
"""The reason of failures in a burst, which are counted but not recorded."""

_NOT_THE_PROOF = frozenset({"ServiceUnavailable", "InternalFailure", "Throttling"})


def explain_refusal(record: AuditRecord) -> Check | None:
    """The check that a recorded proof failed; None if none was refused."""
    if record.action in _LDAP:
        return _explain_directory(record)
    is_saml = record.action in _SAML
    if not record.error_code or record.error_code in _NOT_THE_PROOF:
        return None
    if not is_saml and record.action not in _TOKEN:
        return None
    detail = record.detail or record.reason or record.error_code
    reason, colon, words = detail.partition(": ")
    results = _stage_of(reason, words, is_saml=is_saml) if colon else None
    if results is not None:
        return Check(results[0], State.FAILED, words, results[1])
    for word, (title, advice) in _BY_WORD:
        if word in detail:
            return Check(title, State.FAILED, detail, advice)
    title, advice = _BY_CODE.get(record.error_code, (CLAIMS, CLAIMS_ADVICE))
    if title is _TRUST and _GITHUB_IDS.search(detail) and _GITHUB_NAMES.search(detail):
        advice = _GITHUB_ADVICE
    return Check(title, State.FAILED, detail, advice)


def _explain_directory(record: AuditRecord) -> Check | None:
    detail = record.detail or record.reason or record.error_code
    match record.error_code:
        case "IDPRejectedClaim":
            return Check(_LET_IN, State.FAILED, detail, _LET_IN_ADVICE)
        case "IDPCommunicationError":
            return Check(_ASKED, State.FAILED, detail, _ASKED_ADVICE)
        case "AccessDenied" if record.action == _LIST_ROLES or "GroupRoles" in detail:
            return Check(_ROLES, State.FAILED, detail, _GROUPS_ADVICE)
        case "AccessDenied":
            return Check(_TRUST, State.FAILED, detail, _TRUST_ADVICE)
    return None


def name_reason(record: AuditRecord) -> str:
    """A short name for why a recorded call failed: a check's, or the error code."""
    if record.action == COUNT_FAILURES:
        return COUNTED_ONLY
    reason, colon, _ = (record.detail or record.reason).partition(": ")
    if colon and reason in _REASONS:
        return reason.replace("-", " ")
    return record.error_code or "unknown"


def _stage_of(text: str, words: str, *, is_saml: bool) -> tuple[str, str] | None:
    stages = SAML_STAGES if is_saml else OIDC_STAGES
    reasons: type[StrEnum] = SamlReason if is_saml else OidcReason
    try:
        reason = reasons(text)
    except ValueError:
        return None
    for stage in stages:
        if reason in stage.reasons:
            return stage.title, stage.advice_for(reason, words)
    return None
