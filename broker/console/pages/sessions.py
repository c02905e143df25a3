"""*Sessions*: the user's own live sessions, and all of the account's."""

from datetime import UTC, datetime

from starlette.responses import Response

from broker.console.context import HOME
from broker.console.visit import BOTH, PageRoute, Visit, go
from broker.sessions.revoke import forget_session
from broker.stores.cache.port import SessionRecord

OWN = "/console/sessions"
ALL = "/console/sessions/all"
_SHOWN_MAX = 60


async def _own(visit: Visit) -> Response:
    """``/console/sessions``: the user's own; a POST ends one."""
    return await _answer(visit, "Own", OWN)


async def _all(visit: Visit) -> Response:
    """``/console/sessions/all``: all of the account's; a POST ends one."""
    return await _answer(visit, "", ALL)


async def _answer(visit: Visit, whose: str, path: str) -> Response:
    if visit.posted:
        key = visit.form.require("key")
        await visit.perform("signin", f"Revoke{whose}Session", AccessKeyId=key[:128])
        # Best effort: the list leaves out revoked sessions anyway.
        await forget_session(visit.deps.cache, key)
        ended_here = key == visit.who.session.access_key_id
        return go(HOME if ended_here else path)
    records = (await visit.perform("signin", f"List{whose}Sessions"))["Sessions"]
    search = visit.text("q")[:128]
    if search:
        records = [r for r in records if _matches(r, search.lower())]
    return await visit.show(
        "sessions.html",
        path=path,
        is_all=path == ALL,
        search=search,
        rows=[(r, _at(r.issued_at_ms / 1000)) for r in records[:_SHOWN_MAX]],
        ends=_at,
        more=max(0, len(records) - _SHOWN_MAX),
    )


def _matches(record: SessionRecord, search: str) -> bool:
    return any(
        search in text.lower()
        for text in (
            record.principal_arn,
            record.provider_arn,
            record.source_identity,
            record.access_key_id,
        )
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


PAGES = (
    PageRoute(OWN, "sessions", _own, BOTH),
    PageRoute(ALL, "all-sessions", _all, BOTH),
)
