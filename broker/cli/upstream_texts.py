"""What an upstream said to a call, and what a revocation here does not reach there."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from broker.cli.upstream_roles import UpstreamRoleName
from broker.errors import (
    BrokerError,
    OperatorError,
    UpstreamOutcomeUnknown,
    UpstreamRefused,
    UpstreamUnavailable,
)
from broker.model.audit import AuditRecord
from broker.model.revocation import OLDER_SESSIONS, deny_older_sessions

_ABOUT_THE_ISSUER = (
    "The upstream needs an OpenID Connect provider for the account's issuer, with the"
    " Audience as a client ID, and must reach its keys: check that /issuer/ is public."
)
_ABOUT_CLOCKS = "Compare the clocks of both machines, and check the key pair there."
_ADVICE = {
    "AccessDenied": (
        "Check the upstream role's trust policy and permissions boundary: it has to"
        " name the broker's issuer or key, the role here as sub, and sts:TagSession and"
        " sts:SetSourceIdentity if those are passed."
    ),
    "IDPCommunicationError": _ABOUT_THE_ISSUER,
    "InvalidIdentityToken": _ABOUT_THE_ISSUER,
    "IDPRejectedClaim": _ABOUT_THE_ISSUER,
    "InvalidClientTokenId": "Give the upstream a key pair that is active there.",
    "RequestExpired": _ABOUT_CLOCKS,
    "SignatureDoesNotMatch": _ABOUT_CLOCKS,
    "ExpiredTokenException": _ABOUT_CLOCKS,
    "PackedPolicyTooLarge": "Pass fewer or shorter tags and session policies.",
    "RegionDisabledException": "Enable the region there, or set another Endpoint.",
    "Throttling": "Try again later; the assertion or token can be used again.",
    "ValidationError": (
        "Check the maximum session duration of the upstream role, and the session name"
        " and tags."
    ),
}
_OTHERWISE = {
    UpstreamRefused.code: "Look up the code in the upstream's documentation.",
    UpstreamUnavailable.code: "No one-time proof is used up. Try `broker upstreams test`.",
    UpstreamOutcomeUnknown.code: (
        "The one-time proof stays used. Check the upstream's own log, since it may have"
        " issued credentials, then sign in again."
    ),
}


class UpstreamFailed(OperatorError):
    """Upstreams that gave nothing, each with what it said and what to do."""

    def __init__(self, *errors: BrokerError) -> None:
        super().__init__(*(error.words for error in errors))
        self.errors = errors

    @property
    def lines(self) -> list[str]:
        """What happened, what the upstream said, and what to do."""
        return [line for error in self.errors for line in _lines(error)]


def _lines(error: BrokerError) -> list[str]:
    if not isinstance(error, UpstreamRefused):
        detail = f": {error.detail}" if error.detail else "."
        return [f"{error.words.removesuffix('.')}{detail}"]
    there, answered = _read(error.detail)
    advice = _ADVICE.get(answered, _OTHERWISE[error.code])
    return [error.words, f"There: {there}", f"To do: {advice}"]


def explain_upstream(record: AuditRecord) -> tuple[list[str], dict[str, object]]:
    """What each side decided, and what to do; nothing for other errors."""
    code = record.error_code or ""
    if code not in _OTHERWISE:
        return [], {}
    role = record.resources[0] if record.resources else "the role"
    here = f"trust policy and rules of {role} allowed it"
    there, answered = _read(record.detail)
    advice = _ADVICE.get(answered, _OTHERWISE[code])
    return (
        [f"Here: {here}.", f"There: {there}", f"To do: {advice}"],
        {"here": here, "there": there, "to_do": [advice]},
    )


def _read(detail: str) -> tuple[str, str]:
    """What the upstream said, and its code."""
    try:
        answer = json.loads(detail)
    except ValueError:
        return detail or "nothing is known.", ""
    if not isinstance(answer, Mapping):
        return detail, ""
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    return (f"{code}: {message}" if message else code), code


def words_on_upstreams(roles: Iterable[UpstreamRoleName], now: datetime) -> list[str]:
    """What a revocation leaves open, and the policy that ends it there; in lines."""
    return [
        "Credentials from an upstream stay valid there until they expire.",
        f"To end them, attach this policy ({OLDER_SESSIONS}) to",
        *(
            f"  {upstream_role_name.role_arn or 'the user of its federation tokens'} ({upstream_role_name.name})"
            for upstream_role_name in roles
        ),
        *deny_older_sessions(now).splitlines(),
    ]
