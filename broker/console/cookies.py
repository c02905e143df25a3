"""The console's cookies: name, attributes, and value in a request.

Source: RFC 6265bis, "The __Host- Prefix".
"""

from starlette.requests import Request
from starlette.responses import Response

_NAME = "broker-session"
_HANDLE_LENGTH = 43


def find_values(request: Request, name: str) -> list[str]:
    """All values of a cookie, as they were sent.

    ``request.cookies`` also takes quotation marks and escapes away, which takes Python
    before 3.11.10 and 3.12.6 seconds for a long value (CVE-2024-7592).
    """
    prefix = f"{name}="
    return [
        part.strip().removeprefix(prefix)
        for header in request.headers.getlist("cookie")
        for part in header.split(";")
        if part.strip().startswith(prefix)
    ]


class SessionCookie:
    """A cookie that holds a handle; ``secure`` when the broker is served over https.

    It has no expiry, so that the browser still sends it after the session has ended
    and the page can say "your session has ended" rather than "sign in".
    """

    def __init__(self, *, secure: bool, name: str = _NAME) -> None:
        self.name = f"__Host-{name}" if secure else name
        self._secure = secure

    def find(self, request: Request) -> str | None:
        """Return the value; None when it is missing, sent twice or malformed."""
        found = find_values(request, self.name)
        if len(found) != 1 or len(found[0]) != _HANDLE_LENGTH:
            return None
        return found[0]

    def set(self, response: Response, value: str) -> None:
        """Set the cookie."""
        response.set_cookie(
            self.name,
            value,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        """Clear the cookie."""
        response.delete_cookie(
            self.name, path="/", secure=self._secure, httponly=True, samesite="lax"
        )
