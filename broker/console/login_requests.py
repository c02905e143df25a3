"""Logins of clients on this computer that await the user's consent.

Source: RFC 6749 4.1.1; RFC 7636; RFC 8252 7.3; botocore's signin model.
"""

import re
from datetime import timedelta
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from broker.actions.signin.begin_limits import BeginLimits
from broker.console.cookies import BrowserHandles
from broker.console.deps import ConsoleDeps
from broker.console.destinations import origin_of
from broker.console.forms import Form
from broker.console.rendering import see_other
from broker.console.request_info import source_address
from broker.errors import ValidationError
from broker.protocols.oidc import pkce

SAME_DEVICE = "arn:aws:signin:::devtools/same-device"
CROSS_DEVICE = "arn:aws:signin:::devtools/cross-device"
GONE = "This login is no longer open. Start it again in your terminal."
_LIFE = timedelta(minutes=10)
_CONFIRMATION = "/v1/sessions/confirmation"
_LOOPBACK = re.compile(
    r"http://(?:127\.0\.0\.1|\[::1\]):([0-9]{1,5})(?:/[A-Za-z0-9._~-]+)*/?"
)
_HIGHEST_PORT = 65_535
_STATE = re.compile(r"[\x20-\x7e]{1,2048}")
_METHODS = frozenset({"S256", "SHA-256"})


class LoginRequest(Struct, frozen=True, kw_only=True):
    """A login that awaits consent.

    ``client_name`` and ``place`` are those of a client of the access portal.
    """

    client_id: str
    redirect_uri: str
    challenge: str
    state: str
    client_name: str = ""
    place: str = ""

    @property
    def on_this_device(self) -> bool:
        """Whether the browser can redirect to the terminal's loopback address."""
        return self.client_id != CROSS_DEVICE

    @property
    def origin(self) -> str:
        """The origin that receives the code."""
        return origin_of(self.redirect_uri)

    def answer_url(self, **answer: str) -> str:
        """The redirect URI, which may have a query, with an answer and the state."""
        joint = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{joint}{urlencode({**answer, 'state': self.state})}"

    def check_shown(self, form: Form) -> None:
        """Check that a form was shown for this request.

        Another login may have been opened in this browser since.

        Raises:
            ValidationError: It was not.
        """
        if form.find("challenge") != self.challenge:
            raise ValidationError(GONE)


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
    check_code_flow(form, _METHODS)
    challenge, state = form.require("code_challenge"), form.require("state")
    check_challenge(challenge, state)
    return LoginRequest(
        client_id=client_id, redirect_uri=redirect_uri, challenge=challenge, state=state
    )


def check_code_flow(form: Form, methods: frozenset[str] = frozenset({"S256"})) -> None:
    """Check that a code is asked for, with a challenge of one of these methods.

    Raises:
        ValidationError: It is not.
    """
    if form.require("response_type") != "code":
        raise ValidationError("The response_type must be code.")
    if form.require("code_challenge_method") not in methods:
        raise ValidationError("The code_challenge_method must be S256.")


def check_challenge(challenge: str, state: str) -> None:
    """Check what binds an answer to its request.

    Raises:
        ValidationError: It is malformed.
    """
    if not pkce.is_challenge(challenge) or not _STATE.fullmatch(state):
        raise ValidationError("The code_challenge or the state is not well-formed.")


class LoginRequests:
    """Login requests of one kind, each for the browser that will answer it."""

    def __init__(
        self,
        deps: ConsoleDeps,
        limits: BeginLimits,
        cookie: str = "broker-login",
        space: str = "login-request",
    ) -> None:
        self._limits = limits
        self._waiting = BrowserHandles(deps, cookie, space, _LIFE)

    async def begin(self, request: Request, asked: LoginRequest, page: str) -> Response:
        """Redirect to the page that asks this browser's user.

        Raises:
            Throttling: This address, or all together, sent too many.
            ServiceUnavailable: The cache is unavailable.
        """
        await self._limits.require(source_address(request))
        response = see_other(page)
        await self._waiting.put(response, asdict(asked))
        return response

    async def find(self, request: Request) -> LoginRequest | None:
        """Find the request that this browser is to answer."""
        value = await self._waiting.find(request)
        if value is None:
            return None
        # A worker of another version may store more than these, or fewer.
        known = set(LoginRequest.__struct_fields__) & value.keys()
        return LoginRequest(**{name: value[name] for name in known})

    async def require(self, request: Request) -> LoginRequest:
        """Like `find`.

        Raises:
            ValidationError: There is none.
        """
        asked = await self.find(request)
        if asked is None:
            raise ValidationError(GONE)
        return asked

    async def finish(self, request: Request, answer: Response) -> Response:
        """Remove the request and clear its cookie, with what answers the client.

        The last step, so that one that failed can be repeated.

        Raises:
            ValidationError: It was answered before; of two presses one counts.
        """
        if await self._waiting.take(request) is None:
            raise ValidationError(GONE)
        self._waiting.forget(answer)
        return answer
