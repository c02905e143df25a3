"""versitygw's side of its private protocol, as its source has it.

It signs as for IAM, over the path as it is, and declares the hash of the body. It
believes only answers that name the protocol's version, matrices of the right size, and
words that it knows. It verifies its clients' signatures itself, with derived keys.

Source: versity/versitygw, ``auth/iam_standalone.go`` and ``iamapi/private``.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.support.broker import Key

SAMPLE = Path(__file__).parents[2] / "samples" / "protected" / "s3-store.yaml"
DEFINITION: Mapping[str, Any] = yaml.safe_load(SAMPLE.read_text())
_WORDS = ("allow", "deny", "no_match")

Post = Callable[[str, Mapping[str, str], bytes], Any]
"""Sends a request; a path, headers and body lead to status, headers and body."""


class Mismatch(Exception):
    """The other side speaks another protocol."""


class Refused(Exception):
    """An error of the protocol."""

    def __init__(self, status: int, body: Mapping[str, str]) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.code = body.get("code", "")
        self.text = body["error"]


def derive(secret: str, date: str, region: str, service: str) -> bytes:
    """A signing key, by the specification's four steps."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


@dataclass
class Gateway:
    """A gateway with credentials of its own."""

    key: Key
    host: str = "unix"
    protocol: str | None = "1"
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def sign(self, path: str, body: bytes) -> dict[str, str]:
        """The headers of a request."""
        now = self.now()
        stamp, date = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        headers = {
            "content-length": str(len(body)),
            "content-type": "application/json",
            "host": self.host,
            "x-amz-content-sha256": digest,
            "x-amz-date": stamp,
        }
        if self.key.session_token:
            headers["x-amz-security-token"] = self.key.session_token
        if self.protocol is not None:
            headers["x-vgw-private-protocol"] = self.protocol
        names = sorted(headers)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        signed = ";".join(names)
        canonical = f"POST\n{path}\n\n{lines}\n{signed}\n{digest}"
        scope = f"{date}/us-east-1/iam/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
        key = derive(self.key.secret_access_key, date, "us-east-1", "iam")
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key.access_key_id}/{scope},"
            f" SignedHeaders={signed}, Signature={signature}"
        )
        return headers


def read(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """An answer as the gateway takes it.

    Raises:
        Mismatch: it names no version of the protocol, or another.
        Refused: it is an error.
    """
    if headers.get("x-vgw-private-protocol") != "1":
        raise Mismatch(status, body)
    answer: dict[str, Any] = json.loads(body)
    if status != 200:
        raise Refused(status, answer)
    return answer


def matrix(
    rows: Sequence[Sequence[str]], resources: Sequence[str], actions: Sequence[str]
) -> list[list[str]]:
    """Decisions by resource and action; an unknown word is a denial."""
    if len(rows) != len(resources) or any(len(row) != len(actions) for row in rows):
        raise Mismatch(rows)
    return [[word if word in _WORDS else "deny" for word in row] for row in rows]


def allows(answer: Mapping[str, Any], resource: int = 0, action: int = 0) -> bool:
    """What the gateway does if it has no bucket policy."""
    own = answer["decisions"][resource][action]
    if answer.get("hasSessionPolicy"):
        session = answer["sessionDecisions"][resource][action]
        return bool(own == session == "allow")
    return bool(own == "allow")


def signing_key(answer: Mapping[str, Any]) -> bytes:
    return base64.b64decode(answer["derivedKey"], validate=True)
