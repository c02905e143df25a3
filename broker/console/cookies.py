"""The console's cookie: its name, its attributes, its value in a request.

Source: RFC 6265bis, "The __Host- Prefix".
"""

from starlette.requests import Request
from starlette.responses import Response

_NAME = "broker-session"
_HANDLE_LENGTH = 43


class SessionCookie:
    """The one cookie; ``secure`` when browsers reach the broker by https.

    It has no expiry of its own: the browser keeps it until it is closed, so that a
    session's end can be told from never having signed in.
    """

    def __init__(self, *, secure: bool, name: str = _NAME) -> None:
        self.name = f"__Host-{name}" if secure else name
        self._secure = secure

    def find(self, request: Request) -> str | None:
        """The value; None when it is absent, sent twice or no value of ours."""
        prefix = f"{self.name}="
        found = [
            part.strip().removeprefix(prefix)
            for header in request.headers.getlist("cookie")
            for part in header.split(";")
            if part.strip().startswith(prefix)
        ]
        if len(found) != 1 or len(found[0]) != _HANDLE_LENGTH:
            return None
        return found[0]

    def set(self, response: Response, value: str) -> None:
        """Have the browser keep a new value."""
        response.set_cookie(
            self.name,
            value,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        """Have the browser forget it."""
        response.delete_cookie(
            self.name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
