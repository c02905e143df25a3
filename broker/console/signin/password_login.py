"""The end of a password sign-in: the mint and the browser's cookie."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.known_browsers import KnownBrowser
from broker.console.password_progress import PasswordProgress
from broker.console.request_info import raw_request
from broker.errors import AccessDenied
from broker.kinds.credential_report import PASSWORD_USE
from broker.model.caller import Caller
from broker.model.principal import Principal
from broker.model.request import Door
from broker.runtime.entropy import new_handle
from broker.sessions.issue import KeepCredentials
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader

_log = structlog.get_logger(__name__)


class PasswordLogins:
    """Mints the console session of a password sign-in that passed all its steps."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def login(
        self, request: Request, handle: str, keep: KeepCredentials
    ) -> tuple[Mapping[str, Any], PasswordProgress]:
        """Use up a sign-in and mint its console session, which ``keep`` keeps first.

        Raises:
            ValidationError: It is not open, or another browser started it.
            ProofUsed: It was already used.
            ServiceUnavailable: A store is unavailable; the sign-in stays open.
            AccessDenied: The user, password or factor is no longer valid.
        """
        deps = self._context.deps
        given: dict[str, Any] = {}
        found: list[PasswordProgress] = []

        async def prove(now: datetime) -> Caller:
            pending = await self._context.pending.require(request, handle)
            found.append(pending)
            given["PasswordMark"] = pending.mark
            given["MFAUsed"] = "No" if pending.mfa_at is None else "Yes"
            if pending.mfa_at is not None:
                given["MFAAt"] = pending.mfa_at
                given["MFAIdentifier"] = pending.factor
            return await pending_caller(deps.directory, pending, now)

        result = await self._context.perform(
            request,
            Door.SIGN_IN,
            ("signin", "ConsoleLogin"),
            prove,
            lambda: given,
            one_time_use=lambda: found[0].use,
            keep=keep,
        )
        pending = found[0]
        await self._context.pending.forget(handle)
        deps.uses.note(
            pending.account,
            pending.holder,
            *PASSWORD_USE,
            deps.clock.now(),
            deps.endpoints.find_region(raw_request(request)),
        )
        if pending.is_root:
            _log.warning("root user signed in", account=pending.account)
        return result, pending

    def remember(
        self, request: Request, response: Response, pending: PasswordProgress
    ) -> None:
        """Remember the user in the browser if they asked for it; else forget them."""
        known = self._context.known
        if not pending.remember:
            known.forget(response)
            return
        before = known.find(request)
        known.remember(
            response,
            KnownBrowser(
                place=pending.place,
                name=pending.name,
                account=pending.account,
                user_id=pending.holder,
                way=before.way if before and before.place == pending.place else "",
                id=new_handle(),
            ),
        )


async def pending_caller(
    directory: DirectoryReader, pending: PasswordProgress, now: datetime
) -> Caller:
    """Look up the caller of a sign-in.

    Raises:
        AccessDenied: The user no longer exists.
    """
    context = {"aws:multifactorauthpresent": ("false",)}
    if pending.mfa_at is not None:
        age = max(0, int(now.timestamp()) - pending.mfa_at)
        context = {
            "aws:multifactorauthpresent": ("true",),
            "aws:multifactorauthage": (str(age),),
        }
    if pending.is_root:
        return Caller(principal=Principal.root(pending.account), context=context)
    user = await directory.find(USER, pending.account, pending.holder)
    if user is None:
        raise AccessDenied(detail=f"the user {pending.holder} no longer exists")
    return Caller(
        principal=Principal.user(
            pending.account, user_id=user.user_id, path=user.path, name=user.name
        ),
        principal_tags=user.tags,
        context=context,
    )
