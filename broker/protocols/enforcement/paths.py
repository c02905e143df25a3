"""The one rule by which a request's path names a resource.

The raw path, as it came over the wire, is decoded once, as UTF-8. A path that proxies
and services may read differently is refused, so that no service
asks about one resource and serves another: encoded slashes and backslashes, dot segments, empty
segments, path parameters (``;``), broken or doubled escapes, control characters.

Source: RFC 3986, 2.1, 3.3 and 6.2; CWE-22, CWE-436.
"""

import re
from urllib.parse import unquote_to_bytes

PATH_BYTES_MAX = 2048

_SIMPLE = re.compile(
    rb"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?|/"  # nothing to decode
)
_REFUSED = (
    (re.compile(rb"[^\x21-\x7e]"), "a byte that must be percent-encoded"),
    (re.compile(rb"%(?![0-9A-Fa-f]{2})"), "a broken percent escape"),
    (re.compile(rb"//"), "an empty segment"),
    (re.compile(rb";|%3b", re.IGNORECASE), "a semicolon"),
    (re.compile(rb"\\|%5c", re.IGNORECASE), "a backslash"),
    (re.compile(rb"%2f", re.IGNORECASE), "an encoded slash"),
    (re.compile(rb"%25[0-9A-Fa-f]{2}"), "an escape that is encoded twice"),
    (re.compile(rb"#|\?"), "a character that ends a path"),
)


class RequestAmbiguous(Exception):
    """A request that could be read in more than one way."""


def resource_path(raw_path: bytes) -> str:
    """The path as policies and routes see it.

    Raises:
        RequestAmbiguous: it can be read in more than one way.
    """
    if len(raw_path) > PATH_BYTES_MAX:
        raise RequestAmbiguous(f"The path is longer than {PATH_BYTES_MAX} bytes.")
    if _SIMPLE.fullmatch(raw_path):
        return raw_path.decode("ascii")
    if not raw_path.startswith(b"/"):
        raise RequestAmbiguous("The path does not begin with a slash.")
    for pattern, what in _REFUSED:
        if pattern.search(raw_path):
            raise RequestAmbiguous(f"The path has {what}.")
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise RequestAmbiguous("The path is not UTF-8.") from None
    if not path.isprintable():
        raise RequestAmbiguous("The path has a control character.")
    if any(segment in {".", ".."} for segment in path.split("/")):
        raise RequestAmbiguous("The path has a dot segment.")
    return path
