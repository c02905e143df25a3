"""A role by the machine's certificate: IAM Roles Anywhere's ``CreateSession``.

The key signs here, and goes nowhere. Both files are read for every renewal, so that a
new certificate counts from then on.

Source: IAM Roles Anywhere User Guide, "Authentication" and "CreateSession".
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from broker.agent.broker_api import (
    UNEXPECTED,
    BrokerApi,
    BrokerAwayError,
    BrokerRefusedError,
)
from broker.agent.configuration import AgentSettings, IdentitySettings
from broker.agent.credentials import Credentials, Grant
from broker.agent.identity import (
    ROLE_SECONDS,
    BrokerIdentity,
    IdentityUnusableError,
    grant_of_role,
)
from broker.agent.private_files import read_text

_PATH = "/sessions"
_SERVICE = "rolesanywhere"
_JSON = "application/json"
_CREATED = 201
_SERVER_ERROR = 500
_THROTTLED = 429
_CHAIN_MAX = 5
_LINES_OF_A_KEY = 2  # its first and its last
_TYPE = re.compile(r"[A-Za-z]{1,100}")

_FORM = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class CertificateIdentity(BrokerIdentity):
    """A role that a trust anchor's certificate opens."""

    def __init__(self, settings: AgentSettings, api: BrokerApi) -> None:
        super().__init__(api)
        self._identity = settings.identity
        self._seconds = settings.duration_seconds
        self._region = settings.identity.trust_anchor_arn.split(":")[3]

    def get_grant(self) -> Grant:
        """See `Identity`: what the settings say."""
        return grant_of_role(self._identity.role_arn)

    def get_credentials(self, delivery: str) -> tuple[Credentials, Grant]:
        """See `Identity`; every delivery gets the same."""
        del delivery
        identity = self._identity
        params: dict[str, object] = {
            "profileArn": identity.profile_arn,
            "roleArn": identity.role_arn,
            "trustAnchorArn": identity.trust_anchor_arn,
            "durationSeconds": self._seconds or ROLE_SECONDS,
        }
        if identity.session_name:
            params["roleSessionName"] = identity.session_name
        body = json.dumps(params).encode()
        headers = sign_with_certificate(
            self._api, self._region, body, *load_certificate(identity)
        )
        status, kind, answer = self._api.post(_PATH, body, headers)
        return _credentials(self._api, status, kind, answer), self.get_grant()


def load_certificate(
    identity: IdentitySettings,
) -> tuple[PrivateKey, Sequence[x509.Certificate]]:
    """The key, and its certificate with the chain after it.

    Raises:
        IdentityUnusableError: a file cannot be read, or they do not fit together.
    """
    files = (identity.certificate_file, identity.private_key_file)
    try:
        certificates, key_text = (read_text(path) for path in files if path is not None)
        chain = [*x509.load_pem_x509_certificates(certificates.encode())]
        if identity.chain_file is not None:
            more = read_text(identity.chain_file)
            chain += x509.load_pem_x509_certificates(more.encode())
        chain = list(dict.fromkeys(chain))  # a full chain has the first one, too
        key = load_pem_private_key(key_text.encode(), None)
        certified = chain[0].public_key().public_bytes(*_FORM)
    except (
        OSError,
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
    ) as error:
        raise IdentityUnusableError(
            f"{files[0]} or {files[1]} cannot be used: {error}"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) or (
        key_text.count("PRIVATE KEY-----") > _LINES_OF_A_KEY
    ):
        raise IdentityUnusableError(f"{files[1]} must have one RSA or EC key")
    if key.public_key().public_bytes(*_FORM) != certified:
        raise IdentityUnusableError(
            f"the key in {files[1]} is not the one of the first certificate in {files[0]}"
        )
    if len(chain) > 1 + _CHAIN_MAX:
        raise IdentityUnusableError(
            f"there are more than {_CHAIN_MAX} certificates after {files[0]}'s first"
        )
    return key, chain


def sign_with_certificate(
    api: BrokerApi,
    region: str,
    body: bytes,
    key: PrivateKey,
    chain: Sequence[x509.Certificate],
) -> dict[str, str]:
    """The headers of a signed ``POST`` of this body to ``/sessions``."""
    stamp = api.now().strftime("%Y%m%dT%H%M%SZ")
    own, *others = (base64.b64encode(each.public_bytes(Encoding.DER)) for each in chain)
    signed = {
        "content-type": _JSON,
        "host": api.authority,
        "x-amz-date": stamp,
        "x-amz-x509": own.decode(),
    }
    if others:
        signed["x-amz-x509-chain"] = b",".join(others).decode()
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n{_PATH}\n\n{lines}\n{names}\n{digest}"
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    kind = "RSA" if isinstance(key, rsa.RSAPrivateKey) else "ECDSA"
    algorithm = f"AWS4-X509-{kind}-SHA256"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{algorithm}\n{stamp}\n{scope}\n{hashed}".encode()
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(text, ec.ECDSA(hashes.SHA256()))
    del signed["host"]
    return {
        **signed,
        "Authorization": (
            f"{algorithm} Credential={chain[0].serial_number}/{scope},"
            f" SignedHeaders={names}, Signature={signature.hex()}"
        ),
    }


def _credentials(api: BrokerApi, status: int, kind: str, answer: bytes) -> Credentials:
    try:
        document: Mapping[str, Any] = json.loads(answer)
        if status == _CREATED:
            credentials = document["credentialSet"][0]["credentials"]
            return Credentials.of(
                {
                    "AccessKeyId": credentials["accessKeyId"],
                    "SecretAccessKey": credentials["secretAccessKey"],
                    "SessionToken": credentials["sessionToken"],
                    "Expiration": credentials["expiration"],
                },
                api.now(),
            )
        message = str(document.get("message") or "")
    except UNEXPECTED as error:
        raise BrokerAwayError(
            f"{api.authority} answered {status}, but not as a broker does"
        ) from error
    code = kind.partition(":")[0]
    if status >= _SERVER_ERROR or status == _THROTTLED:
        raise BrokerAwayError(f"{code}: {message}")
    raise BrokerRefusedError(code if _TYPE.fullmatch(code) else str(status), message)
