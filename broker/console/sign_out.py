"""Signing out: console sessions end, durably and with an audit record.

The user ends the browser's own; an identity provider's request ends all that began there.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession
from broker.console.context import ConsoleContext
from broker.console.forms import read_form
from broker.console.provider_logins import Logout, OpenLogin
from broker.console.rendering import see_other
from broker.errors import BrokerError, InvalidIdentityToken
from broker.model.entities import OidcProvider, SamlProvider
from broker.model.principal import Principal, PrincipalType
from broker.model.request import Door
from broker.model.session import Caller
from broker.proofs.claimed_providers import ClaimedProvider
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult

SIGNED_OUT = "/signin/signed-out"
_ONWARD = ("/console", "/signin", "/federation")


async def end_session(
    context: ConsoleContext, request: Request, who: ConsoleSession
) -> None:
    """End a session, the session it was switched from, and the login behind them.

    Raises:
        ServiceUnavailable: A store is unavailable; what has not ended yet goes on.
    """
    original = await context.sessions.find_original(who, context.deps.clock.now())
    if isinstance(original, ConsoleSession):
        await _end(context, request, original)
    await _end(context, request, who)
    if who.origin.login:
        await context.logins.forget(who.origin.login)
    await context.sessions.forget(who)


async def _end(context: ConsoleContext, request: Request, who: ConsoleSession) -> None:
    # The console changes things by POST only, but AWS's sign-out links are GETs.
    door = Door.CONSOLE if request.method == "POST" else Door.FEDERATION
    await context.perform(
        request,
        door,
        ("signin", "ConsoleLogout"),
        who.caller,
        lambda: {"Marks": who.end_marks, "ExpiresAt": who.session.expires_at},
    )


class SignOut:
    """Ends the browser's console session."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def post(self, request: Request) -> Response:
        """``POST /console/sign-out``."""
        form = await read_form(request)
        who = await self._context.find_session(request)
        if isinstance(who, ConsoleSession):
            self._context.require_csrf(request, form, who.cookie)
        return await self.leave(request, "")

    async def leave(self, request: Request, onward: str) -> Response:
        """End the session, if there is one, and redirect to ``onward`` if allowed.

        Raises:
            ServiceUnavailable: A store is unavailable; the session goes on.
        """
        context = self._context
        who = await context.find_session(request)
        cookie = context.cookie.find(request)
        login = None
        if who is not None and who.origin.login:
            login = await context.logins.find_one(who.origin.login)
        if isinstance(who, ConsoleSession):
            await end_session(context, request, who)
        elif cookie is not None:
            await context.sessions.close(cookie)
        target = context.destinations.find_safe(onward, _ONWARD)
        if target is None:
            target = SIGNED_OUT
            if login is not None and login.can_end:
                target += f"?there={await context.logins.offer_provider_logout(login)}"
        response = see_other(target)
        context.cookie.clear(response)
        return response


async def end_by_provider(
    context: ConsoleContext,
    request: Request,
    provider: OidcProvider | SamlProvider,
    verify: Callable[[datetime], Awaitable[Logout]],
    used: InvalidIdentityToken,
) -> list[OpenLogin]:
    """End the logins that a provider's request names, and all that came of them.

    ``verify`` reads the request; ``used`` is raised for one that was used before.

    Raises:
        BrokerError: The request is refused.
    """
    logins, received = context.logins, list[Logout]()
    open_logins: list[OpenLogin] = []
    door, kind = Door.SIGN_IN, PrincipalType.WEB_IDENTITY
    if isinstance(provider, SamlProvider):
        door, kind = Door.SAML, PrincipalType.SAML

    async def prove(now: datetime) -> ProofResult:
        try:
            logout = await verify(now)
            if await logins.was_used(logout):
                raise used
        except BrokerError as error:
            claimed = ClaimedProvider(provider.account, provider)
            raise ProofRefused.of(error, claimed) from error
        received.append(logout)
        open_logins.extend(await logins.end_all(logout))
        subject = logout.subject
        if not subject and open_logins:
            subject = open_logins[0].login.subject
        principal = Principal.from_provider(
            kind, provider.account, provider=provider.arn, subject=subject
        )
        return ProofResult(caller=Caller(principal=principal))

    await context.perform(
        request,
        door,
        ("signin", "EndConsoleSessions"),
        DoorProof(prove),
        lambda: {
            "AccessKeyIds": [open_login.access_key_id for open_login in open_logins],
            "EndMarks": logins.end_marks(received[0]),
        },
    )
    for login in open_logins:
        await logins.forget(login.handle)
    await logins.use_up(received[0])
    return open_logins
