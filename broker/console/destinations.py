"""Where a browser may be redirected: our own console, or an allowed origin.

Where AWS's sign-in host is a name of the broker, AWS's console means ours: no sign-in
token of the broker opens AWS's.

The parsed origin is compared, never a prefix of the text. Anything that browsers and
parsers read differently (backslashes, control characters, user names, encoded hosts)
is refused before parsing.

Source: CWE-601; WHATWG URL, "URL parsing".
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

LONGEST = 2048
_PLAIN = re.compile(r"[!#-;=?-\[\]_a-z~%]+", re.ASCII)
"""Printable ASCII without space, quotation marks, ``<``, ``>``, ``\\``, ``^``, `````,
``{``, ``|`` and ``}``."""

_NETLOC = re.compile(r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_ENCODED_TRICKS = re.compile(r"%(?:2e|2f|5c|25|[01][0-9a-f]|7f)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65_535
_PAGES = ("/console", "/portal")
_REGION = r"(?:[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}\.)?"
_AWS_SIGN_IN = re.compile(rf"{_REGION}signin\.aws\.amazon\.com", re.ASCII)
_AWS_CONSOLE = re.compile(rf"{_REGION}console\.aws\.amazon\.com", re.ASCII)
_HOME = "/console/"
_PAGE_OF_SERVICE = {
    "cloudtrail": "/console/audit",
    "iam": "/console/overview",
    "iamv2": "/console/overview",
    "rolesanywhere": "/console/roles-anywhere",
}
"""What is here of AWS's console, by the first part of its paths."""


class Destinations:
    """The redirect rules of one installation.

    ``aliases`` are further host names of the broker; AWS's sign-in hosts count here.
    """

    def __init__(
        self,
        own_origin: str,
        allowed_origins: Iterable[str],
        aliases: Iterable[str] = (),
    ) -> None:
        sign_in = {
            _origin(f"https://{a}") for a in aliases if _AWS_SIGN_IN.fullmatch(a)
        }
        self._own = {_origin(own_origin), *sign_in}
        self._has_aws_console = bool(sign_in)
        self._allowed = frozenset(map(_origin, allowed_origins))

    def find_safe(self, url: str, own_paths: tuple[str, ...] = _PAGES) -> str | None:
        """Return the URL to redirect to; None when it is not allowed.

        A URL of our own origin or sign-in host comes back as a path, and must be at or
        below one of ``own_paths``; one of AWS's console, if that is ours, as a page.
        """
        if len(url) > LONGEST or not _PLAIN.fullmatch(url):
            return None
        if url.startswith("/"):
            return _own_path(url, own_paths)
        try:
            parts = urlsplit(url)
            origin = _origin(url)
        except ValueError:
            return None
        if self._has_aws_console and _is_aws_console(origin):
            service = parts.path[1:].partition("/")[0]
            return _own_path(_PAGE_OF_SERVICE.get(service, _HOME), own_paths)
        if origin in self._own:
            return _own_path(
                url[len(parts.scheme) + 3 + len(parts.netloc) :], own_paths
            )
        return url if origin in self._allowed else None


def is_at_or_below(path: str, own: str) -> bool:
    """Whether a path, perhaps with a query, is at or below one of our own."""
    bare = re.split(r"[?#]", path, maxsplit=1)[0]
    return bare == own or bare.startswith(f"{own}/")


def _is_aws_console(origin: tuple[str, str, int]) -> bool:
    scheme, host, port = origin
    is_plain = (scheme, port) == ("https", _DEFAULT_PORTS["https"])
    return is_plain and _AWS_CONSOLE.fullmatch(host) is not None


def _own_path(path: str, own_paths: tuple[str, ...]) -> str | None:
    bare = re.split(r"[?#]", path, maxsplit=1)[0]
    if _ENCODED_TRICKS.search(bare) or "//" in bare:
        return None
    if any(segment in {".", ".."} for segment in bare.split("/")):
        return None
    return path if any(is_at_or_below(bare, own) for own in own_paths) else None


def _origin(url: str) -> tuple[str, str, int]:
    """Parse scheme, host and port."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0].lower()
    if scheme not in _DEFAULT_PORTS or not separator or not _NETLOC.fullmatch(netloc):
        raise ValueError("no origin")
    host, port = netloc, ""
    if not netloc.endswith("]"):
        host, _, port = netloc.rpartition(":") if ":" in netloc else (netloc, "", "")
    number = int(port) if port else _DEFAULT_PORTS[scheme]
    if number > _HIGHEST_PORT:
        raise ValueError("no port")
    return scheme, host.removesuffix("."), number


def origin_of(url: str) -> str:
    """Scheme and authority of a URL, as written; empty for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
