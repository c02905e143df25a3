"""Command-line login requests that await the user's consent.

Source: RFC 6749 4.1.1; RFC 7636; RFC 8252 7.3; botocore's signin model.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.signin.begin_limits import BeginLimits
from broker.console.cookies import SessionCookie
from broker.console.deps import ConsoleDeps
from broker.console.forms import Form
from broker.console.request_info import source_address
from broker.errors import ValidationError
from broker.protocols.oidc import pkce
from broker.sessions.handles import Handles

SAME_DEVICE = "arn:aws:signin:::devtools/same-device"
CROSS_DEVICE = "arn:aws:signin:::devtools/cross-device"
_LIFE = timedelta(minutes=10)
_COOKIE = "broker-login"
_CONFIRMATION = "/v1/sessions/confirmation"
_LOOPBACK = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]):([0-9]{1,5})(?:/[A-Za-z0-9._~-]+)*/?"
)
_HIGHEST_PORT = 65_535
_STATE = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")
_METHODS = frozenset({"S256", "SHA-256"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """A login that awaits consent."""

    client_id: str
    redirect_uri: str
    challenge: str
    state: str

    @property
    def on_this_device(self) -> bool:
        """Whether the browser can redirect to the terminal's loopback address."""
        return self.client_id == SAME_DEVICE

    @property
    def loopback_origin(self) -> str:
        """The origin that receives the code."""
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}"

    def answer_url(self, **answer: str) -> str:
        """The redirect URI with an answer and the state."""
        return f"{self.redirect_uri}?{urlencode({**answer, 'state': self.state})}"


def read_login_request(form: Form, public_origin: str) -> LoginRequest:
    """Read the parameters of ``/v1/authorize``.

    Raises:
        ValidationError: One is missing or malformed; the browser is not redirected.
    """
    client_id = form.require("client_id")
    redirect_uri = form.require("redirect_uri")
    if client_id not in {SAME_DEVICE, CROSS_DEVICE}:
        raise ValidationError("There is no such client.")
    if client_id == CROSS_DEVICE:
        fits = redirect_uri == f"{public_origin}{_CONFIRMATION}"
    else:
        match = _LOOPBACK.fullmatch(redirect_uri)
        fits = match is not None and 0 < int(match[1]) <= _HIGHEST_PORT
    if not fits:
        raise ValidationError("The redirect_uri is not allowed for this client.")
    if form.require("response_type") != "code":
        raise ValidationError("The response_type must be code.")
    if form.require("code_challenge_method") not in _METHODS:
        raise ValidationError("The code_challenge_method must be S256.")
    challenge, state = form.require("code_challenge"), form.require("state")
    if not pkce.is_challenge(challenge) or not _STATE.fullmatch(state):
        raise ValidationError("The code_challenge or the state is not well-formed.")
    return LoginRequest(
        client_id=client_id, redirect_uri=redirect_uri, challenge=challenge, state=state
    )


class LoginRequests:
    """Stores login requests for the browser that will answer them."""

    def __init__(self, deps: ConsoleDeps, limits: BeginLimits) -> None:
        self._clock = deps.clock
        self._limits = limits
        self._cookie = SessionCookie(secure=deps.secure, name=_COOKIE)
        self._handles = Handles(deps.cache, deps.vault, "login-request")

    async def put(self, request: Request, login_request: LoginRequest) -> str:
        """Store a request; return its handle.

        Raises:
            Throttling: This address, or all together, sent too many.
            ServiceUnavailable: The cache is unavailable.
        """
        await self._limits.require(source_address(request))
        return await self._handles.put(asdict(login_request), self._clock.now() + _LIFE)

    async def find(self, request: Request) -> LoginRequest | None:
        """Find the request that this browser is to answer."""
        handle = self._cookie.find(request)
        return _read(await self._handles.find(handle)) if handle else None

    async def finish(self, request: Request) -> LoginRequest | None:
        """Read and remove the request that this browser answers."""
        handle = self._cookie.find(request)
        return _read(await self._handles.take(handle)) if handle else None

    def remember(self, response: Response, handle: str) -> None:
        """Set the cookie of the request that the browser is to answer."""
        self._cookie.set(response, handle)

    def forget(self, response: Response) -> None:
        """Clear the cookie."""
        self._cookie.clear(response)


def _read(value: Mapping[str, Any] | None) -> LoginRequest | None:
    if value is None:
        return None
    # A worker of an earlier version stores more than these.
    return LoginRequest(**{one.name: value[one.name] for one in fields(LoginRequest)})
