"""The cookie that remembers a browser's account, user and sign-in option.

It is sealed, so that only a browser in which the user has signed in can present it:
`broker.proofs.attempts` counts such browsers separately. It proves nothing else.
"""

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import find_values
from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable
from broker.sessions.vault import SealBrokenError

_NAME = "broker-known"
_LIFE = timedelta(days=400)
"""Browsers cap a cookie's lifetime at 400 days (RFC 6265bis 5.5)."""

_LONGEST = 2048
_PURPOSE = ("known-browser", "", "", "cookie")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBrowser:
    """The content of the cookie.

    ``place`` is the account as its sign-in URL names it, ``way`` the id of the
    identity provider that was used last. ``account``, ``user_id`` and ``id`` (new at
    each sign-in) are set once the user ``name`` (empty for the root user) has signed
    in here with a password.
    """

    place: str
    name: str = ""
    account: str = ""
    user_id: str = ""
    way: str = ""
    id: str = ""


class KnownBrowsers:
    """Reads and writes the cookie."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._vault = deps.vault
        self._secure = deps.secure
        self._name = f"__Host-{_NAME}" if deps.secure else _NAME

    def find(self, request: Request) -> KnownBrowser | None:
        """Read the cookie; None when it is missing or not ours."""
        # Padding has it sent in quotation marks.
        text = "".join(find_values(request, self._name)[-1:]).strip('"')
        if not 0 < len(text) <= _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text.encode("ascii"))
            plain = self._vault.open_sealed(*_PURPOSE, sealed)
            return KnownBrowser(**json.loads(plain))
        except (
            ValueError,
            TypeError,
            binascii.Error,
            SealBrokenError,
            ServiceUnavailable,
        ):
            return None

    def remember(self, response: Response, known: KnownBrowser) -> None:
        """Set the cookie."""
        plain = json.dumps(asdict(known)).encode("ascii")
        try:
            sealed = self._vault.seal(*_PURPOSE, plain)
        except ServiceUnavailable:  # signing in works without it
            return
        response.set_cookie(
            self._name,
            base64.urlsafe_b64encode(sealed).decode("ascii"),
            max_age=int(_LIFE.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        """Clear the cookie."""
        response.delete_cookie(
            self._name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
