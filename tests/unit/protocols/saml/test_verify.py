"""The verifier's promises that are not about attacks: nomination, threads, what it returns."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from broker.model.federated import RolePair
from broker.protocols.saml.keys import parse_private_key
from broker.protocols.saml.peek import peek_response
from tests.support.saml_check import verify
from tests.support.saml_idp import (
    ACS,
    AWS,
    ENTITY_ID,
    NOW,
    PERSISTENT,
    PROVIDER_ARN,
    ROLE_ARN,
    aws_attributes,
    build_response,
    key_pair,
)


def test_everything_comes_back() -> None:
    proved = verify(build_response())
    assert proved.response_id == "_r1"
    assert proved.assertion_id == "_a1"
    assert proved.issuer == ENTITY_ID
    assert proved.issue_instant == NOW
    assert (proved.subject, proved.subject_format) == ("alice", PERSISTENT)
    assert proved.recipient == ACS
    assert proved.latest_not_on_or_after == NOW + timedelta(minutes=5)
    assert proved.session_not_on_or_after is None
    assert proved.session_index == "_s1"
    assert proved.in_response_to is None
    assert not proved.is_encrypted
    assert proved.attributes[AWS + "Role"] == (f"{ROLE_ARN},{PROVIDER_ARN}",)
    with pytest.raises(AttributeError):
        proved.subject = "admin"  # type: ignore[misc]


def test_values_of_an_attribute_that_comes_twice_add_up() -> None:
    again = (
        f'<saml:Attribute Name="{AWS}Role"><saml:AttributeValue>x'
        "</saml:AttributeValue></saml:Attribute>"
    )
    proved = verify(build_response(attribute_xml=again))
    assert proved.attributes[AWS + "Role"] == (f"{ROLE_ARN},{PROVIDER_ARN}", "x")


def test_an_unsigned_response_nominates_and_proves_nothing() -> None:
    response = build_response(
        sign="none",
        attributes=aws_attributes(role=[f"{PROVIDER_ARN},{ROLE_ARN}", "junk"]),
    )
    assert peek_response(response).role_pairs == (RolePair(ROLE_ARN, PROVIDER_ARN),)


def test_an_encrypted_assertion_nominates_no_one() -> None:
    response = build_response(encrypt_to=key_pair("decryption").public_pem)
    assert peek_response(response).role_pairs == ()


def test_the_request_that_is_answered_can_be_looked_up() -> None:
    response = build_response(sign="none", response={"in_response_to": "_req"})
    assert peek_response(response).in_response_to == "_req"
    assert peek_response(build_response()).in_response_to is None


def test_threads_do_not_mix_their_answers() -> None:
    pair = key_pair("decryption")
    key = parse_private_key(pair.private_pem)
    responses = [
        build_response(
            subject=f"user{n}", encrypt_to=pair.public_pem if n % 2 else None
        )
        for n in range(8)
    ]

    def subject(n: int) -> str:
        return verify(responses[n % 8], decryption_keys=(key,)).subject

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(subject, range(160)))
    assert results == [f"user{n % 8}" for n in range(160)]
