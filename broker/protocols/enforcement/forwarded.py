"""The request that a proxy asks about, described in headers.

Two families of headers describe it, of which a proxy sends one: ``X-Forwarded-Method`` and
``X-Forwarded-Uri`` (Caddy, Traefik), or ``X-Original-Method`` and ``X-Original-URI``
(nginx by custom). ``X-Forwarded-Host`` goes with either. A proxy overwrites its own
family and passes on what a client sent of the other: a request with both is refused.

Source: Caddy, ``forward_auth``; Traefik, "ForwardAuth"; nginx,
``ngx_http_auth_request_module``.
"""

import ipaddress
import re
from urllib.parse import unquote_to_bytes

from broker.model.request import RawRequest
from broker.protocols.enforcement.paths import RequestAmbiguous
from broker.runtime.bounded import remembered

Headers = tuple[tuple[bytes, bytes], ...]

_FAMILIES = (
    (b"x-forwarded-method", b"x-forwarded-uri"),
    (b"x-original-method", b"x-original-uri"),
)
_HOST = b"x-forwarded-host"
_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"
_LENGTH = b"x-original-content-length"
_DESCRIPTION = frozenset(
    {*_FAMILIES[0], *_FAMILIES[1], _HOST, _FOR, _PROTO, _LENGTH, b"host"}
)
_NOT_PASSED_ON = _DESCRIPTION | {b"connection", b"content-length", b"transfer-encoding"}
_METHOD_OVERRIDES = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override"}
)
_METHOD_PARAMETER = b"_method"
"""In the query of a POST, to Laravel, Symfony, Spring's filter and Express's module."""

_SEPARATORS = re.compile(b"[&;]")
_LIKE_UNDERSCORES = bytes.maketrans(b". +", b"___")
"""To PHP, in a parameter's name; it passes over spaces at the beginning."""

_PATH_OVERRIDES = frozenset({b"x-original-url", b"x-rewrite-url"})
"""With these some frameworks run another method or path than the request's."""

_OVERRIDES = _METHOD_OVERRIDES | _PATH_OVERRIDES
_SCHEMES = (b"http", b"https")
_NOT_OF_CLIENTS = (b"x-broker-", b"x-forwarded-", b"x-real-ip")
"""How the headers begin in which a service learns who acts, and from where."""

CHUNKED_LENGTH = 2**63 - 1
"""Represents the length of a chunked body, which is not empty."""

_METHOD_LENGTH = 20
_ADDRESS_LENGTH = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")


class ClientRequest(RawRequest, kw_only=True):
    """A client's request as an enforcement point received it.

    ``headers`` have lower-case names and ``host`` among them, and none of those in which
    a proxy describes the request. ``body_sha256`` is the hash of the body in
    hexadecimal, None where the enforcement point does not know it; ``content_length`` is
    then its size, `CHUNKED_LENGTH` for a body that comes in chunks, -1 if even that is
    unknown. ``source_ip`` is empty and ``secure`` None when they are not known.
    """

    body: bytes = b""
    source_ip: str = ""
    secure: bool | None = None
    content_length: int = -1


def read_forwarded(headers: Headers) -> ClientRequest:
    """The request that the headers of a proxy's subrequest describe.

    Names are in lower case.

    Raises:
        RequestAmbiguous: something is missing, or described twice or in two ways.
    """
    results = dict(headers)
    if len(results) < len(headers):
        seen: set[bytes] = set()
        for name, _ in headers:
            if name in seen and name != _FOR:
                raise RequestAmbiguous(f"{name.decode()} was sent twice.")
            seen |= _DESCRIPTION & {name}
    rest = [header for header in headers if header[0] not in _NOT_PASSED_ON]
    method_name, uri_name = _family(results)
    method = results[method_name].decode("latin-1")
    if not (method.isascii() and method.isalpha() and len(method) <= _METHOD_LENGTH):
        raise RequestAmbiguous(f"{method_name.decode()} is not a method.")
    if not results.get(_HOST):
        raise RequestAmbiguous(f"{_HOST.decode()} is missing.")
    raw_path, _, query = results[uri_name].partition(b"?")
    length = results.get(_LENGTH, b"")
    secure = results.get(_PROTO, b"").lower()
    return ClientRequest(
        method=method,
        raw_path=raw_path,
        query=query,
        headers=(
            (b"host", results[_HOST]),
            *rest,
            *_signed_of_the_connection(rest, results[uri_name], length),
        ),
        source_ip=last_address(results.get(_FOR, b"")),
        secure=None if not secure else secure == b"https",
        content_length=_content_length(length),
    )


def last_address(forwarded_for: bytes) -> str:
    """The address that the last proxy saw; empty when there is none.

    Raises:
        RequestAmbiguous: it is not an address.
    """
    text = forwarded_for.rpartition(b",")[2].strip().decode("latin-1")
    if text and not is_address(text):
        raise RequestAmbiguous("x-forwarded-for does not end in an address.")
    return text


def is_address(text: str) -> bool:
    """Whether a text is an IP address, without the zone of one machine."""
    return len(text) <= _ADDRESS_LENGTH and "%" not in text and _is_address(text)


@remembered()
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_overrides(method: str, target: bytes, headers: Headers) -> None:
    """Refuse a request that some services take for another.

    For CGI, WSGI and their like ``_`` and ``-`` in a header's name are one, and many
    programs read methods without regard to case. ``target`` is path and query.

    Raises:
        RequestAmbiguous: a header or the query names another method, a header another
            path, the principal or its address, or the method is not in upper case.
    """
    if not method.isupper():
        raise RequestAmbiguous("The method is not in upper case.")
    if method == "POST" and _overrides_method(target.partition(b"?")[2]):
        raise RequestAmbiguous("The query names another method.")
    names = dict(headers)
    if b"_" not in b"".join(names) and _OVERRIDES.isdisjoint(names):
        return  # the usual case, decided without looking at each
    for name, value in headers:
        same = name.replace(b"_", b"-") if b"_" in name else name
        if same in _METHOD_OVERRIDES and value.decode("latin-1").strip() != method:
            raise RequestAmbiguous(f"{same.decode()} names another method.")
        if same in _PATH_OVERRIDES and not _is_target(value.strip(), target, headers):
            raise RequestAmbiguous(f"{same.decode()} names another path.")
        if same != name and same.startswith(_NOT_OF_CLIENTS):
            raise RequestAmbiguous(
                f"{name.decode('latin-1')} is not a client's to set."
            )


def _overrides_method(query: bytes) -> bool:
    """Whether a parameter, as programs read it, turns a POST into something else."""
    whole = unquote_to_bytes(query).translate(_LIKE_UNDERSCORES).lower()
    if _METHOD_PARAMETER not in whole:
        return False  # the usual case, decided without splitting the query
    for piece in _SEPARATORS.split(query):
        name, _, value = piece.partition(b"=")
        read = unquote_to_bytes(name.replace(b"+", b" ")).lstrip(b" ")
        read = read.partition(b"[")[0].translate(_LIKE_UNDERSCORES)
        if read.lower() == _METHOD_PARAMETER and value != b"POST":
            return True
    return False


def _is_target(url: bytes, target: bytes, headers: Headers) -> bool:
    """Whether a URL is the request's own, as ingress-nginx tells it in full."""
    host = dict(headers).get(b"host", b"")
    return url in {target, *(b"%b://%b%b" % (s, host, target) for s in _SCHEMES)}


def _family(results: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    sent = [names for names in _FAMILIES if names[0] in results or names[1] in results]
    if len(sent) > 1:
        raise RequestAmbiguous(
            "The request has both X-Forwarded and X-Original headers; a proxy must"
            " send one kind and remove the other."
        )
    if not sent or sent[0][0] not in results or sent[0][1] not in results:
        raise RequestAmbiguous("The proxy does not send the request's method and URI.")
    return sent[0]


def _signed_of_the_connection(
    headers: list[tuple[bytes, bytes]], uri: bytes, length: bytes
) -> Headers:
    """The client's headers that say how long its body is, where it has signed them.

    They belong to its connection, so that a subrequest has none or its own. SDKs sign
    ``content-length``, which the proxy tells in a header of another name. Older
    versions of botocore (AWS CLI 2.23) sign ``transfer-encoding``, which can only have
    been ``chunked``. Whatever is put in here, the signature decides.
    """
    signed = uri + b"".join([v for name, v in headers if name == b"authorization"])
    signed = signed.lower()
    if b"transfer-encoding" in signed:
        return ((b"transfer-encoding", b"chunked"),)
    if length and b"content-length" in signed:
        return ((b"content-length", length),)
    return ()


def _content_length(text: bytes) -> int:
    if not text:
        return -1
    if text.lower() == b"chunked":
        return CHUNKED_LENGTH
    if not text.isdigit() or len(text) > _METHOD_LENGTH:
        raise RequestAmbiguous("x-original-content-length is not a number.")
    return int(text)
