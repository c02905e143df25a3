"""The middleware for WSGI: copy this file into a Flask, Django or Bottle service.

It asks with `broker.client` (pip install --no-deps federation-broker), as the middleware
for ASGI does; docs/services.md says what both promise. For Flask:

    client = DecisionClient(
        "https://broker.example.com", os.environ["BROKER_SERVICE_TOKEN"]
    )
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, client, open_paths={"/healthz"})

Some servers give no raw path (``REQUEST_URI``, ``RAW_URI``), only a decoded one: it is
then encoded again as SDKs do.

Source: PEP 3333.
"""

import hashlib
from collections.abc import Collection, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from broker.client.answers import (
    TOO_LARGE,
    UNAVAILABLE,
    UNSIGNED,
    BrokerAway,
    Refusal,
    ambiguous,
)
from broker.client.decisions import DecisionClient
from broker.client.request import (
    BODY_BYTES_MAX,
    AmbiguousRequest,
    Headers,
    Request,
    TooLarge,
    address,
    check_same_path,
    is_signed,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

Environ = dict[str, Any]

PRINCIPAL = "broker.principal"
_RAW = ("REQUEST_URI", "RAW_URI")
"""Where servers tell the target as it was sent: uWSGI, mod_wsgi, Werkzeug; Gunicorn."""

_LENGTH_DIGITS_MAX = 20
_UNRESERVED = "/~!$&'()*+,=:@-._"


class WsgiMiddleware:
    """Lets through what the broker allows.

    The application finds the `Principal` in ``environ["broker.principal"]``. Only
    ``open_paths`` (``SCRIPT_NAME`` and ``PATH_INFO``) are served to everybody; they
    have no principal.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        client: DecisionClient,
        *,
        open_paths: Collection[str] = (),
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._app = app
        self._client = client
        self._open_paths = frozenset(open_paths)
        self._body_bytes_max = body_bytes_max

    def __call__(
        self, environ: Environ, start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve one request."""
        environ.pop(PRINCIPAL, None)
        if _path(environ) in self._open_paths:
            return self._app(environ, start_response)
        try:
            refusal = self._judge(environ)
        except TooLarge:
            refusal = TOO_LARGE
        except AmbiguousRequest as error:
            refusal = ambiguous(error)
        except BrokerAway:
            refusal = UNAVAILABLE
        if refusal is None:
            return self._app(environ, start_response)
        return _refuse(start_response, refusal)

    def _judge(self, environ: Environ) -> Refusal | None:
        """Put body and principal into the environment, or say why not."""
        headers = _headers(environ)
        if not is_signed(headers, _latin(environ.get("QUERY_STRING", ""))):
            return UNSIGNED
        body = _read_body(environ, self._body_bytes_max)
        answer = self._client.decide(_request(environ, headers, body))
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ[PRINCIPAL] = answer.principal
        return answer.refusal


def _request(environ: Environ, headers: Headers, body: bytes) -> Request:
    raw_path, query = _raw_path(environ), _latin(environ.get("QUERY_STRING", ""))
    return Request(
        method=environ["REQUEST_METHOD"],
        target=raw_path + b"?" + query if query else raw_path,
        headers=headers,
        body_sha256=hashlib.sha256(body).hexdigest(),
        source_ip=address(environ.get("REMOTE_ADDR", "")),
        secure=environ["wsgi.url_scheme"] == "https",
    )


def _raw_path(environ: Environ) -> bytes:
    """The path as it was sent.

    A server that does not tell it has decoded it: then it is encoded again. If that is
    not what the client has signed, the signature is wrong.
    """
    path = _latin(_path(environ))
    for name in _RAW:
        if name in environ:
            raw = _latin(environ[name]).partition(b"?")[0]
            check_same_path(raw, path)
            return raw
    return quote(path, safe=_UNRESERVED).encode("ascii")


def _path(environ: Environ) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return path


def _headers(environ: Environ) -> Headers:
    found = []
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            found.append((_header_name(name[5:]), _latin(value)))
        elif name in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value:
            found.append((_header_name(name), _latin(value)))
    return tuple(found)


def _header_name(name: str) -> bytes:
    return _latin(name.lower().replace("_", "-"))


def _read_body(environ: Environ, bytes_max: int) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if length:
        if not (length.isascii() and length.isdigit()):
            raise AmbiguousRequest("Content-Length is not a number.")
        # Python refuses to read a number of thousands of digits.
        if len(length) > _LENGTH_DIGITS_MAX or int(length) > bytes_max:
            raise TooLarge
        size = int(length)
        return _read(environ, size)
    if environ.get("wsgi.input_terminated"):
        body = _read(environ, bytes_max + 1)
        if len(body) > bytes_max:
            raise TooLarge
        return body
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise AmbiguousRequest("The server does not say where the body ends.")
    return b""


def _read(environ: Environ, size: int) -> bytes:
    parts = []
    while size > 0:
        part: bytes = environ["wsgi.input"].read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _latin(text: str) -> bytes:
    return text.encode("latin-1")


def _refuse(start_response: "StartResponse", refusal: Refusal) -> Iterable[bytes]:
    body = refusal.body()
    status = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    start_response(status, [*refusal.headers(), ("content-length", str(len(body)))])
    return [body]
