"""Forms that change something: the token in them, and where they may come from.

The token is derived from the console session's cookie, so it ends with the session
and nobody can know the one without the other. Besides it the browser must say that
the form stood on a page of ours.
"""

import base64
import hashlib
import hmac

from starlette.requests import Request

from broker.errors import AccessDenied

FIELD = "csrf"
_PURPOSE = b"broker/1/console/csrf"


def csrf_token(cookie: str) -> str:
    """The token for forms of the session with this cookie."""
    digest = hmac.digest(cookie.encode("ascii", "replace"), _PURPOSE, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def require_csrf(
    request: Request, given: str | None, cookie: str, own_origin: str
) -> None:
    """Hold a form against the session of its sender.

    Raises:
        AccessDenied: another site sent it, or its token is another session's.
    """
    require_same_origin(request, own_origin)
    if not is_own_form(given, cookie):
        raise AccessDenied(
            "This form is out of date. Go back, load the page again and retry.",
            detail="the form's token is not the session's",
        )


def is_own_form(given: str | None, cookie: str) -> bool:
    """Whether a form's token is the one of the session with this cookie."""
    expected = csrf_token(cookie).encode()
    return hmac.compare_digest(expected, (given or "").encode("utf-8", "replace"))


def require_same_origin(request: Request, own_origin: str) -> None:
    """Hold a form to pages of this origin.

    Without a referrer browsers send ``Origin: null``; what they say of the site then
    counts.

    Raises:
        AccessDenied: it came from elsewhere, or the browser does not say from where.
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
