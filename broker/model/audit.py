"""What happened: one record a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from broker.model.account import AccountId
from broker.model.struct import struct


class Outcome(StrEnum):
    """The outcome of a call, as stored in a record's ``decision``.

    ``denied`` by policies; ``refused`` because a proof (a signature, an assertion, a
    token, a password) does not count; ``error`` for everything else that failed.
    """

    ALLOWED = "allowed"
    DENIED = "denied"
    REFUSED = "refused"
    ERROR = "error"


@struct
class AuditRecord:
    """One call: who, what, decision and why. Holds no secret.

    ``event_id`` is the request id. ``account`` is the account acted in, empty when it
    is unknown. ``decision`` is an `Outcome`, or empty (answered without one).
    ``reason`` says in words what decided; ``error_code`` is the wire code of a failed
    call and ``detail`` its operator's text. ``parameters`` are the ones on the action's
    allow-list. ``session`` describes the credentials that the call minted: access key
    id, principal, expiry, provider, source identity, tags.
    """

    event_id: str
    at: datetime
    account: AccountId | None
    door: str = ""
    action: str = ""
    caller_arn: str = ""
    principal_id: str = ""
    access_key_id: str = ""
    source_ip: str = ""
    user_agent: str = ""
    region: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    resources: tuple[str, ...] = ()
    decision: str = ""
    reason: str = ""
    error_code: str = ""
    detail: str = ""
    session: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Search criteria; empty members match everything. Time ranges are half-open."""

    account: AccountId | None = None
    event_id: str = ""
    caller_arn: str = ""
    access_key_id: str = ""
    action: str = ""
    decision: str = ""
    provider_arn: str = ""
    since: datetime | None = None
    until: datetime | None = None
