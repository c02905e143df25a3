"""A session's metadata, as the cache lists it and the audit record keeps it."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from operator import attrgetter
from typing import Any

from broker.model.account import parse_account_id
from broker.model.lineage import Lineage, lineage_row, read_lineage
from broker.model.session import Session
from broker.model.upstream import UpstreamOrigin, origin_row, read_origin
from broker.runtime.offload import begin
from broker.stores.cache.port import Cache, SessionRecord
from broker.stores.errors import StoreUnavailableError

_PENDING_MAX = 1000
_POLICY_CHARACTERS = 2048
"""Of a session policy, as AWS limits what a caller gives."""

_POLICIES_MAX = 4
"""Of a session's policies, in its record; those before are in the records before."""

_log = logging.getLogger(__name__)

_RECORDED = tuple(
    name
    for name in SessionRecord.__struct_fields__
    if name not in {"tags", "lineage", "upstream", "client"}
)
_RECORD = attrgetter(*_RECORDED)


def describe_session(
    session: Session, principal_arn: str, upstream: UpstreamOrigin | None = None
) -> SessionRecord:
    """The session without anything secret; ``principal_arn`` is the session's own."""
    return SessionRecord(
        access_key_id=session.access_key_id,
        account=session.account,
        kind=session.kind,
        principal_arn=principal_arn,
        principal_id=session.principal_id,
        issued_at_ms=session.issued_at_ms,
        expires_at=session.expires_at,
        provider_arn=session.provider_arn or "",
        source_identity=session.source_identity or "",
        parent_key_id=session.parent_key_id,
        tags=session.tags,
        provider_id=session.provider_id,
        mint_id=session.mint_id,
        lineage=session.lineage,
        upstream=upstream,
    )


def audit_session(record: SessionRecord, session: Session) -> dict[str, object]:
    """The part of the audit record about minted credentials."""
    return {
        **dict(zip(_RECORDED, _RECORD(record), strict=True)),
        "tags": dict(session.tags),
        "transitive_keys": sorted(session.transitive_keys),
        "policy_arns": [arn for layer in session.policies for arn in layer.policy_arns],
        **({"policies": _policies(session)} if session.policies else {}),
        "chain_depth": session.chain_depth,
        "lineage": lineage_row(session.lineage),
        **({"upstream": origin_row(record.upstream)} if record.upstream else {}),
    }


def _policies(session: Session) -> list[str]:
    """The session policies as they were given, the last one first, within a bound."""
    texts = [
        policies.policy for policies in reversed(session.policies) if policies.policy
    ]
    return [text[:_POLICY_CHARACTERS] for text in texts[:_POLICIES_MAX]]


def read_audited(session: Mapping[str, Any]) -> SessionRecord:
    """The inverse of ``audit_session``, for records of every version.

    Raises:
        ValueError, KeyError: it is not a session's.
    """
    return SessionRecord(
        access_key_id=session["access_key_id"],
        account=parse_account_id(session["account"]),
        kind=session.get("kind") or "",
        principal_arn=session.get("principal_arn") or "",
        principal_id=session.get("principal_id") or "",
        issued_at_ms=session["issued_at_ms"],
        expires_at=session["expires_at"],
        provider_arn=session.get("provider_arn") or "",
        source_identity=session.get("source_identity") or "",
        parent_key_id=session.get("parent_key_id") or "",
        tags=session.get("tags") or {},
        provider_id=session.get("provider_id") or "",
        mint_id=session.get("mint_id") or "",
        lineage=read_lineage(session.get("lineage") or ()),
        upstream=read_origin(session.get("upstream") or ()),
    )


def show_lineage(lineage: Lineage) -> dict[str, object]:
    """A lineage in words, for people."""
    origin = lineage.origin
    began = {
        "account": origin.account,
        "access_key_id": origin.access_key_id,
        "principal_id": origin.principal_id,
        "subject_digest": origin.subject,
    }
    view: dict[str, object] = {
        "began_with": {name: value for name, value in began.items() if value},
        "mfa_shown": origin.mfa_shown,
        "made_from": [
            {
                "access_key_id": ancestor.access_key_id,
                "account": ancestor.account,
                "principal_id": ancestor.principal_id,
                "issued_at_ms": ancestor.issued_at_ms,
            }
            for ancestor in lineage.ancestors
        ],
    }
    if lineage.folded:
        view["folded_after_the_first"] = {
            "principal_ids": [ancestors.principal_id for ancestors in lineage.folded],
            "issued_from_ms": min(ancestors.first_ms for ancestors in lineage.folded),
            "issued_until_ms": lineage.folded_until_ms,
        }
    return view


class SessionIndex:
    """Keeps session records in the cache, on a best-effort basis.

    A lost record costs only a line in a listing, so no call waits for a cache that
    failed a moment ago: until a write succeeds again, writes happen after the answer.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._healthy = True
        self._pending: set[asyncio.Task[None]] = set()

    async def put(self, record: SessionRecord, *, later: bool = False) -> None:
        """Write the record, waiting only while the cache is healthy. Never raises."""
        if not self._healthy and not later:
            self.put_later(record)
            return
        try:
            await self._cache.put_session(record)
        except StoreUnavailableError as error:
            if self._healthy:
                _log.error("the session cache is away: %s", error)
            self._healthy = False
        else:
            self._healthy = True

    def put_later(self, record: SessionRecord) -> None:
        """Write the record behind the answer; dropped when too many wait."""
        if len(self._pending) < _PENDING_MAX:
            self._start(self.put(record, later=True))

    async def settle(self) -> None:
        """Wait for the writes under way; for an orderly end."""
        while self._pending:
            await asyncio.wait(tuple(self._pending))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = begin(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
