"""Answers of browsers that must prove nothing."""

import json
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.protocols.webauthn import (
    ANSWER_CHARACTERS_MAX,
    Credential,
    RelyingParty,
    WebauthnReason,
    WebauthnRejected,
    authentication_options,
    find_relying_party,
    registration_options,
    verify_authentication,
    verify_registration,
)
from tests.support.authenticator import (
    BS,
    EDDSA,
    ES256,
    RS256,
    UP,
    UV,
    Authenticator,
    _new_key,
    b64,
    unb64,
)
from tests.support.effort import examples
from tests.support.rows import rows

ORIGIN = "https://broker.example"
PARTY = RelyingParty("broker.example", ORIGIN)
CHALLENGE, USER = b"c" * 32, b"AIDAEXAMPLE"


def creation(known: tuple[Credential, ...] = ()) -> str:
    return registration_options(
        PARTY, user_handle=USER, user_name="ann", challenge=CHALLENGE, known=known
    )


def registered(authenticator: Authenticator, **knobs: Any) -> Credential:
    answer = authenticator.create(creation(), **knobs)
    return verify_registration(PARTY, answer, challenge=CHALLENGE)


def shown(
    authenticator: Authenticator, *known: Credential, **knobs: Any
) -> tuple[bytes, int]:
    options = authentication_options(PARTY, challenge=CHALLENGE, known=known)
    return verify_authentication(
        PARTY,
        authenticator.get(options, **knobs),
        challenge=CHALLENGE,
        user_handle=USER,
        known=known,
    )


def refused(reason: WebauthnReason) -> Any:
    return pytest.raises(WebauthnRejected, match=f"^{reason.value}")


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_a_registered_key_of_each_algorithm_proves_its_holder(algorithm: int) -> None:
    authenticator = Authenticator(ORIGIN, algorithm)
    made = registered(authenticator, flags=UP | BS | 0x08, aaguid=bytes(range(16)))
    assert made.transports == ("internal",)
    assert made.synced
    assert made.aaguid == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert shown(authenticator, made) == (made.credential_id, 1)
    counted = replace(made, sign_count=1)
    assert shown(authenticator, counted, flags=UP, no_user_handle=True)[1] == 2


def test_an_authenticator_that_does_not_count_stays_at_nought() -> None:
    authenticator = Authenticator(ORIGIN, counts=False)
    made = registered(authenticator)
    assert [shown(authenticator, made)[1] for _ in range(2)] == [0, 0]


def test_the_options_name_site_user_and_what_is_known() -> None:
    authenticator = Authenticator(ORIGIN)
    made = registered(authenticator)
    options = json.loads(creation((made,)))
    assert options["rp"]["id"] == "broker.example"
    assert unb64(options["user"]["id"]) == USER
    assert options["attestation"] == "none"
    assert [p["alg"] for p in options["pubKeyCredParams"]] == [EDDSA, ES256, RS256]
    with pytest.raises(RuntimeError, match="registered already"):
        authenticator.create(options)


NOT_VERIFIED = WebauthnReason.NOT_VERIFIED


@rows(
    ("knobs", "reason"),
    [
        ({"origin": "https://evil.example"}, NOT_VERIFIED),
        ({"origin": ORIGIN + ":8443"}, NOT_VERIFIED),
        ({"origin": "http://broker.example"}, NOT_VERIFIED),
        ({"origin": ORIGIN + "/"}, NOT_VERIFIED),
        ({"rp_id": "example"}, NOT_VERIFIED),
        ({"challenge": b64(b"d" * 32)}, NOT_VERIFIED),
        ({"challenge": ""}, NOT_VERIFIED),
        ({"type": "webauthn.get"}, NOT_VERIFIED),
        ({"flags": UV}, NOT_VERIFIED),
        ({"client": {"crossOrigin": True}}, WebauthnReason.FRAMED),
        ({"client": {"topOrigin": "https://evil.example"}}, WebauthnReason.FRAMED),
        ({"inner_id": b"another"}, WebauthnReason.MALFORMED),
        ({"fmt": "fido-u2f"}, WebauthnReason.ATTESTED),
        ({"fmt": "android-safetynet"}, WebauthnReason.ATTESTED),
        ({"fmt": "packed", "statement": {"x5c": [b"x"]}}, WebauthnReason.ATTESTED),
        ({"statement": {"sig": b"x"}}, NOT_VERIFIED),
        (
            {"public_key": cbor2.dumps({1: 2, 3: -36, -1: 3, -2: b"x", -3: b"y"})},
            NOT_VERIFIED,
        ),
        (
            {"public_key": cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"x", -3: b"y"})},
            WebauthnReason.MALFORMED,
        ),
        ({"attestation": b"\x9b" + b"\xff" * 8}, NOT_VERIFIED),
        ({"attestation": b"\x81" * 9000}, NOT_VERIFIED),
        ({"attestation": b""}, NOT_VERIFIED),
    ],
    ids=str,
)
def test_a_registration_that_is_not_ours_is_refused(
    knobs: dict[str, Any], reason: WebauthnReason
) -> None:
    with refused(reason):
        registered(Authenticator(ORIGIN), **knobs)


def test_a_credential_id_longer_than_the_standard_allows_is_refused() -> None:
    authenticator = Authenticator(ORIGIN)
    value = json.loads(authenticator.create(creation(), inner_id=b"i" * 1024))
    value["id"] = value["rawId"] = b64(b"i" * 1024)
    with refused(WebauthnReason.MALFORMED):
        verify_registration(PARTY, json.dumps(value), challenge=CHALLENGE)


def test_an_answer_in_which_a_name_stands_twice_is_refused() -> None:
    answer = Authenticator(ORIGIN).create(creation())
    verify_registration(PARTY, answer, challenge=CHALLENGE)
    twice = answer.replace("{", '{"id": "", ', 1)
    with refused(WebauthnReason.MALFORMED):
        verify_registration(PARTY, twice, challenge=CHALLENGE)


@rows("knobs, reason", ids=str)
def test_an_answer_that_is_not_the_holders_is_refused(
    knobs: dict[str, Any], reason: WebauthnReason
) -> None:
    authenticator = Authenticator(ORIGIN)
    made = registered(authenticator)
    with refused(reason):
        shown(authenticator, made, **knobs)


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_another_keys_signature_is_refused(algorithm: int) -> None:
    authenticator = Authenticator(ORIGIN, algorithm)
    made = registered(authenticator)
    with refused(NOT_VERIFIED):
        shown(authenticator, made, key=_new_key(algorithm))


def test_what_was_signed_cannot_be_changed_afterwards() -> None:
    """The flags and the challenge are covered by the signature."""
    authenticator = Authenticator(ORIGIN)
    made = registered(authenticator)
    (held,) = authenticator.credentials
    data = authenticator._data(held, UP, {"count": 9})
    with refused(NOT_VERIFIED):
        shown(authenticator, made, data_after=data)
    client = authenticator._client("webauthn.get", b64(CHALLENGE), {})
    with refused(NOT_VERIFIED):
        shown(authenticator, made, challenge=b64(b"old"), client_after=client)


def test_a_count_that_goes_back_or_stands_still_is_refused() -> None:
    authenticator = Authenticator(ORIGIN)
    made = replace(registered(authenticator), sign_count=5)
    for count in (0, 4, 5):
        with refused(WebauthnReason.COUNT_WENT_BACK):
            shown(authenticator, made, count=count)
    assert shown(authenticator, made, count=6)[1] == 6


def test_a_count_is_only_judged_when_the_signature_shows_whose_it_is() -> None:
    authenticator = Authenticator(ORIGIN)
    made = replace(registered(authenticator), sign_count=5)
    with refused(NOT_VERIFIED):
        shown(authenticator, made, count=1, key=_new_key(ES256))


def test_another_users_credential_is_refused() -> None:
    mine, theirs = Authenticator(ORIGIN), Authenticator(ORIGIN)
    made = registered(mine)
    registered(theirs)
    with refused(WebauthnReason.OTHER_CREDENTIAL):
        shown(theirs, made, credential=theirs.credentials[0])


@pytest.mark.parametrize(
    "answer", ["", "[]", "null", "{", "[" * 20_000, "{}", '{"id":1}', "é\ud800"]
)
def test_bytes_that_are_not_an_answer_are_refused(answer: str) -> None:
    with pytest.raises(WebauthnRejected):
        verify_registration(PARTY, answer, challenge=CHALLENGE)
    with pytest.raises(WebauthnRejected):
        verify_authentication(
            PARTY, answer, challenge=CHALLENGE, user_handle=USER, known=()
        )


def test_an_answer_that_is_too_long_is_refused_unread() -> None:
    with refused(WebauthnReason.MALFORMED):
        verify_registration(
            PARTY, " " * (ANSWER_CHARACTERS_MAX + 1), challenge=CHALLENGE
        )


MADE = Authenticator(ORIGIN)
ANSWER = json.loads(MADE.create(creation()))


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    member=st.sampled_from(["clientDataJSON", "attestationObject"]),
    at=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    cut=st.integers(0, 40),
)
def test_a_mutant_of_a_registration_is_refused_or_the_same_key(
    member: str, at: int, byte: int, cut: int
) -> None:
    """Nothing but a refusal comes out, whatever bytes arrive."""
    response = ANSWER["response"]
    data = bytearray(unb64(response[member]))
    data[at % len(data)] = byte
    changed = bytes(data[: len(data) - cut])
    mutant = {**ANSWER, "response": {**response, member: b64(changed)}}
    try:
        made = verify_registration(PARTY, json.dumps(mutant), challenge=CHALLENGE)
    except WebauthnRejected:
        return
    assert made.credential_id == MADE.credentials[0].credential_id


@rows("origin, rp_id")
def test_passkeys_need_a_domain_and_a_secure_context(
    origin: str, rp_id: str | None
) -> None:
    party = find_relying_party(origin)
    assert (None if party is None else party.rp_id) == rp_id
    if party is not None:
        assert party.origin == origin.lower().removesuffix(":443")
