"""A client of ``CreateSession``: requests that a certificate's key signs.

botocore makes the canonical request and the string to sign.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from tests.support.broker import REGION
from tests.support.certificates import Issued


def sign(
    url: str,
    body: bytes,
    signer: Issued,
    *,
    chain: Sequence[Issued] = (),
    region: str = REGION,
    at: datetime | None = None,
    algorithm: str | None = None,
    serial: str | None = None,
    headers: Mapping[str, str] | None = None,
    key: Any = None,
    service: str = "rolesanywhere",
) -> dict[str, str]:
    """The headers of a signed request, ``Authorization`` included."""
    key = key or signer.key
    is_elliptic = isinstance(key, ec.EllipticCurvePrivateKey)
    algorithm = algorithm or f"AWS4-X509-{'ECDSA' if is_elliptic else 'RSA'}-SHA256"
    when = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    request = AWSRequest("POST", url, data=body)
    request.context["timestamp"] = when
    request.headers["Host"] = url.split("/")[2]
    request.headers["Content-Type"] = "application/json"
    request.headers["X-Amz-Date"] = when
    request.headers["X-Amz-X509"] = base64.b64encode(signer.der).decode()
    if chain:
        request.headers["X-Amz-X509-Chain"] = ",".join(
            base64.b64encode(issued.der).decode() for issued in chain
        )
    for name, value in (headers or {}).items():
        del request.headers[name]
        request.headers[name] = value
    auth = SigV4Auth(Credentials("unused", "unused"), service, region)
    canonical = auth.canonical_request(request)
    text = auth.string_to_sign(request, canonical).replace(
        "AWS4-HMAC-SHA256", algorithm, 1
    )
    if is_elliptic:
        made = key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    else:
        made = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    scope = auth.credential_scope(request)
    number = serial or str(signer.certificate.serial_number)
    signed = auth.signed_headers(auth.headers_to_sign(request))
    return {
        **dict(request.headers.items()),
        "Authorization": f"{algorithm} Credential={number}/{scope},"
        f" SignedHeaders={signed}, Signature={made.hex()}",
    }


def create_session(
    origin: str,
    signer: Issued,
    members: Mapping[str, Any],
    *,
    query: str = "",
    **knobs: Any,
) -> httpx2.Response:
    """Ask for a session; ``query`` has what is not in the body."""
    url = f"{origin}/sessions{query}"
    body = json.dumps(members).encode()
    return httpx2.post(url, content=body, headers=sign(url, body, signer, **knobs))
