"""What happened: one record a call."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from broker.model.account import AccountId

CONSOLE_LOGIN = "signin:ConsoleLogin"
PORTAL_SIGN_IN = "sso:Authenticate"
COUNT_FAILURES = "broker:CountFailures"
"""The action of a record that stands for failures which were only counted."""

COUNT_DECISIONS = "broker:CountDecisions"
"""The action of a record with the numbers of a registered service's decisions."""

_PASSKEY_OPTIONS = "signin:CreatePasskeyOptions"
_SIGN_INS = frozenset(
    {
        "rolesanywhere:CreateSession",
        "sts:AssumeRoleWithSAML",
        "sts:AssumeRoleWithWebIdentity",
        "sts:AssumeRoleWithLDAPIdentity",
    }
)
_PROOF_CHECKS = frozenset(
    {
        "signin:ListRolesWithSAML",
        "signin:ListRolesWithWebIdentity",
        "signin:ListRolesWithLDAPIdentity",
        "signin:CheckPassword",
        "signin:CheckMfa",
        COUNT_FAILURES,
    }
)
_CREDENTIALS = frozenset(
    {
        "broker:DeriveSigningKey",
        "broker:GetInstanceCredentials",
        "sts:AssumeRole",
        "sts:AssumeRoot",
        "sts:GetSessionToken",
        "sts:GetFederationToken",
        "sts:GetScopedCredentials",
        "sts:GetDelegatedAccessToken",
        "sts:GetWebIdentityToken",
        "signin:AuthorizeOAuth2Access",
        "signin:CreateConsoleLink",
        "signin:CreateOAuth2Token",
        "signin:GetConsoleCredentials",
        "signin:GetSigninToken",
        "sso:GetRoleCredentials",
        "sso-oauth:Authorize",
        "sso-oauth:CreateToken",
    }
)
_READS = (
    *("Get", "List", "Describe", "Search", "Lookup", "Simulate", "Evaluate", "Decide"),
    *(
        "Decode",
        "Generate",
        "Check",
        "Diagnose",
        "Authorize",
        "Probe",
        "Resolve",
        "Validate",
    ),
)


class Outcome(StrEnum):
    """The outcome of a call, as stored in a record's ``decision``.

    ``denied`` by policies; ``refused`` because a proof (a signature, an assertion, a
    token, a password) does not count; ``error`` for everything else that failed.
    """

    ALLOWED = "allowed"
    DENIED = "denied"
    REFUSED = "refused"
    ERROR = "error"

    @property
    def words(self) -> str:
        """The outcome as people read it."""
        return _OUTCOME_WORDS[self]


_OUTCOME_WORDS = {
    Outcome.ALLOWED: "allowed",
    Outcome.DENIED: "denied by policies",
    Outcome.REFUSED: "proof refused",
    Outcome.ERROR: "error",
}


class RecordKind(StrEnum):
    """What a call is about, as the audit log sorts records.

    ``sign-in`` begins something with an outside proof or a password, or fails to;
    ``credentials`` hands on or narrows what a caller has (a role switch, a session
    token, a console link); ``change`` and ``read`` are everything else.
    """

    SIGN_IN = "sign-in"
    CREDENTIALS = "credentials"
    CHANGE = "change"
    READ = "read"


class AuditRecord(Struct, kw_only=True):
    """One call: who, what, decision and why. Holds no secret.

    ``event_id`` is the request id. ``account`` is the account acted in, empty when it
    is unknown. ``decision`` is the `Outcome`.
    ``reason`` says in words what decided; ``error_code`` is the wire code of a failed
    call and ``detail`` its operator's text. ``parameters`` are the ones on the action's
    allow-list. ``source_identity`` is the caller's. ``session`` describes the
    credentials that the call minted: access key id, principal, expiry, provider, source
    identity, tags, policies.
    """

    event_id: str
    at: datetime
    account: AccountId | None = None
    door: str = ""
    action: str = ""
    caller_arn: str = ""
    principal_id: str = ""
    access_key_id: str = ""
    source_identity: str = ""
    source_ip: str = ""
    user_agent: str = ""
    region: str = ""
    parameters: Mapping[str, object] = {}
    resources: tuple[str, ...] = ()
    decision: str = ""
    reason: str = ""
    error_code: str = ""
    detail: str = ""
    session: Mapping[str, object] | None = None

    @property
    def outcome(self) -> Outcome:
        """What came of the call; also of records of older versions."""
        try:
            return Outcome(self.decision)
        except ValueError:
            return Outcome.ERROR if self.error_code else Outcome.ALLOWED

    @property
    def kind(self) -> RecordKind:
        """What the call is about."""
        session = self.session
        return kind_of(
            self.action,
            self.outcome,
            is_mint=session is not None,
            has_provider=bool(session and session.get("provider_arn")),
        )

    @property
    def weight(self) -> int:
        """How many calls the record stands for: 1, unless they were only counted."""
        if self.action != COUNT_FAILURES:
            return 1
        counted = self.parameters.get("Failures")
        return counted if isinstance(counted, int) else 1


def kind_of(
    action: str, outcome: str, *, is_mint: bool, has_provider: bool
) -> RecordKind:
    """The kind of a record, by whether it minted a session, and one of a provider."""
    if action in _SIGN_INS:
        return RecordKind.SIGN_IN
    if action in {CONSOLE_LOGIN, PORTAL_SIGN_IN}:
        # A provider's sign-in is on record before it opens the console, and a
        # password's before it opens the portal.
        is_first = has_provider == (action == PORTAL_SIGN_IN)
        return RecordKind.SIGN_IN if is_first else RecordKind.CREDENTIALS
    if action in _PROOF_CHECKS:
        return RecordKind.READ if outcome == Outcome.ALLOWED else RecordKind.SIGN_IN
    if is_mint or action in _CREDENTIALS:
        return RecordKind.CREDENTIALS
    if action == _PASSKEY_OPTIONS or action.partition(":")[2].startswith(_READS):
        return RecordKind.READ
    return RecordKind.CHANGE


ISSUING_KINDS = (RecordKind.SIGN_IN, RecordKind.CREDENTIALS)
"""The kinds of records that issue credentials."""


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Search criteria; empty members match everything. Time ranges are half-open.

    ``access_key_id`` is the caller's, or the one that the call minted, and
    ``minted_key_id`` only the latter. ``source_identity`` is that of either, and
    ``session_name`` what the ARN of either ends with: a session's name, or a user's.
    ``action`` is one, or ``service:*`` for all of a service. ``decisions`` and
    ``kinds`` match any of theirs. ``role_name`` is that of the role whose credentials
    the call issued, by any entry point, and ``role_account`` the account of that role.
    """

    account: AccountId | None = None
    event_id: str = ""
    caller_arn: str = ""
    access_key_id: str = ""
    minted_key_id: str = ""
    action: str = ""
    decisions: tuple[Outcome, ...] = ()
    kinds: tuple[RecordKind, ...] = ()
    provider_arn: str = ""
    source_identity: str = ""
    session_name: str = ""
    role_name: str = ""
    role_account: AccountId | None = None
    since: datetime | None = None
    until: datetime | None = None


DECISION_MEASURES = {
    outcome: f"decisions-{outcome}"
    for outcome in (Outcome.ALLOWED, Outcome.DENIED, Outcome.REFUSED)
}
"""The measure of each outcome of decisions for registered services."""


class HourlyCount(Struct, frozen=True, kw_only=True):
    """How many calls of one kind began within an hour, or a longer stretch of hours.

    ``measure`` is ``sign-in`` for those that succeeded, by provider (empty for none);
    or the `Outcome` of a failure, by a name for its reason; or one of
    `DECISION_MEASURES`, by the ARN of the registered service that asked.
    """

    hour: datetime
    measure: str
    name: str
    count: int


class ActivityCounts(Struct, frozen=True, kw_only=True):
    """Counts of an account; ``counted_until`` is the newest record that is in them."""

    counted_until: datetime | None
    counts: tuple[HourlyCount, ...]
