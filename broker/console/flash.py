"""A message that the next page shows once, after a redirect.

It travels in a cookie of its own, not in the address, where anyone could make the
broker say something: the cookie carries a code over its text that only holders of the
session's cookie could have made. It ends with the next page, or after a minute.
"""

import base64
import hashlib
import hmac
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from broker.console.cookies import find_values

_NAME = "broker-done"
_PURPOSE = b"broker/1/console/done"
_SECONDS = 60
_TEXT_MAX = 160
_VALUE_MAX = 2048


class Flash:
    """Sets and takes the message; ``secure`` when the broker is served over https."""

    def __init__(self, *, secure: bool) -> None:
        self._name = f"__Host-{_NAME}" if secure else _NAME
        self._secure = secure

    def put(self, response: Response, text: str, session_cookie: str) -> None:
        """Have the session's next page show ``text``, cut to 160 characters."""
        text = text[:_TEXT_MAX]
        response.set_cookie(
            self._name,
            f"{_code(text, session_cookie)}.{quote(text, safe='')}",
            max_age=_SECONDS,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def find(self, request: Request, session_cookie: str) -> str:
        """The message to show; empty without one, or when it is another session's."""
        value = "".join(find_values(request, self._name)[-1:])[:_VALUE_MAX]
        code, _, quoted = value.partition(".")
        text = unquote(quoted)
        expected = _code(text, session_cookie)
        same = hmac.compare_digest(expected.encode(), code.encode("utf-8", "replace"))
        return text if same else ""

    def clear(self, request: Request, response: Response) -> None:
        """Forget the message, if there is one."""
        if find_values(request, self._name):
            response.delete_cookie(
                self._name, path="/", secure=self._secure, httponly=True, samesite="lax"
            )


def _code(text: str, session_cookie: str) -> str:
    key = session_cookie.encode("ascii", "replace")
    digest = hmac.digest(key, _PURPOSE + text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")
