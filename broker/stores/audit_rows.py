"""Rows of the ledger: replay marks, and audit records, of which a part is a JSON body."""

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import compress
from operator import attrgetter
from typing import Any

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.audit import AuditRecord, kind_of
from broker.stores.json_text import encode_json
from broker.stores.times import from_micros, to_micros

AuditRow = tuple[str, int, str, str, str, str, str, str, str, str, str]
MarkRow = tuple[bytes, str, int]

AUDIT_COLUMNS = (
    "event_id",
    "at",
    "account",
    "caller_arn",
    "access_key_id",
    "minted_key_id",
    "action",
    "decision",
    "provider_arn",
    "body",
    "kind",
)
_AT = {name: place for place, name in enumerate(AUDIT_COLUMNS)}
MARK_COLUMNS = ("key", "mint_id", "expires_at")

_PROVIDER = re.compile(":(?:saml|oidc)-provider/")
_IN_COLUMNS = frozenset({"event_id", "at", "account"})
_BODY_FIELDS = tuple(
    name for name in AuditRecord.__struct_fields__ if name not in _IN_COLUMNS
)
_BODY = attrgetter(*_BODY_FIELDS)


class ReplayMark(Struct, frozen=True):
    """A proof that is being spent.

    ``key`` is the SHA-256 of what identifies the use; ``mint_id`` shows, after a commit
    of unknown outcome, whose mark it is; the mark outlives the last instant at which
    the proof could pass.
    """

    key: bytes
    mint_id: str
    expires_at: datetime


def encode_audit(record: AuditRecord) -> AuditRow:
    """A record as a row of plain values that both databases accept."""
    session = record.session
    minted = provider = ""
    if session is not None:
        minted = str(session.get("access_key_id") or "")
        provider = str(session.get("provider_arn") or "")
    kind = kind_of(
        record.action,
        record.decision,
        is_mint=session is not None,
        has_provider=bool(provider),
    )
    caller = record.caller_arn
    if not provider:
        # An unsigned caller is listed as its provider; a refused proof has no caller
        # and is listed with the provider it names.
        for arn in (caller, *record.resources):
            if _PROVIDER.search(arn):
                provider = arn
                break
    values = _BODY(record)
    body = dict(compress(zip(_BODY_FIELDS, values, strict=True), values))
    key_id, action, decision = record.access_key_id, record.action, record.decision
    if not f"{caller}{key_id}{minted}{action}{decision}{provider}".isprintable():
        caller, key_id, minted = _clean(caller), _clean(key_id), _clean(minted)
        action, decision = _clean(action), _clean(decision)
        provider = _clean(provider)
    return (
        record.event_id,
        to_micros(record.at),
        record.account or "",
        caller,
        key_id,
        minted,
        action,
        decision,
        provider,
        encode_json(body, _simplify),
        kind,
    )


def complete_row(row: Sequence[Any]) -> AuditRow | None:
    """A row as it was kept, also by a version without kinds; None if it is damaged."""
    if len(row) == len(AUDIT_COLUMNS) - 1:
        action, decision, minted, provider = (
            row[_AT[name]]
            for name in ("action", "decision", "minted_key_id", "provider_arn")
        )
        kind = kind_of(
            action,
            decision,
            is_mint=bool(minted),
            has_provider=bool(minted and provider),
        )
        row = (*row, kind)
    return tuple(row) if len(row) == len(AUDIT_COLUMNS) else None


def decode_audit(event_id: str, at: int, account: str, body: str) -> AuditRecord:
    """The record of a row; unknown members of newer versions are dropped."""
    members: dict[str, Any] = {
        name: value for name, value in json.loads(body).items() if name in _BODY_FIELDS
    }
    if "resources" in members:
        members["resources"] = tuple(members["resources"])
    return AuditRecord(
        event_id=event_id,
        at=from_micros(at),
        account=AccountId(account) if account else None,
        **members,
    )


def encode_mark(mark: ReplayMark) -> MarkRow:
    """The row of a mark."""
    return (mark.key, mark.mint_id, to_micros(mark.expires_at))


def _clean(text: str) -> str:
    # PostgreSQL takes no NUL and neither database a lone surrogate; a caller may
    # send both, and its record must not fail for them. The body escapes them.
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _simplify(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return str(value)
