"""What an upstream said to a call, and what a revocation here does not reach there."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial

from msgspec import Struct

from broker.errors import (
    BrokerError,
    OperatorError,
    UpstreamOutcomeUnknown,
    UpstreamRefused,
    UpstreamUnavailable,
)
from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.model.page import read_pages
from broker.model.revocation import OLDER_SESSIONS, deny_older_sessions
from broker.stores.directory.kinds import ROLE, UPSTREAM
from broker.stores.directory.port import DirectoryReader

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


UNREADABLE = "its roles, in a definition that cannot be read"
_PAGE = 500


class UpstreamRoleName(Struct, frozen=True, order=True):
    """An upstream and a role there; empty for federation tokens.

    `UNREADABLE` stands for the roles of an upstream whose definition cannot be read.
    """

    name: str
    role_arn: str


async def upstream_roles(
    directory: DirectoryReader, account: AccountId, role_id: str
) -> tuple[UpstreamRoleName, ...]:
    """The upstream that mints for a role, if any.

    All upstream roles of the account for what is not a role's id.

    Raises:
        StoreUnavailableError: the database is away.
    """
    stored = await directory.all_of(UPSTREAM, account)
    if not stored:
        return ()
    role = await directory.find(ROLE, account, role_id)
    # What it needs takes a while to import.
    from broker.kinds.upstream_definition import (  # noqa: PLC0415
        ALL_ROLES,
        find_upstream_role,
        parse_upstreams,
    )

    whole = directory.with_documents(UPSTREAM, stored)
    upstreams, unreadable = parse_upstreams([upstream async for upstream in whole])
    if role is not None:
        names = {role.name}
    else:
        # Named ones may have been deleted here, and have sessions there.
        names = {name for definition in upstreams.values() for name in definition.roles}
        names.discard(ALL_ROLES)
        read = partial(directory.page_of, ROLE, account)
        async for page in read_pages(read, _PAGE):
            names |= {role.name for role in page}
    each = (find_upstream_role(name, upstreams) for name in sorted(names))
    known = dict.fromkeys(
        UpstreamRoleName(*entry) for entry in each if entry is not None
    )
    return (*known, *(UpstreamRoleName(name, UNREADABLE) for name in unreadable))


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
