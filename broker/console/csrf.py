"""CSRF protection of forms: a token, and a check of where the form came from.

The token is derived from the session's cookie, so it ends with the session and cannot
be known without the cookie. The browser must also state, in ``Origin`` or
``Sec-Fetch-Site``, that the form was on a page of ours.
"""

import base64
import hashlib
import hmac

from starlette.requests import Request

from broker.errors import AccessDenied

FIELD = "csrf"
_PURPOSE = b"broker/1/console/csrf"


class StaleFormError(AccessDenied):
    """A form of ours was sent whose session or browser cookie is another one by now."""


def csrf_token(cookie: str) -> str:
    """The token for forms of the session with this cookie."""
    digest = hmac.digest(cookie.encode("ascii", "replace"), _PURPOSE, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def require_csrf(
    request: Request, text: str | None, cookie: str, own_origin: str
) -> None:
    """Require that a form was sent from our site with its session's token.

    Raises:
        AccessDenied: Another site sent it.
        StaleFormError: The token is another session's.
    """
    require_same_origin(request, own_origin)
    if not is_own_form(text, cookie):
        raise StaleFormError(
            "This form is out of date. Go back, reload the page and try again.",
            detail="the form's token is not the session's",
        )


def is_own_form(text: str | None, cookie: str) -> bool:
    """Whether a form's token belongs to the session with this cookie."""
    expected = csrf_token(cookie).encode()
    return hmac.compare_digest(expected, (text or "").encode("utf-8", "replace"))


def require_same_origin(request: Request, own_origin: str) -> None:
    """Require that a form was sent from a page of this origin.

    Under ``Referrer-Policy: no-referrer`` browsers send ``Origin: null``, so then
    ``Sec-Fetch-Site`` decides.

    Raises:
        AccessDenied: It came from another site, or the browser does not say.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    same_site = site == "same-origin"
    same_origin = origin == own_origin
    foreign = (origin not in {None, "null", own_origin}) or (site and not same_site)
    if foreign or not (same_site or same_origin):
        raise AccessDenied(
            "This form was sent from another site.",
            detail=f"Origin {str(origin)[:200]!r}, Sec-Fetch-Site {str(site)[:40]!r}",
        )
