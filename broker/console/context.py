"""What all endpoints of the console share: pages, cookies, sessions, destinations."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import structs
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker.actions.action import Action, Call
from broker.actions.signin.begin_limits import BeginLimits
from broker.console.console_session import ConsoleSession, ConsoleSessions, EndedSession
from broker.console.cookies import Flash, KnownBrowsers, SessionCookie
from broker.console.csrf import FIELD, StaleFormError, csrf_token, require_csrf
from broker.console.deps import ConsoleDeps
from broker.console.destinations import Destinations
from broker.console.forms import Form
from broker.console.parked import Browsers, Parked
from broker.console.provider_logins import ProviderLogins
from broker.console.rendering import Pages
from broker.console.request_info import note, raw_request, request_id
from broker.errors import AccessDenied
from broker.model.request import Door, Params, RequestContext
from broker.model.session import Caller
from broker.proofs.scheme import DoorProof, ProofResult, Read, Scheme
from broker.sessions.ends import OneTimeUse, SessionHandles
from broker.sessions.issue import KeepCredentials

HOME = "/console/"
LOGIN = "/console/login"
SIGN_IN = "/signin"

CallerProof = Callable[[datetime], Awaitable[Caller]]
Precondition = Callable[[Call], Awaitable[None]]
FindOneTimeUse = Callable[[], OneTimeUse | None]


class ConsoleContext:
    """The shared parts, built once."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self.deps = deps
        origins = (deps.public_origin, *deps.allowed_origins)
        self.pages = Pages(origins, deps.documentation)
        self.cookie = SessionCookie(secure=deps.secure)
        self.flash = Flash(secure=deps.secure)
        self.logins = ProviderLogins(deps)
        self.sessions = ConsoleSessions(
            SessionHandles(
                deps.cache, deps.vault, "console", deps.resolver, deps.fresh
            ),
            self.logins,
            deps.cache,
        )
        self.browsers = Browsers(deps)
        self.login_states = Parked(deps, self.browsers, "sign-in")
        self.ways_out = Parked(deps, self.browsers, "oidc-way-out")
        self.known = KnownBrowsers(deps)
        self.begin_limits = BeginLimits(deps.pipeline.rates)
        self.destinations = Destinations(
            deps.public_origin, deps.allowed_origins, deps.host_aliases
        )

    async def find_session(
        self, request: Request
    ) -> ConsoleSession | EndedSession | None:
        """Find the session of the request's cookie."""
        return await self.sessions.find(
            self.cookie.find(request), self.deps.clock.now()
        )

    def destination_of(self, form: Form) -> str:
        """Where a sign-in is to lead, if we may send a browser there; or empty."""
        return self.destinations.find_safe(form.find("Destination") or "") or ""

    def show_form(
        self, request: Request, template: str, status: int = 200, **context: object
    ) -> Response:
        """A page with a form for who is not signed in yet, bound to the browser."""
        browser = self.browsers.of(request)
        page = self.pages.show(
            request, template, status, csrf=csrf_token(browser.id), **context
        )
        self.browsers.remember(page, browser)
        return page

    def require_own_form(self, request: Request, form: Form) -> None:
        """Require that a form comes from a page that `show_form` gave this browser.

        Raises:
            AccessDenied: It was sent from another site.
            StaleFormError: The browser's cookie is missing or newer.
        """
        self.require_csrf(request, form, self.browsers.of(request).id)

    def find_stale_form(self, request: Request, form: Form) -> str:
        """Like `require_own_form`, for a form that can be shown again: why, or empty.

        Raises:
            AccessDenied: It was sent from another site.
        """
        try:
            self.require_own_form(request, form)
        except StaleFormError:
            return "This page was open for too long. Try again."
        return ""

    def require_csrf(self, request: Request, form: Form, cookie: str) -> None:
        """Require that a form carries the CSRF token of the session with this cookie.

        Raises:
            AccessDenied: It does not, or another site sent it.
        """
        require_csrf(request, form.find(FIELD), cookie, self.deps.public_origin)

    async def perform(
        self,
        request: Request,
        door: Door,
        action: tuple[str, str],
        proof: Caller | CallerProof | Scheme | None,
        read: Callable[[], Params],
        *,
        first: Precondition | None = None,
        one_time_use: FindOneTimeUse | None = None,
        keep: KeepCredentials | None = None,
    ) -> Mapping[str, Any]:
        """Perform an action through the pipeline, with the given proof.

        Without ``proof`` the action's own scheme applies, as at the API; a caller was
        proved before, by a cookie. ``first``
        runs inside the action's transaction, before its work. ``one_time_use`` is
        called after the proof and says what the mint uses up; before that, ``keep`` is
        called with the mint's credentials, and stops it by raising.

        Raises:
            BrokerError: The action failed; the failure is audited.
            AccessDenied: A console link, not a form, would change something.
        """
        name = action[1]
        note(request, action=name)
        known = self.deps.registry.get(*action)
        if known.writes and door is Door.CONSOLE and request.method != "POST":
            raise AccessDenied("A link cannot change anything; use the form.")
        if first is not None:
            known = _preceded(known, first)
        pipeline = self.deps.pipeline
        if isinstance(proof, Caller):
            proof = _known(proof)
        scheme = DoorProof(_proved(proof)) if callable(proof) else proof
        if one_time_use is not None or keep is not None:
            scheme = _MintingScheme(
                scheme or pipeline.schemes[known.proof], one_time_use, keep
            )
        context = pipeline.receive(raw_request(request), request_id(request), door)
        return await pipeline.perform(context, known, read, scheme)


class _MintingScheme:
    """A scheme whose proof leads to a mint that uses something up, or is kept first."""

    def __init__(
        self,
        scheme: Scheme,
        one_time_use: FindOneTimeUse | None,
        keep: KeepCredentials | None,
    ) -> None:
        self._scheme = scheme
        self._one_time_use = one_time_use
        self._keep = keep

    async def prove(
        self, request: RequestContext, service: str, action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Prove with the wrapped scheme, and add what the mint does."""
        proved, params = await self._scheme.prove(request, service, action, read)
        use = self._one_time_use() if self._one_time_use else proved.one_time_use
        return structs.replace(proved, one_time_use=use, keep=self._keep), params


def _known(caller: Caller) -> CallerProof:
    async def prove(_now: datetime) -> Caller:
        return caller

    return prove


def _proved(prove: CallerProof) -> Callable[[datetime], Awaitable[ProofResult]]:
    async def find(now: datetime) -> ProofResult:
        return ProofResult(caller=await prove(now))

    return find


def _preceded(action: Action, first: Precondition) -> Action:
    async def handle(params: Params, call: Call) -> Mapping[str, Any] | None:
        await first(call)
        return await action.handle(params, call)

    return replace(action, handle=handle)
