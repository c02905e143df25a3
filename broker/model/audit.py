"""What happened: one record a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.model.account import AccountId
from broker.model.struct import struct


@struct
class AuditRecord:
    """One call: who, what, decision and why. Holds no secret.

    ``event_id`` is the request id. ``account`` is the account acted in, empty when
    no account could be told. ``decision`` is ``allowed``, ``denied`` or empty (never
    decided). ``reason`` says in words what decided; ``error_code`` is the wire code
    of a failed call and ``detail`` its operator's text. ``parameters`` are the ones
    on the action's allow-list. ``session`` describes the credentials that the call
    minted: access key id, principal, expiry, provider, source identity, tags.
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
    """What to look for; empty members match everything. Times are half-open."""

    account: AccountId | None = None
    event_id: str = ""
    caller_arn: str = ""
    access_key_id: str = ""
    action: str = ""
    decision: str = ""
    provider_arn: str = ""
    since: datetime | None = None
    until: datetime | None = None
