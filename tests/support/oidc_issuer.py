"""An OpenID Connect issuer for tests: keys, tokens with every knob, a real server.

Signatures are made with ``cryptography`` directly, so that a token may say anything;
``OidcIssuer.token`` is the ordinary way in.
"""

import base64
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_CURVE_NAMES["secp256k1"] = "secp256k1"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def octets(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def make_key(algorithm: str, number: int = 0, bits: int = 2048) -> PrivateKey:
    """The ``number``-th key for an algorithm; made once in a test run."""
    return _make_key("RSA" if algorithm[0] in "RP" else algorithm, number, bits)


@cache
def _make_key(kind: str, number: int, bits: int) -> PrivateKey:  # noqa: ARG001  # tells keys apart
    if kind.startswith("ES"):
        return ec.generate_private_key(_CURVES[kind]())
    if kind in {"EdDSA", "Ed25519"}:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, bits)


def jwk_of(key: PrivateKey, kid: str | None, **members: object) -> dict[str, Any]:
    """The public JWK of a private key; a member of None is left out."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        jwk = {"kty": "RSA", "n": octets(numbers.n), "e": octets(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        jwk = {
            "kty": "EC",
            "crv": _CURVE_NAMES[key.curve.name],
            "x": octets(point.x, size),
            "y": octets(point.y, size),
        }
    else:
        raw = key.public_key().public_bytes_raw()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    jwk |= {"kid": kid, "use": "sig", **members}
    return {name: value for name, value in jwk.items() if value is not None}


def sign(key: PrivateKey, algorithm: str, signing_input: bytes) -> bytes:
    """A JWS signature (RFC 7518) over any bytes."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signing_input)
    digest = _HASHES[algorithm[-3:]]()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if algorithm.startswith("PS"):
        scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
        return key.sign(signing_input, scheme, digest)
    return key.sign(signing_input, padding.PKCS1v15(), digest)


def compact(
    header: Mapping[str, object] | bytes,
    payload: Mapping[str, object] | bytes,
    key: PrivateKey,
    algorithm: str,
) -> str:
    """A signed token of any header and payload, well-formed or not."""
    parts = [
        b64(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, payload)
    ]
    signing_input = ".".join(parts)
    return f"{signing_input}.{b64(sign(key, algorithm, signing_input.encode()))}"


class OidcIssuer:
    """Keys, tokens and documents of one issuer; nothing listens here."""

    def __init__(self, url: str, *, audience: str = "client-1") -> None:
        self.url = url
        self.audience = audience
        self.keys: dict[str, tuple[PrivateKey, str]] = {}
        self.jwk_members: dict[str, dict[str, object]] = {}
        self.add_key("key-1")

    def add_key(
        self, kid: str, algorithm: str = "RS256", *, number: int = 0, **members: object
    ) -> PrivateKey:
        """Publish a key; ``number`` tells keys of one algorithm apart."""
        key = make_key(algorithm, number)
        self.keys[kid] = (key, algorithm)
        self.jwk_members[kid] = members
        return key

    def withdraw_key(self, kid: str) -> None:
        del self.keys[kid]

    def claims(self, *, drop: tuple[str, ...] = (), **claims: object) -> dict[str, Any]:
        now = int(time.time())
        standard = {
            "iss": self.url,
            "sub": "alice",
            "aud": self.audience,
            "iat": now,
            "exp": now + 900,
        }
        merged = {**standard, **claims}
        return {name: value for name, value in merged.items() if name not in drop}

    def token(
        self,
        *,
        kid: str | None = "key-1",
        key: PrivateKey | None = None,
        algorithm: str | None = None,
        header: Mapping[str, object] | None = None,
        drop: tuple[str, ...] = (),
        claims: Mapping[str, object] | None = None,
        **more: object,
    ) -> str:
        """A token; ``claims`` takes names that are not identifiers.

        ``kid`` None leaves the header's kid out (then the first key signs);
        ``header`` is merged over the usual one.
        """
        known = self.keys.get(kid or "") or next(iter(self.keys.values()))
        signer = key or known[0]
        algorithm = algorithm or known[1]
        usual: dict[str, object] = {"typ": "JWT", "alg": algorithm}
        if kid is not None:
            usual["kid"] = kid
        payload = self.claims(drop=drop, **{**(claims or {}), **more})
        return compact({**usual, **(header or {})}, payload, signer, algorithm)

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                jwk_of(key, kid, **self.jwk_members.get(kid, {}))
                for kid, (key, _) in self.keys.items()
            ]
        }

    def jwks_bytes(self) -> bytes:
        return json.dumps(self.jwks()).encode()

    def discovery(self) -> dict[str, Any]:
        base = self.url.removesuffix("/")
        return {
            "issuer": self.url,
            "jwks_uri": f"{base}/jwks",
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub"],
        }


Answer = Callable[[BaseHTTPRequestHandler], None]
PostAnswer = Callable[[BaseHTTPRequestHandler, dict[str, str]], None]
"""With the fields of the form."""


class IssuerServer:
    """Serves an issuer on a free loopback port; ``answers`` overrides paths.

    ``posts`` has the paths that take forms, and ``hits`` counts requests by path. An
    override writes whatever it likes.
    """

    def __init__(
        self, path: str = "", tls: ssl.SSLContext | None = None, host: str = ""
    ) -> None:
        self.hits: Counter[str] = Counter()
        self.answers: dict[str, Answer] = {}
        self.posts: dict[str, PostAnswer] = {}
        self.down = False
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port: int = self._http.server_address[1]
        self.host_and_path = f"{host or '127.0.0.1'}:{self.port}{path}"
        scheme = "https" if tls is not None else "http"
        self.issuer = OidcIssuer(f"{scheme}://{self.host_and_path}")
        self.discovery_path = (
            f"{path.removesuffix('/')}/.well-known/openid-configuration"
        )
        self.jwks_path = f"{path.removesuffix('/')}/jwks"

    def start(self) -> None:
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: IssuerServer

    def do_GET(self) -> None:
        owner = self.owner
        owner.hits[self.path] += 1
        if owner.down:
            self.connection.shutdown(socket.SHUT_RDWR)
        elif self.path in owner.answers:
            owner.answers[self.path](self)
        elif self.path == owner.discovery_path:
            send_json(self, owner.issuer.discovery())
        elif self.path == owner.jwks_path:
            send_json(self, owner.issuer.jwks())
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.owner.hits[self.path] += 1
        answer = self.owner.posts.get(self.path)
        if self.owner.down:
            self.connection.shutdown(socket.SHUT_RDWR)
        elif answer is None:
            self.send_error(404)
        else:
            answer(self, dict(parse_qsl(body.decode())))

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def handle(self) -> None:
        # A client that turns away from a hostile answer is the point.
        with suppress(OSError):
            super().handle()


def send(
    handler: BaseHTTPRequestHandler,
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> None:
    handler.send_response(status)
    for name, value in {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def send_json(handler: BaseHTTPRequestHandler, document: object) -> None:
    send(handler, json.dumps(document).encode())


@contextmanager
def serving(
    path: str = "", tls: ssl.SSLContext | None = None, host: str = ""
) -> Iterator[IssuerServer]:
    """An issuer that answers while the block runs."""
    server = IssuerServer(path, tls, host)
    server.start()
    try:
        yield server
    finally:
        server.stop()
