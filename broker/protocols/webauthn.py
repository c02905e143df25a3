"""Web Authentication: what browsers are asked for, and what their answers prove.

A passkey is a second factor here, next to a password: user presence (the *UP* flag) is
required, user verification is not. No attestation is requested, so the authenticator's
make is unknown.

Source: W3C Web Authentication Level 3, 5.4, 5.5, 7.1 and 7.2.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from broker.model.strict_json import parse_object

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

NAME = "Federation Broker"
TIMEOUT_MS = 300_000
ANSWER_CHARACTERS_MAX = 24_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CREDENTIAL_ID_BYTES_MAX = 1023
"""WebAuthn 7.1, step 25."""

_FORMATS = frozenset({"none", "packed"})
"""Without attestation browsers send the first; self attestation they may leave."""


class WebauthnReason(StrEnum):
    """The kinds of refusal."""

    MALFORMED = "malformed"
    NOT_VERIFIED = "not verified"
    FRAMED = "made inside another site's page"
    ATTESTED = "attestation that was not asked for"
    OTHER_CREDENTIAL = "another credential"
    OTHER_USER = "another user's credential"
    COUNT_WENT_BACK = "the signature count went back"


class WebauthnRejected(Exception):
    """An answer that proves nothing; ``detail`` is for the operator, without secrets."""

    def __init__(self, reason: WebauthnReason, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class RelyingParty(Struct, frozen=True):
    """Whom passkeys are for: the domain they are bound to, the origin of our pages."""

    rp_id: str
    origin: str


class Credential(Struct, frozen=True, kw_only=True):
    """A public key credential; ``public_key`` is a COSE key."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...] = ()
    aaguid: str = ""
    synced: bool = False


def load() -> None:
    """Import the library, which is slow and which many installations never need.

    Call it in a thread first where the event loop must not wait.
    """
    import_module("webauthn")


def find_relying_party(origin: str) -> RelyingParty | None:
    """The relying party of our pages; None where browsers offer no passkeys.

    They want a domain's name and a secure context: https, or ``localhost``.
    """
    parts = urlsplit(origin)
    host = (parts.hostname or "").removesuffix(".")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
        if host and (parts.scheme == "https" or local):
            return RelyingParty(host, _as_browsers_write(parts))
    return None


def registration_options(
    party: RelyingParty,
    *,
    user_handle: bytes,
    user_name: str,
    challenge: bytes,
    known: Iterable[Credential],
) -> str:
    """``PublicKeyCredentialCreationOptionsJSON``; ``known`` are those made before."""
    from webauthn import generate_registration_options, options_to_json  # noqa: PLC0415  # off the start path
    from webauthn.helpers import structs  # noqa: PLC0415  # as above

    return options_to_json(
        generate_registration_options(
            rp_id=party.rp_id,
            rp_name=NAME,
            user_id=user_handle,
            user_name=user_name,
            user_display_name=user_name,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            attestation=structs.AttestationConveyancePreference.NONE,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.PREFERRED,
                user_verification=structs.UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=_descriptors(known),
            supported_pub_key_algs=_algorithms(),
        )
    )


def verify_registration(
    party: RelyingParty, answer: str, *, challenge: bytes
) -> Credential:
    """The new credential of a ``RegistrationResponseJSON``.

    Raises:
        WebauthnRejected: it answers something else, or was made elsewhere.
    """
    from webauthn import verify_registration_response  # noqa: PLC0415  # as above
    from webauthn.helpers import (  # noqa: PLC0415  # as above
        decode_credential_public_key,
        decoded_public_key_to_cryptography,
        parse_registration_credential_json,
    )

    value = _parse(answer)
    with _refusals():
        parsed = parse_registration_credential_json(value)
        _require_own_page(parsed.response.client_data_json)
        _require_no_attestation(parsed.response.attestation_object)
        verified = verify_registration_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            supported_pub_key_algs=_algorithms(),
        )
        # A key that no signature could be verified with would lock its owner out.
        decoded_public_key_to_cryptography(
            decode_credential_public_key(verified.credential_public_key)
        )
    if len(verified.credential_id) > _CREDENTIAL_ID_BYTES_MAX:
        raise WebauthnRejected(WebauthnReason.MALFORMED, "the credential's id is long")
    if parsed.raw_id != verified.credential_id:
        raise WebauthnRejected(WebauthnReason.MALFORMED, "two ids of one credential")
    return Credential(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        transports=tuple(
            dict.fromkeys(t.value for t in parsed.response.transports or ())
        ),
        aaguid=verified.aaguid,
        synced=verified.credential_backed_up,
    )


def authentication_options(
    party: RelyingParty, *, challenge: bytes, known: Iterable[Credential]
) -> str:
    """``PublicKeyCredentialRequestOptionsJSON`` that any of ``known`` can answer."""
    from webauthn import generate_authentication_options, options_to_json  # noqa: PLC0415  # as above
    from webauthn.helpers import structs  # noqa: PLC0415  # as above

    return options_to_json(
        generate_authentication_options(
            rp_id=party.rp_id,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            allow_credentials=_descriptors(known),
            user_verification=structs.UserVerificationRequirement.PREFERRED,
        )
    )


def verify_authentication(
    party: RelyingParty,
    answer: str,
    *,
    challenge: bytes,
    user_handle: bytes,
    known: Iterable[Credential],
) -> tuple[bytes, int]:
    """Which of a user's credentials an answer proves, and its new signature count.

    Raises:
        WebauthnRejected: it proves none of them for this challenge and this site.
    """
    from webauthn import verify_authentication_response  # noqa: PLC0415  # as above
    from webauthn.helpers import parse_authentication_credential_json  # noqa: PLC0415  # as above

    value = _parse(answer)
    with _refusals():
        parsed = parse_authentication_credential_json(value)
    credential = next((c for c in known if c.credential_id == parsed.raw_id), None)
    if credential is None:
        raise WebauthnRejected(WebauthnReason.OTHER_CREDENTIAL)
    if parsed.response.user_handle not in {None, b"", user_handle}:
        raise WebauthnRejected(WebauthnReason.OTHER_USER)
    with _refusals():
        _require_own_page(parsed.response.client_data_json)
        verified = verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            credential_public_key=credential.public_key,
            # Judged below, when the signature shows whose count it is.
            credential_current_sign_count=0,
        )
    count = verified.new_sign_count
    if (count or credential.sign_count) and count <= credential.sign_count:
        raise WebauthnRejected(
            WebauthnReason.COUNT_WENT_BACK, f"{count} after {credential.sign_count}"
        )
    return credential.credential_id, count


def _as_browsers_write(parts: SplitResult) -> str:
    port = parts.port
    text = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{parts.hostname}{text}"


def _parse(answer: str) -> dict[str, Any]:
    if len(answer) > ANSWER_CHARACTERS_MAX:
        raise WebauthnRejected(WebauthnReason.MALFORMED, "too long")
    try:
        return parse_object(answer.encode())
    except (ValueError, RecursionError) as error:
        raise WebauthnRejected(WebauthnReason.MALFORMED, "no JSON object") from error


def _require_own_page(client_data: bytes) -> None:
    """Refuse an answer that was made in a frame on another site's page."""
    value = parse_object(client_data)
    if value.get("crossOrigin", False) is not False or "topOrigin" in value:
        raise WebauthnRejected(WebauthnReason.FRAMED)


def _require_no_attestation(attestation: bytes) -> None:
    from webauthn.helpers import parse_attestation_object  # noqa: PLC0415  # as above

    made = parse_attestation_object(attestation)
    if made.fmt not in _FORMATS or made.att_stmt.x5c:
        raise WebauthnRejected(WebauthnReason.ATTESTED, str(made.fmt)[:40])


@contextmanager
def _refusals() -> Iterator[None]:
    """What the library refuses, and whatever it stumbles over."""
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415  # as above

    try:
        yield
    except WebauthnRejected:
        raise
    except WebAuthnException as error:
        raise WebauthnRejected(WebauthnReason.NOT_VERIFIED, str(error)[:200]) from error
    except Exception as error:  # the library parses what a stranger sent
        raise WebauthnRejected(
            WebauthnReason.MALFORMED, type(error).__name__
        ) from error


def _descriptors(known: Iterable[Credential]) -> "list[PublicKeyCredentialDescriptor]":
    from webauthn.helpers import structs  # noqa: PLC0415  # as above

    return [
        structs.PublicKeyCredentialDescriptor(
            id=credential.credential_id,
            transports=[
                structs.AuthenticatorTransport(name) for name in credential.transports
            ],
        )
        for credential in known
    ]


def _algorithms() -> list[Any]:
    """ES256, EdDSA and RS256, in the order of preference."""
    from webauthn.helpers.cose import COSEAlgorithmIdentifier as Algorithm  # noqa: PLC0415  # as above

    return [
        Algorithm.EDDSA,
        Algorithm.ECDSA_SHA_256,
        Algorithm.RSASSA_PKCS1_v1_5_SHA_256,
    ]
