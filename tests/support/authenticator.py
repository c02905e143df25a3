"""A software authenticator: what a browser and a security key would answer.

Written from the specification with a CBOR library and plain keys, so that it shares
nothing with the library that judges it. Source: W3C Web Authentication Level 3, 6.1,
6.5, 5.8.1.
"""

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

ES256, EDDSA, RS256 = -7, -8, -257
UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class MadeCredential:
    """A key pair for one site and one user."""

    rp_id: str
    user_handle: bytes
    key: Key
    algorithm: int
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    count: int = 0


@dataclass
class Authenticator:
    """Holds credentials and answers ceremonies; knobs make it answer wrongly."""

    origin: str
    algorithm: int = ES256
    counts: bool = True
    credentials: list[MadeCredential] = field(default_factory=list)

    def create(self, options: str | dict[str, Any], **knobs: Any) -> str:
        """``navigator.credentials.create()``, as JSON."""
        wanted = _load(options)
        rp_id = wanted["rp"]["id"]
        made = MadeCredential(
            rp_id, unb64(wanted["user"]["id"]), _new_key(self.algorithm), self.algorithm
        )
        for excluded in wanted.get("excludeCredentials", ()):
            held = {c.credential_id for c in self.credentials}
            if unb64(excluded["id"]) in held:
                raise RuntimeError("InvalidStateError: registered already")
        self.credentials.append(made)
        public = knobs.get("public_key", cbor2.dumps(_cose(made)))
        identifier = knobs.get("inner_id", made.credential_id)
        attested = (
            knobs.get("aaguid", bytes(16))
            + len(identifier).to_bytes(2, "big")
            + identifier
            + public
        )
        flags = knobs.get("flags", UP | UV) | AT
        data = self._data(made, flags, knobs) + attested
        client = self._client("webauthn.create", wanted["challenge"], knobs)
        statement = knobs.get("statement", {})
        attestation = cbor2.dumps(
            {"fmt": knobs.get("fmt", "none"), "attStmt": statement, "authData": data}
        )
        response = {
            "clientDataJSON": b64(client),
            "attestationObject": b64(knobs.get("attestation", attestation)),
            "transports": knobs.get("transports", ["internal", "made-up"]),
        }
        return self._answer(made, response, {})

    def get(self, options: str | dict[str, Any], **knobs: Any) -> str:
        """``navigator.credentials.get()``, as JSON."""
        wanted = _load(options)
        allowed = {unb64(c["id"]) for c in wanted["allowCredentials"]}
        made = knobs.get("credential") or next(
            c for c in self.credentials if c.credential_id in allowed
        )
        if self.counts:
            made.count += 1
        data = self._data(made, knobs.get("flags", UP | UV), knobs)
        client = self._client("webauthn.get", wanted["challenge"], knobs)
        signature = _sign(
            knobs.get("key", made.key), data + hashlib.sha256(client).digest()
        )
        response = {
            "clientDataJSON": b64(knobs.get("client_after", client)),
            "authenticatorData": b64(knobs.get("data_after", data)),
            "signature": b64(knobs.get("signature", signature)),
            "userHandle": b64(knobs.get("user_handle", made.user_handle)),
        }
        if knobs.get("no_user_handle"):
            response["userHandle"] = None
        return self._answer(made, response, knobs.get("answer", {}))

    def _data(self, made: MadeCredential, flags: int, knobs: dict[str, Any]) -> bytes:
        rp_id = knobs.get("rp_id", made.rp_id)
        count = knobs.get("count", made.count)
        return (
            hashlib.sha256(rp_id.encode()).digest()
            + bytes([flags])
            + count.to_bytes(4, "big")
        )

    def _client(self, kind: str, challenge: str, knobs: dict[str, Any]) -> bytes:
        value = {
            "type": knobs.get("type", kind),
            "challenge": knobs.get("challenge", challenge),
            "origin": knobs.get("origin", self.origin),
            "crossOrigin": False,
            **knobs.get("client", {}),
        }
        return json.dumps(value).encode()

    @staticmethod
    def _answer(
        made: MadeCredential, response: dict[str, Any], changed: dict[str, Any]
    ) -> str:
        identifier = b64(made.credential_id)
        return json.dumps(
            {
                "id": identifier,
                "rawId": identifier,
                "type": "public-key",
                "authenticatorAttachment": "platform",
                "clientExtensionResults": {},
                "response": response,
                **changed,
            }
        )


def _load(options: str | dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(options) if isinstance(options, str) else options
    return value


def _new_key(algorithm: int) -> Key:
    if algorithm == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == RS256:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def _cose(made: MadeCredential) -> dict[int, Any]:
    public = made.key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes_raw()}
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        modulus = numbers.n.to_bytes(256, "big")
        return {1: 3, 3: RS256, -1: modulus, -2: numbers.e.to_bytes(3, "big")}
    point = public.public_numbers()
    x, y = (part.to_bytes(32, "big") for part in (point.x, point.y))
    return {1: 2, 3: ES256, -1: 1, -2: x, -3: y}


def _sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))
