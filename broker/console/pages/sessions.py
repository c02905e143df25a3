"""*Sessions*: the user's own live sessions, and all of the account's."""

from collections.abc import Iterable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import HOME
from broker.console.page_frame import PageFrame, Route
from broker.console.rendering import see_other
from broker.sessions.revoke import forget_session
from broker.stores.cache.port import SessionRecord

OWN = "/console/sessions"
ALL = "/console/sessions/all"
_SHOWN_MAX = 60


class SessionPages:
    """The two lists, and ending a session on them."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        return ((OWN, ["GET", "POST"], self.own), (ALL, ["GET", "POST"], self.all))

    async def own(self, request: Request) -> Response:
        """``/console/sessions``: the user's own; a POST ends one."""
        return await self._answer(request, "Own", OWN)

    async def all(self, request: Request) -> Response:
        """``/console/sessions/all``: all of the account's; a POST ends one."""
        return await self._answer(request, "", ALL)

    async def _answer(self, request: Request, whose: str, path: str) -> Response:
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        form, who = entered
        if request.method == "POST":
            key = form.require("key")
            await self._frame.perform(
                request,
                who,
                ("signin", f"Revoke{whose}Session"),
                {"AccessKeyId": key[:128]},
            )
            # Best effort: the list leaves out revoked sessions anyway.
            await forget_session(self._frame.context.deps.cache, key)
            ended_here = key == who.session.access_key_id
            return see_other(HOME if ended_here else path)
        result = await self._frame.perform(
            request, who, ("signin", f"List{whose}Sessions"), {}
        )
        records = result["Sessions"]
        search = (form.find("q") or "").strip()[:128]
        if search:
            records = [r for r in records if _matches(r, search.lower())]
        return await self._frame.show(
            request,
            who,
            "sessions.html",
            "all-sessions" if path == ALL else "sessions",
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
