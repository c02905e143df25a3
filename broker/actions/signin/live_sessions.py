"""Live sessions: one's own, and those of the account for whoever may see them.

``ListOwnSessions`` and ``RevokeOwnSession`` need no permission; ``ListSessions`` and
``RevokeSession`` do. What is listed comes from the cache, so it may miss a session,
but shows none that was revoked.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypedDict

from broker.actions.action import Action, Call, Given, needs_nothing
from broker.authz.need import Need
from broker.errors import NoSuchEntity
from broker.model.page import PageRequest
from broker.model.session import Session, SessionKind
from broker.sessions.revoke import revoke_session
from broker.stores.cache.port import Cache, SessionRecord

_PAGE = 500
_PAGES_MAX = 10
_EVERY = "*"


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
            Action(
                service="signin",
                name="ListOwnSessions",
                needs=needs_nothing,
                handle=self._list_own,
            ),
            Action(
                service="signin",
                name="RevokeOwnSession",
                needs=needs_nothing,
                handle=_end,
                prepare=self._choose_own,
                writes=True,
                audited=("AccessKeyId",),
            ),
            Action(
                service="signin",
                name="ListSessions",
                needs=_may_list,
                handle=self._list,
            ),
            Action(
                service="signin",
                name="RevokeSession",
                needs=self._may_revoke,
                handle=_end,
                prepare=self._choose,
                writes=True,
                audited=("AccessKeyId",),
            ),
        )

    async def _list(self, _given: Given, call: Call) -> Mapping[str, Any]:
        return {"Sessions": _newest_first(await self.of_account(call))}

    async def _list_own(self, _given: Given, call: Call) -> Mapping[str, Any]:
        return {"Sessions": _newest_first(await self._own(call))}

    async def _may_revoke(self, given: RevokeRequest, call: Call) -> tuple[Need, ...]:
        record = await self._find(given, call)
        # Without such a session only a permission for all of them will do, so that
        # nobody learns which keys there are.
        resource = _EVERY if record is None else record.principal_arn
        return (
            Need(
                action="signin:RevokeSession", resource=resource, account=call.account
            ),
        )

    # The cache may share the database's one writer, so it is asked before the
    # transaction begins.

    async def _choose(self, given: RevokeRequest, call: Call) -> None:
        call.prepared = await self._find(given, call)

    async def _choose_own(self, given: RevokeRequest, call: Call) -> None:
        call.prepared = next(
            (
                record
                for record in await self._own(call)
                if record.access_key_id == given["AccessKeyId"]
            ),
            None,
        )

    async def _find(self, given: RevokeRequest, call: Call) -> SessionRecord | None:
        record = await self._cache.find_session(given["AccessKeyId"])
        return None if record is None or record.account != call.account else record

    async def of_account(self, call: Call) -> list[SessionRecord]:
        """The account's sessions, without those that were revoked."""
        revocations = await call.directory.revocations(call.account)
        found: list[SessionRecord] = []
        marker: str | None = None
        for _ in range(_PAGES_MAX):
            page = await self._cache.list_sessions(
                call.account, PageRequest(marker, _PAGE)
            )
            found += (
                record
                for record in page.items
                if not revocations.cover(
                    record.access_key_id,
                    record.issued_at_ms,
                    (call.account, record.principal_id),
                )
                and record.parent_key_id not in revocations.access_key_ids
            )
            marker = page.marker
            if marker is None:
                break
        return found

    async def _own(self, call: Call) -> list[SessionRecord]:
        session = call.caller.session
        if session is None:
            return []
        return own_sessions(
            session, call.caller.principal.arn, await self.of_account(call)
        )


def own_sessions(
    session: Session, arn: str, live: Sequence[SessionRecord]
) -> list[SessionRecord]:
    """Those of the sessions that are certainly the same person's.

    That is the session itself, what was made from it, a user's other sign-ins, and,
    where the provider's assertion gives the session its name, other sessions of that
    name. Elsewhere the caller picks the name, so that it proves nothing.
    """
    family = {session.access_key_id}
    if session.kind is SessionKind.CONSOLE:
        # The very same user: nobody else's session has this unique id.
        family |= {
            record.access_key_id
            for record in live
            if record.kind == SessionKind.CONSOLE.value
            and record.principal_id == session.principal_id
        }
    if session.kind is SessionKind.SAML and session.provider_arn:
        family |= {
            record.access_key_id
            for record in live
            if record.kind == SessionKind.SAML.value
            and record.principal_arn == arn
            and record.principal_id == session.principal_id
            and record.provider_arn == session.provider_arn
        }
    return made_from(family, live)


def made_from(
    keys: AbstractSet[str], live: Sequence[SessionRecord]
) -> list[SessionRecord]:
    """The sessions with these keys, what was made from them, and so on."""
    family = set(keys)
    grown = 0
    while len(family) > grown:
        grown = len(family)
        family |= {r.access_key_id for r in live if r.parent_key_id in family}
    return [record for record in live if record.access_key_id in family]


async def _end(_given: Given, call: Call) -> Mapping[str, Any]:
    record = call.prepared
    if not isinstance(record, SessionRecord):
        raise NoSuchEntity("There is no such live session.")
    await revoke_session(
        call.change,
        account=call.account,
        access_key_id=record.access_key_id,
        now=call.now,
        expires_at=record.expires_at,
        reason=f"by {call.caller.principal.arn}",
    )
    return {}


async def _may_list(_given: Given, call: Call) -> tuple[Need, ...]:
    return (Need(action="signin:ListSessions", resource=_EVERY, account=call.account),)


def _newest_first(records: list[SessionRecord]) -> list[SessionRecord]:
    return sorted(records, key=lambda record: -record.issued_at_ms)
