"""STS-01 to STS-05: signatures that say less, or more, than they seem to.

Unless a test says otherwise, the signature itself is right: only the named rule
stands between the request and its acceptance.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from msgspec.structs import replace

from broker.model.request import RawRequest
from broker.protocols.sigv4 import (
    SignatureReason,
    SigV4Rejected,
    parse_signed,
    prepare_signing_key,
    verify_scope,
    verify_signature,
    verify_time,
)
from tests.support.rows import rows
from tests.support.sigv4 import (
    BODY,
    GET_URL,
    TOKEN,
    URL,
    edited,
    presign,
    sign,
    verify,
    with_header,
)


class Covering(SigV4Auth):
    """Signs whatever list of headers it is told to, in that order."""

    names = ("host", "x-amz-date")

    def headers_to_sign(self, request: Any) -> Any:
        everything = super().headers_to_sign(request)
        everything["user-agent"] = "Boto3/1"
        return [(name, everything[name.lower()]) for name in self.names]

    def canonical_headers(self, headers_to_sign: Any) -> str:
        return "\n".join(f"{name}:{value}" for name, value in headers_to_sign)

    def signed_headers(self, headers_to_sign: Any) -> str:
        return ";".join(name for name, _ in headers_to_sign)


class Computing(SigV4Auth):
    """Signs the true hash whatever the header declares."""

    def canonical_request(self, request: Any) -> str:
        text = super().canonical_request(request)
        return text.rpartition("\n")[0] + "\n" + _sha256(request.body)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _covering(*names: str, **arguments: Any) -> RawRequest:
    signer = type("Signer", (Covering,), {"names": names})
    return sign(signer=signer, **arguments)


def _refused(raw: RawRequest) -> SigV4Rejected:
    with pytest.raises(SigV4Rejected) as refused:
        verify(raw)
    return refused.value


# STS-01: canonical form


@rows("signed_path, sent_path")
def test_a_path_counts_as_it_was_sent(signed_path: str, sent_path: bytes) -> None:
    raw = sign("https://h" + signed_path)
    verify(raw)
    assert _refused(replace(raw, raw_path=sent_path)).reason is SignatureReason.MISMATCH


@pytest.mark.parametrize("path", [b"", b"/", b"//", b"/./", b"/a/..", b"/../"])
def test_paths_that_mean_the_root_are_signed_as_the_root(path: bytes) -> None:
    verify(replace(sign(), raw_path=path))


@rows("signed_query, sent_query")
def test_spellings_that_mean_the_same_are_signed_alike(
    signed_query: str, sent_query: bytes
) -> None:
    verify(replace(sign(f"{URL}?{signed_query}"), query=sent_query))


@rows("signed_query, sent_query")
def test_spellings_that_mean_something_else_are_refused(
    signed_query: str, sent_query: bytes
) -> None:
    raw = sign(f"{URL}?{signed_query}")
    verify(raw)
    assert _refused(replace(raw, query=sent_query)).reason is SignatureReason.MISMATCH


def test_an_upper_case_signature_is_refused() -> None:
    raw = sign()
    signature = parse_signed(raw).signature
    upper = edited(raw, "authorization", signature, signature.upper())
    assert _refused(upper).reason is SignatureReason.MISMATCH


@pytest.mark.parametrize(
    "name",
    ["host", "authorization", "x-amz-date", "x-amz-security-token",
     "x-amz-content-sha256"],
)  # fmt: skip
def test_a_deciding_header_sent_twice_is_refused(name: str) -> None:
    hashed = {"X-Amz-Content-SHA256": _sha256(BODY)}
    raw = sign(token=TOKEN, headers=hashed)
    value = raw.find_header(name.encode())
    assert value
    assert _refused(with_header(raw, name, value)).reason in {
        SignatureReason.AMBIGUOUS,
        SignatureReason.INCOMPLETE,
    }


# STS-02: unsigned parts


def test_a_signature_that_leaves_the_host_out_is_refused() -> None:
    refused = _refused(_covering("x-amz-date"))
    assert refused.reason is SignatureReason.NOT_COVERED
    assert refused.message == (
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
    )


def test_a_signature_that_leaves_the_date_header_out_is_refused() -> None:
    assert _refused(_covering("host")).reason is SignatureReason.NOT_COVERED


@pytest.mark.parametrize(
    "name", ["x-amz-target", "x-amz-content-sha512", "x-amz-security-token2", "x-amz-"]
)
@pytest.mark.parametrize("make", [sign, presign])
def test_an_unsigned_amz_header_is_refused(make: Any, name: str) -> None:
    raw = with_header(make(), name, _sha256(BODY))
    assert _refused(raw).reason in {
        SignatureReason.NOT_COVERED,
        SignatureReason.AMBIGUOUS,
    }


@pytest.mark.parametrize("make", [sign, presign])
def test_a_hash_that_is_not_signed_must_be_the_bodys(make: Any) -> None:
    """As aws-requests-auth and httpx-aws-auth send it."""
    raw = make()
    verify(with_header(raw, "x-amz-content-sha256", _sha256(raw.body)))
    for wrong in (_sha256(b"other"), "UNSIGNED-PAYLOAD", ""):
        refused = _refused(with_header(raw, "x-amz-content-sha256", wrong))
        assert refused.reason is SignatureReason.MISMATCH
    twice = with_header(raw, "x-amz-content-sha256", _sha256(raw.body))
    twice = with_header(twice, "x-amz-content-sha256", _sha256(raw.body))
    assert _refused(twice).reason in {
        SignatureReason.AMBIGUOUS,
        SignatureReason.MISMATCH,
    }


def test_a_token_need_not_be_signed_in_a_header_but_only_there() -> None:
    """As httpx-auth-awssigv4 sends it; what it says is tested at the broker's door."""
    signed = verify(with_header(sign(), "x-amz-security-token", TOKEN))
    assert signed.session_token == TOKEN
    twice = with_header(sign(), "x-amz-security-token", TOKEN)
    twice = with_header(twice, "x-amz-security-token", TOKEN)
    assert _refused(twice).reason is SignatureReason.AMBIGUOUS
    presigned = with_header(presign(), "x-amz-security-token", TOKEN)
    assert _refused(presigned).reason is SignatureReason.AMBIGUOUS


@pytest.mark.parametrize(
    "names",
    [("x-amz-date", "host"), ("host", "host", "x-amz-date"), ("Host", "X-Amz-Date")],
)
def test_the_list_of_signed_headers_is_sorted_unique_and_lower_case(
    names: tuple[str, ...],
) -> None:
    assert _refused(_covering(*names)).reason is SignatureReason.MISMATCH


def test_other_headers_may_be_signed() -> None:
    verify(_covering("host", "user-agent", "x-amz-date"))


def test_a_signed_header_that_does_not_arrive_is_refused() -> None:
    raw = sign(headers={"x-k8s-aws-id": ""})
    verify(raw)
    headers = tuple(pair for pair in raw.headers if pair[0] != b"x-k8s-aws-id")
    assert _refused(replace(raw, headers=headers)).reason is SignatureReason.MISMATCH


@pytest.mark.parametrize(
    "declared",
    ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
     "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", _sha256(b""), "0" * 64],
)  # fmt: skip
def test_a_declared_hash_of_the_body_is_not_believed(declared: str) -> None:
    """botocore signs with the declared hash, as S3 wants it."""
    raw = sign(headers={"X-Amz-Content-SHA256": declared})
    assert _refused(raw).reason is SignatureReason.MISMATCH


def test_a_declared_hash_that_is_not_the_one_signed_is_refused() -> None:
    headers = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    raw = sign(headers=headers, signer=Computing)
    assert _refused(raw).reason is SignatureReason.MISMATCH


def test_a_url_that_declares_an_unsigned_payload_is_refused() -> None:
    raw = presign(f"{GET_URL}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD")
    assert _refused(raw).reason is SignatureReason.MISMATCH


# STS-03: scope, one place, one value


@rows("arguments, message")
def test_another_scope_is_refused(arguments: Mapping[str, Any], message: str) -> None:
    signed = parse_signed(sign(**arguments))
    with pytest.raises(SigV4Rejected) as refused:
        verify_scope(signed, regions={"eu-west-3"}, service="sts")
    assert refused.value.message == message


def test_header_and_query_signatures_together_are_refused() -> None:
    url = presign()
    posted = sign(GET_URL, b"", method="GET")
    both = replace(posted, query=url.query)
    refused = _refused(both)
    assert refused.reason is SignatureReason.AMBIGUOUS
    assert refused.message.startswith("Found both 'X-Amz-")
    assert refused.message.endswith(
        "as a query-string param and 'Authorization' as HTTP header."
    )


@pytest.mark.parametrize("name", ["X-Amz-Date", "x-amz-security-token"])
def test_a_signing_parameter_beside_the_header_form_is_refused(name: str) -> None:
    raw = sign(f"{GET_URL}&{name}=x", b"", method="GET")
    assert _refused(raw).reason is SignatureReason.AMBIGUOUS


@pytest.mark.parametrize("name", ["x-amz-date", "x-amz-security-token"])
def test_a_signing_header_beside_a_presigned_url_is_refused(name: str) -> None:
    raw = presign(headers={name: "x"})
    assert _refused(raw).reason is SignatureReason.AMBIGUOUS


@pytest.mark.parametrize(
    "name", ["x-amz-credential", "X-Amz-Security-token", "X-AMZ-DATE", "X-Amz-Expires"]
)
def test_a_parameter_repeated_in_any_case_is_refused(name: str) -> None:
    raw = presign(token=TOKEN)
    for query in (
        f"{name}=x&".encode() + raw.query,
        raw.query + f"&{name}=x".encode(),
        raw.query + f"&{name.replace('-', '%2D')}=x".encode(),
    ):
        assert _refused(replace(raw, query=query)).reason is SignatureReason.AMBIGUOUS


def test_a_parameter_in_another_case_is_not_read_instead() -> None:
    raw = presign()
    query = raw.query.replace(b"X-Amz-Expires", b"x-amz-expires")
    assert _refused(replace(raw, query=query)).reason is SignatureReason.AMBIGUOUS


# STS-04: time


def test_a_date_other_than_the_scopes_is_refused() -> None:
    raw = sign()
    date = parse_signed(raw).date
    other = edited(raw, "authorization", f"/{date}/", "/20200101/")
    refused = _refused(other)
    assert refused.reason is SignatureReason.SCOPE
    assert refused.message.startswith("Date in Credential scope does not match")


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_outside_the_window_is_refused(minutes: int) -> None:
    signed = parse_signed(sign())
    with pytest.raises(SigV4Rejected):
        verify_time(signed, now=signed.signed_at + timedelta(minutes=minutes))


@pytest.mark.parametrize("expires", [-1, 0, 604_801, "60.0", "sixty"])
def test_a_url_with_an_impossible_lifetime_is_refused(expires: Any) -> None:
    assert _refused(presign(expires=expires)).reason is SignatureReason.INCOMPLETE


def test_a_url_after_its_lifetime_is_refused() -> None:
    signed = parse_signed(presign(expires=60))
    with pytest.raises(SigV4Rejected):
        verify_time(signed, now=signed.signed_at + timedelta(seconds=61))


# STS-05: comparing secrets


def test_signatures_are_compared_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return False

    raw = sign()
    monkeypatch.setattr(hmac, "compare_digest", spy)
    with pytest.raises(SigV4Rejected):
        verify_signature(parse_signed(raw), raw, prepare_signing_key(b"k" * 32))
    ((expected, sent),) = compared
    assert len(expected) == len(sent) == 64
    assert isinstance(expected, bytes)
    assert isinstance(sent, bytes)


@pytest.mark.parametrize("signature", ["", "0", "é" * 64, "0" * 64, "0" * 100_000])
def test_a_signature_of_any_shape_is_only_wrong(signature: str) -> None:
    raw = sign()
    right = parse_signed(raw).signature
    assert _refused(edited(raw, "authorization", right, signature)).reason in {
        SignatureReason.MISMATCH,
        SignatureReason.INCOMPLETE,
    }
