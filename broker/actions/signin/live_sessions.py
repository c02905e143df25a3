"""Live sessions: the caller's own, and with permission those of the account.

``ListOwnSessions`` and ``RevokeOwnSession`` need no permission; ``ListSessions`` and
``RevokeSession`` do. The lists come from the cache, so they may miss a session, but
contain none that was revoked.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, console_action, needing, needs_nothing
from broker.errors import NoSuchEntity
from broker.model.page import PageRequest
from broker.model.request import Params
from broker.model.session import Session, SessionKind
from broker.permit.need import Need
from broker.sessions.lineage import LineageSnapshot, find_end, trace
from broker.sessions.revoke import revoke_session
from broker.stores.cache.port import Cache, SessionRecord

_PAGE = 100
_PAGES_MAX = 50
_EVERY = "*"


class ListRequest(TypedDict):
    """Sessions with a text in what identifies them; without one, the first ``Limit``."""

    Text: NotRequired[str]
    Limit: NotRequired[int]


class RevokeRequest(TypedDict):
    """The session to end."""

    AccessKeyId: str


class LiveSessions:
    """The handlers, with what they need."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            console_action("ListOwnSessions", needs_nothing, self._list_own),
            console_action(
                "RevokeOwnSession",
                needs_nothing,
                _end,
                "AccessKeyId",
                prepare=self._choose_own,
                writes=True,
                calls=0,
            ),
            console_action(
                "ListSessions", needing(("signin:ListSessions", "")), self._list, "Text"
            ),
            console_action(
                "RevokeSession",
                self._may_revoke,
                _end,
                "AccessKeyId",
                prepare=self._find,
                writes=True,
                calls=0,
            ),
        )

    async def _list(self, params: ListRequest, call: Call) -> Mapping[str, Any]:
        """``Sessions``, newest first; ``Whole`` unless there may be more."""
        text = params.get("Text", "").lower()
        pages = _PAGES_MAX
        if not text and "Limit" in params:
            pages = -(-params["Limit"] // _PAGE)
        records, is_whole = await self._read(call, pages, text)
        return {"Sessions": _newest_first(records), "Whole": is_whole}

    async def _list_own(self, _given: Params, call: Call) -> Mapping[str, Any]:
        return {"Sessions": _newest_first(await self._own(call))}

    async def _may_revoke(self, params: RevokeRequest, call: Call) -> tuple[Need, ...]:
        record = await self._find(params, call)
        # An unknown session needs the permission for all sessions; otherwise the error
        # would reveal which keys exist.
        resource = _EVERY if record is None else record.principal_arn
        return (
            Need(
                action="signin:RevokeSession", resource=resource, account=call.account
            ),
        )

    async def _choose_own(
        self, params: RevokeRequest, call: Call
    ) -> SessionRecord | None:
        return next(
            (
                record
                for record in await self._own(call)
                if record.access_key_id == params["AccessKeyId"]
            ),
            None,
        )

    # The cache may share the database's single writer, so it is read before the
    # transaction begins.

    async def _find(self, params: RevokeRequest, call: Call) -> SessionRecord | None:
        record = await self._cache.find_session(params["AccessKeyId"])
        return None if record is None or record.account != call.account else record

    async def of_account(self, call: Call) -> list[SessionRecord]:
        """The account's sessions, without those that were revoked."""
        records, _ = await self._read(call, _PAGES_MAX, "")
        return records

    async def _read(
        self, call: Call, pages: int, text: str
    ) -> tuple[list[SessionRecord], bool]:
        directory = LineageSnapshot(call.directory)
        records: list[SessionRecord] = []
        marker: str | None = None
        for _ in range(pages):
            page = await self._cache.list_sessions(
                call.account, PageRequest(marker, _PAGE)
            )
            records += [
                record
                for record in page.items
                if (not text or _has_text(record, text))
                and not await find_end(trace(record), directory)
            ]
            marker = page.marker
            if marker is None:
                break
            await asyncio.sleep(0)  # thousands take longer than other calls should wait
        return records, marker is None

    async def _own(self, call: Call) -> list[SessionRecord]:
        session = call.caller.session
        if session is None:
            return []
        return own_sessions(session, await self.of_account(call))


def own_sessions(
    session: Session, live: Sequence[SessionRecord]
) -> list[SessionRecord]:
    """Those sessions that certainly belong to the same person.

    That is the session itself, what was derived from it, a user's other sign-ins, and
    sessions of the same subject at the same provider. Names prove nothing: they can be
    chosen, and two people may have the same one.
    """
    family = {session.access_key_id}
    mints = {session.mint_id} - {""}
    if session.kind is SessionKind.CONSOLE:
        # Unique ids are never reused, so this is the same user.
        for record in live:
            if (
                record.kind == SessionKind.CONSOLE.value
                and record.principal_id == session.principal_id
            ):
                family.add(record.access_key_id)
                mints.add(record.mint_id)
    subject = session.lineage.origin.subject
    return [
        record
        for record in live
        if record.access_key_id in family
        or (
            subject
            and record.lineage.origin.subject == subject
            and record.provider_id == session.provider_id
        )
        or any(
            ancestor.mint_id in mints
            if ancestor.mint_id
            else ancestor.access_key_id in family
            for ancestor in record.lineage.ancestors
        )
    ]


async def _end(_given: Params, call: Call) -> None:
    record = call.prepared
    if not isinstance(record, SessionRecord):
        raise NoSuchEntity("There is no such live session.")
    await revoke_session(
        call.change, record, now=call.now, reason=f"by {call.caller.principal.arn}"
    )


def _has_text(record: SessionRecord, text: str) -> bool:
    return any(
        text in each.lower()
        for each in (
            record.principal_arn,
            record.provider_arn,
            record.source_identity,
            record.access_key_id,
        )
    )


def _newest_first(records: list[SessionRecord]) -> list[SessionRecord]:
    return sorted(records, key=lambda record: -record.issued_at_ms)
