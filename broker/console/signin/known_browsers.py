"""What a browser is remembered by: the account, the user, the way that was chosen.

The cookie is sealed, so that only a browser in which a user signed in can say so; see
`broker.authn.attempts` for what that is good for. It proves nothing else.
"""

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from broker.authn.attempts import counted_name
from broker.console.deps import ConsoleDeps
from broker.sessions.keys import KeyringError
from broker.sessions.vault import SealBrokenError

_NAME = "broker-known"
_LIFE = timedelta(days=400)
"""The longest that browsers keep a cookie."""

_LONGEST = 2048
_PURPOSE = ("known-browser", "", "", "cookie")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBrowser:
    """What is remembered.

    ``place`` is the account as its sign-in address names it; ``way`` the id of the
    identity provider that was chosen last. ``account``, ``user_id`` and ``id`` (new at
    each sign-in) are set once the user ``name`` (empty: the root) signed in here with
    a password.
    """

    place: str
    name: str = ""
    account: str = ""
    user_id: str = ""
    way: str = ""
    id: str = ""

    @property
    def who(self) -> str:
        """Who signed in with a password, as `broker.authn.attempts` counts them."""
        return counted_name(self.name, is_root=not self.name)


class KnownBrowsers:
    """Reads and writes the cookie."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._vault = deps.vault
        self._secure = deps.secure
        self._name = f"__Host-{_NAME}" if deps.secure else _NAME

    def find(self, request: Request) -> KnownBrowser | None:
        """What this browser is known by; None for one that is not, or says nonsense."""
        text = request.cookies.get(self._name, "")
        if not 0 < len(text) <= _LONGEST:
            return None
        try:
            sealed = base64.urlsafe_b64decode(text.encode("ascii"))
            plain = self._vault.open_sealed(*_PURPOSE, sealed)
            return KnownBrowser(**json.loads(plain))
        except (ValueError, TypeError, binascii.Error, SealBrokenError):
            return None

    def remember(self, response: Response, known: KnownBrowser) -> None:
        """Have the browser keep it."""
        plain = json.dumps(asdict(known)).encode("ascii")
        try:
            sealed = self._vault.seal(*_PURPOSE, plain)
        except KeyringError:  # a convenience only
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
        """Have the browser forget it."""
        response.delete_cookie(
            self._name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
