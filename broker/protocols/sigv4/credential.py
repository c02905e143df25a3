"""Reading a signed request: the header form and the presigned (query) form.

One place, one value: a request that is signed in both forms, names one thing twice,
or spells a signing parameter differently is refused, and so is one that leaves
``host`` or an ``x-amz-*`` header outside the signature, except where the signature
holds what the header says all the same (`_BOUND`).

Source: AWS, "Create a signed AWS API request"; botocore, auth.py; CVE-2022-2385 for
parameters of another case.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from operator import methodcaller
from typing import NoReturn

from msgspec import Struct

from broker.model.request import RawRequest
from broker.protocols.sigv4.canonical import (
    Pair,
    canonical_headers,
    canonical_path,
    canonical_query,
    collect_headers,
    split_query,
)
from broker.protocols.sigv4.errors import (
    SignatureReason,
    SigV4Rejected,
    reject_mismatch,
    shown,
)
from broker.protocols.sigv4.fields import (
    NONCONFORMING,
    RE_EXAMINE,
    UNSIGNED,
    parse_authorization,
    parse_date,
    parse_expires,
)
from broker.protocols.sigv4.rules import HMAC, STRICT, SignatureRules
from broker.runtime.bounded import remembered

_PARAMETERS = {
    name.lower(): name
    for name in (
        b"X-Amz-Algorithm",
        b"X-Amz-Credential",
        b"X-Amz-Date",
        b"X-Amz-Expires",
        b"X-Amz-Security-Token",
        b"X-Amz-Signature",
        b"X-Amz-SignedHeaders",
    )
}
_REQUIRED = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Signature",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Date",
)
_QUERY_ONLY = (b"x-amz-date", b"x-amz-security-token")
_CONTENT_SHA256 = b"x-amz-content-sha256"
_BOUND = frozenset({_CONTENT_SHA256, b"x-amz-security-token"})
"""Headers that need not be signed, for no other value would pass.

The hash of the body is computed and signed, and a declared one must equal it. The
token and its access key id give the secret that the signature is made with: a token
that is put in, taken out or exchanged makes it wrong. Signers in use leave one of them
out, and AWS takes their requests.
"""

_IS_AMZ = methodcaller("startswith", b"x-amz-")
_CREDENTIAL_PARTS = 5
_TOKEN = r"[a-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105  # RFC 9110's word for a name
_SIGNED_HEADERS = re.compile(f"{_TOKEN}(?:;{_TOKEN})*")


class SignedRequest(Struct, frozen=True, kw_only=True):
    """A request's signature taken apart; nothing in it is proved yet.

    ``access_key_id`` is a certificate's serial number if its key signed. ``date`` to
    ``terminator`` are the credential scope as sent. ``timestamp`` is the
    request's date in ISO 8601 basic format and ``signed_at`` the same moment.
    ``expires_seconds`` is ``X-Amz-Expires``; None when a presigned URL names none and
    for the header form. ``content_sha256`` is what the client says of its body.
    ``canonical_head`` is the canonical request up to the body's hash.
    """

    __repr__ = object.__repr__

    algorithm: str
    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    session_token: str | None
    signed_headers: tuple[str, ...]
    signature: str
    presigned: bool
    timestamp: str
    signed_at: datetime
    expires_seconds: int | None
    content_sha256: str | None
    canonical_head: bytes

    @property
    def scope(self) -> str:
        """``{date}/{region}/{service}/{terminator}``."""
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


def parse_signed(raw: RawRequest, rules: SignatureRules = STRICT) -> SignedRequest:
    """Take the signature of a request apart.

    Raises:
        SigV4Rejected: there is none, it is incomplete, it says one thing twice, or
            it leaves a part of the request uncovered.
    """
    headers, repeated = collect_headers(raw.headers)
    pairs = split_query(raw.query)
    parameters = _amz_parameters(pairs) if pairs else {}
    signing = [name for name in parameters if name.lower() in _PARAMETERS]
    if b"authorization" in headers:
        if signing:
            name = signing[0].decode("latin-1")
            _reject_ambiguous(
                f"Found both '{name}' as a query-string param and "
                "'Authorization' as HTTP header."
            )
        return _parse_header_form(raw, headers, repeated, pairs, rules=rules)
    if signing:
        return _parse_query_form(raw, headers, repeated, pairs, parameters, rules=rules)
    raise SigV4Rejected(SignatureReason.UNSIGNED, UNSIGNED)


def _parse_header_form(
    raw: RawRequest,
    headers: Mapping[bytes, bytes],
    repeated: AbstractSet[bytes],
    pairs: Sequence[Pair],
    *,
    rules: SignatureRules,
) -> SignedRequest:
    algorithm, results = parse_authorization(
        _text(headers[b"authorization"]),
        rules.algorithms,
        dated=b"x-amz-date" in headers or b"date" in headers,
    )
    date_name = b"x-amz-date" if b"x-amz-date" in headers else b"date"
    singles = (b"authorization", date_name, b"x-amz-security-token", _CONTENT_SHA256)
    for name in singles if repeated else ():
        if name in repeated:
            _reject_ambiguous(f"The header '{name.decode()}' was sent more than once.")
    timestamp, signed_at = parse_date(_text(headers[date_name]))
    return _finish(
        raw,
        rules,
        headers=headers,
        repeated=repeated,
        pairs=pairs,
        algorithm=algorithm,
        credential=results["Credential"],
        signed_headers=results["SignedHeaders"],
        signature=results["Signature"],
        presigned=False,
        timestamp=timestamp,
        signed_at=signed_at,
        expires_seconds=None,
        session_token=_find_text(headers, b"x-amz-security-token"),
        content_sha256=_find_text(headers, _CONTENT_SHA256),
    )


def _parse_query_form(
    raw: RawRequest,
    headers: Mapping[bytes, bytes],
    repeated: AbstractSet[bytes],
    pairs: Sequence[Pair],
    parameters: Mapping[bytes, bytes],
    *,
    rules: SignatureRules,
) -> SignedRequest:
    missing = [name for name in _REQUIRED if not parameters.get(name)]
    if missing:
        texts = [
            f"AWS query-string parameters must include '{name.decode()}'. "
            for name in missing
        ]
        raise SigV4Rejected(SignatureReason.INCOMPLETE, "".join(texts) + RE_EXAMINE)
    if parameters[b"X-Amz-Algorithm"] != HMAC.encode() or HMAC not in rules.algorithms:
        raise SigV4Rejected(
            SignatureReason.UNSIGNED,
            "Missing Authentication Token",
            f"X-Amz-Algorithm is not {HMAC}, or there are no presigned URLs here",
        )
    lowered = {name.lower() for name in parameters}
    for name in headers:
        if name.startswith(b"x-amz-") and (name in lowered or name in _QUERY_ONLY):
            _reject_ambiguous(
                f"The header '{name.decode('latin-1')}' does not go with a presigned URL."
            )
    text = {name: value.decode("latin-1") for name, value in parameters.items()}
    timestamp, signed_at = parse_date(text[b"X-Amz-Date"])
    declared = [v for n, v in text.items() if n.lower() == _CONTENT_SHA256]
    return _finish(
        raw,
        rules,
        headers=headers,
        repeated=repeated,
        pairs=[pair for pair in pairs if pair[0] != b"X-Amz-Signature"],
        algorithm=HMAC,
        credential=text[b"X-Amz-Credential"],
        signed_headers=text[b"X-Amz-SignedHeaders"],
        signature=text[b"X-Amz-Signature"],
        presigned=True,
        timestamp=timestamp,
        signed_at=signed_at,
        expires_seconds=parse_expires(text.get(b"X-Amz-Expires")),
        session_token=text.get(b"X-Amz-Security-Token"),
        content_sha256=declared[0]
        if declared
        else _find_text(headers, _CONTENT_SHA256),
    )


def _finish(
    raw: RawRequest,
    rules: SignatureRules,
    *,
    headers: Mapping[bytes, bytes],
    repeated: AbstractSet[bytes],
    pairs: Sequence[Pair],
    algorithm: str,
    credential: str,
    signed_headers: str,
    signature: str,
    presigned: bool,
    timestamp: str,
    signed_at: datetime,
    expires_seconds: int | None,
    session_token: str | None,
    content_sha256: str | None,
) -> SignedRequest:
    covered = _verify_coverage(headers, repeated, signed_headers)
    parts = credential.split("/")
    if len(parts) != _CREDENTIAL_PARTS:
        raise SigV4Rejected(
            SignatureReason.INCOMPLETE,
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/term, got '{shown(credential)}'",
        )
    access_key_id, date, region, service, terminator = parts
    head = b"\n".join(
        (
            raw.method.encode(),
            raw.raw_path if rules.path_as_sent else canonical_path(raw.raw_path),
            canonical_query(pairs),
            canonical_headers(headers, covered),
            b";".join(covered),
            b"",
        )
    )
    return SignedRequest(
        algorithm=algorithm,
        access_key_id=access_key_id,
        date=date,
        region=region,
        service=service,
        terminator=terminator,
        session_token=session_token,
        signed_headers=tuple(signed_headers.split(";")),
        signature=signature,
        presigned=presigned,
        timestamp=timestamp,
        signed_at=signed_at,
        expires_seconds=expires_seconds,
        content_sha256=content_sha256,
        canonical_head=head,
    )


def _amz_parameters(pairs: Sequence[Pair]) -> dict[bytes, bytes]:
    """The ``X-Amz-*`` parameters by exact name, each once in any spelling."""
    results: dict[bytes, bytes] = {}
    seen: set[bytes] = set()
    for name, value in pairs:
        lower = name.lower()
        if not lower.startswith(b"x-amz-"):
            continue
        if lower in seen or _PARAMETERS.get(lower, name) != name:
            _reject_ambiguous(
                f"The query-string parameter '{shown(name.decode('latin-1'))}' is "
                "repeated or spelled differently. " + RE_EXAMINE
            )
        seen.add(lower)
        results[name] = value
    return results


def _verify_coverage(
    headers: Mapping[bytes, bytes], repeated: AbstractSet[bytes], signed_headers: str
) -> tuple[bytes, ...]:
    """The names of the signed headers, in order, when they cover what they must."""
    names, covered = _split_signed_headers(signed_headers)
    if b"host" not in covered:
        raise SigV4Rejected(
            SignatureReason.NOT_COVERED,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        )
    if b"host" in repeated:
        _reject_ambiguous("The header 'host' was sent more than once.")
    if not covered <= headers.keys():
        absent = b", ".join(sorted(covered - headers.keys())).decode()
        reject_mismatch(f"signed headers did not arrive: {shown(absent)}")
    loose = [
        name
        for name in filter(_IS_AMZ, headers)
        if name not in covered and name not in _BOUND
    ]
    if loose:
        listed = shown(b", ".join(loose).decode("latin-1"))
        raise SigV4Rejected(
            SignatureReason.NOT_COVERED,
            f"{NONCONFORMING} Header(s) not signed: {listed}.",
        )
    return names


@remembered()  # clients sign the same few lists again and again
def _split_signed_headers(text: str) -> tuple[tuple[bytes, ...], frozenset[bytes]]:
    if not _SIGNED_HEADERS.fullmatch(text):
        reject_mismatch("SignedHeaders is not a list of lower-case header names")
    names = tuple(text.encode("ascii").split(b";"))
    covered = frozenset(names)
    if len(covered) != len(names) or list(names) != sorted(names):
        reject_mismatch("SignedHeaders is not sorted, or repeats a name")
    return names, covered


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


def _find_text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else _text(value)


def _reject_ambiguous(message: str) -> NoReturn:
    raise SigV4Rejected(SignatureReason.AMBIGUOUS, message)
