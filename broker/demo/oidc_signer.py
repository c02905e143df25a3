"""The demo's OpenID Connect issuer, with one RSA key per folder.

For local demonstrations only: it signs for anyone.
"""

import os
from datetime import datetime
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from jwt.algorithms import RSAAlgorithm

from broker.model.secret import Confidential, Hidden

KEY_FILE = "oidc-signing-key.pem"
_ALGORITHM = "RS256"
_KID_CHARACTERS = 16
_LIFETIME_SECONDS = 900


class OidcSigner(Confidential, frozen=True):
    """Signs ID tokens as ``issuer``, and has its discovery document and key set."""

    issuer: str
    kid: str
    key: Hidden[rsa.RSAPrivateKey]

    def sign_id_token(self, *, subject: str, audience: str, now: datetime) -> str:
        """Sign an ID token that lasts 15 minutes."""
        issued_at = int(now.timestamp())
        payload = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "iat": issued_at,
            "exp": issued_at + _LIFETIME_SECONDS,
        }
        return jwt.encode(
            payload, self.key, algorithm=_ALGORITHM, headers={"kid": self.kid}
        )

    def jwks(self) -> dict[str, object]:
        """The document at ``jwks_uri``."""
        jwk = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        members = {name: value for name, value in jwk.items() if name != "key_ops"}
        return {"keys": [{**members, "kid": self.kid, "use": "sig", "alg": _ALGORITHM}]}

    def discovery(self) -> dict[str, object]:
        """The document at ``/.well-known/openid-configuration``."""
        issuer = self.issuer.removesuffix("/")
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
            "claims_supported": ["iss", "sub", "aud", "iat", "exp", "nonce", "email"],
        }


def load_oidc_signer(folder: Path, issuer: str) -> OidcSigner:
    """Load the signer of ``folder``, creating its key on first use."""
    path = folder / KEY_FILE
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        pem = _make_key(path)
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{path} is not an RSA key; delete the file to get a new one")
    return OidcSigner(issuer, _kid_of(key), key)


def _make_key(path: Path) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    return pem


def _kid_of(key: rsa.RSAPrivateKey) -> str:
    digest = Hash(SHA256())
    digest.update(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return digest.finalize().hex()[:_KID_CHARACTERS]
