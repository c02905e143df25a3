"""AWS's published test suite: canonical request, string to sign, signature."""

import hashlib
import json
from pathlib import Path

import pytest

from broker.model.request import RawRequest
from broker.protocols.sigv4 import (
    SigV4Rejected,
    derive_signing_key,
    parse_signed,
    prepare_signing_key,
    verify_signature,
)
from tests.support.rows import rows

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CASES = json.loads(
    Path(__file__).with_name("aws4_testsuite.json").read_text(encoding="utf-8")
)


def _raw(text: str) -> RawRequest:
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, rest = first.split(" ", 1)
    target = rest.rpartition(" ")[0].encode()
    path, _, query = target.partition(b"?")
    headers: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line.startswith(" "):  # a folded line continues the value before it
            name, value = headers.pop()
            headers.append((name, value + b"\n" + line.encode()))
        else:
            name, _, value = line.encode().partition(b":")
            headers.append((name.lower(), value))
    return RawRequest(
        method=method,
        raw_path=path,
        query=query,
        headers=tuple(headers),
        body=body.encode(),
        source_ip="127.0.0.1",
        secure=True,
    )


@rows("case", CASES, ids=[case["name"] for case in CASES])
def test_every_published_case_is_reproduced(case: dict[str, str]) -> None:
    raw = _raw(case["signed_request"])
    signed = parse_signed(raw)
    body_hash = hashlib.sha256(raw.body).hexdigest()
    canonical = signed.canonical_head.decode() + body_hash
    assert canonical == case["canonical_request"]
    head = f"AWS4-HMAC-SHA256\n{signed.timestamp}\n{signed.scope}\n"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    assert head + hashed == case["string_to_sign"]
    key = derive_signing_key(SECRET, signed.date, signed.region, signed.service)
    verify_signature(signed, raw, prepare_signing_key(key))


@rows("case", CASES, ids=[case["name"] for case in CASES])
def test_no_published_case_passes_with_another_body(case: dict[str, str]) -> None:
    raw = _raw(case["signed_request"] + "\n\nx")
    signed = parse_signed(raw)
    key = derive_signing_key(SECRET, signed.date, signed.region, signed.service)
    with pytest.raises(SigV4Rejected):
        verify_signature(signed, raw, prepare_signing_key(key))


def test_the_signing_key_is_the_documented_one() -> None:
    """Source: AWS General Reference, "Examples of how to derive a signing key"."""
    key = derive_signing_key(SECRET, "20150830", "us-east-1", "iam")
    assert key.hex() == (
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    )
