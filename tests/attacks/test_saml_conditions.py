"""SAML-14 to 17, 19, 20, 26: for whom, for when, from whom, about whom."""

from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from broker.protocols.saml.conditions import Profile, SamlOptions
from broker.protocols.saml.errors import SamlReason as R
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.metadata import parse_metadata
from tests.support.rows import of_file, rows
from tests.support.saml_check import SKEW, idp, reason, verify
from tests.support.saml_idp import (
    AUDIENCE,
    ENTITY_ID,
    NOW,
    NS,
    SAML,
    build_document,
    build_response,
    confirmation_xml,
    encode,
    key_pair,
    metadata_xml,
    saml_time,
)

AWS_PROFILE = SamlOptions(profile=Profile.AWS)
END = saml_time(NOW + timedelta(minutes=5))
HOLDER = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"
VOUCHES = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"


def at(**delta: float) -> str:
    return saml_time(NOW + timedelta(**delta))


SIGNED_REFUSALS = of_file(__file__, "SIGNED_REFUSALS", globals())


@rows(
    ("knobs", "expected_reason"), SIGNED_REFUSALS.values(), ids=SIGNED_REFUSALS.keys()
)
def test_a_well_signed_response_is_refused(
    knobs: dict[str, Any], expected_reason: R
) -> None:
    """Each differs from a good one in the one thing that its name says."""
    assert reason(build_response(**knobs)) is expected_reason
    assert reason(build_response(sign="response", **knobs)) is expected_reason


ACCEPTED: dict[str, dict[str, Any]] = {
    "plain": {},
    "expired within the skew": {"not_on_or_after": at(seconds=-59)},
    "ahead within the skew": {"not_before": at(seconds=60)},
    "issued just in time": {"issue_instant": at(seconds=-360)},
    "issued ahead within the skew": {"issue_instant": at(seconds=60)},
    "fractions": {"issue_instant": at(seconds=-10)[:-1] + ".1234567Z"},
    "no limit of conditions": {"not_on_or_after": None, "not_before": None},
    "our audience among others": {"audience": ("urn:a", AUDIENCE)},
    "two restrictions with ours": {
        "conditions_xml": "<saml:AudienceRestriction><saml:Audience>"
        f"{AUDIENCE}</saml:Audience></saml:AudienceRestriction>"
    },
    "one time use": {"conditions_xml": "<saml:OneTimeUse/>"},
    "proxy restriction": {"conditions_xml": '<saml:ProxyRestriction Count="0"/>'},
    "both": {"conditions_xml": '<saml:OneTimeUse/><saml:ProxyRestriction Count="0"/>'},
    "no destination": {"response": {"destination": None}},
    "no response issuer": {"response": {"issuer": None}},
    "good bearer after others": {
        "confirmations": confirmation_xml(not_on_or_after=END, method=HOLDER)
        + confirmation_xml(not_on_or_after=END, recipient="https://other.example")
        + confirmation_xml(not_on_or_after=END)
    },
    "session to come": {"session_not_on_or_after": at(hours=8)},
    "typed values": {"declare_xs": True},
}


@pytest.mark.parametrize("knobs", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_good_response_is_accepted(knobs: dict[str, Any]) -> None:
    assert verify(build_response(**knobs)).subject == "alice"


AWS_ACCEPTS: dict[str, dict[str, Any]] = of_file(__file__, "AWS_ACCEPTS")


@pytest.mark.parametrize("knobs", AWS_ACCEPTS.values(), ids=AWS_ACCEPTS.keys())
def test_the_profile_aws_takes_what_the_live_service_took(
    knobs: dict[str, Any],
) -> None:
    response = build_response(**knobs)
    assert reason(response) is not None
    assert reason(response, options=AWS_PROFILE) is None


@rows("name")
def test_the_profile_aws_keeps_the_rest(name: str) -> None:
    knobs, expected_reason = SIGNED_REFUSALS[name]
    assert reason(build_response(**knobs), options=AWS_PROFILE) is expected_reason


def test_the_profile_aws_keeps_signatures_and_takes_one_confirmation() -> None:
    unsigned = build_response(sign="none")
    assert reason(unsigned, options=AWS_PROFILE) is R.UNSIGNED
    foreign = build_response(signing_key=key_pair("attacker"))
    assert reason(foreign, options=AWS_PROFILE) is R.SIGNATURE_INVALID
    two = build_response(confirmations=confirmation_xml(not_on_or_after=END) * 2)
    assert reason(two) is None
    assert reason(two, options=AWS_PROFILE) is R.CONFIRMATION


@rows("response_says, assertion_says, accepted")
def test_an_open_request_must_be_answered_in_both_places(
    response_says: str | None, assertion_says: str | None, *, accepted: bool
) -> None:
    """SAML-17."""
    response = build_response(
        in_response_to=assertion_says, response={"in_response_to": response_says}
    )
    saml_reason = reason(response, in_response_to=frozenset({"_req"}))
    assert saml_reason is (None if accepted else R.IN_RESPONSE_TO)


def test_an_encrypted_name_id_is_refused() -> None:
    """SAML-25: never an empty subject."""
    encrypted = (
        '<saml:EncryptedID><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">'
        "<xenc:CipherData><xenc:CipherValue>QUJD</xenc:CipherValue></xenc:CipherData>"
        "</xenc:EncryptedData></saml:EncryptedID>"
    )
    with pytest.raises(SamlRejected, match="not exactly one NameID") as refusal:
        verify(build_response(name_id=encrypted))
    assert refusal.value.reason is R.SUBJECT


def test_a_conditions_element_that_comes_twice_is_refused() -> None:
    def double(assertion: etree._Element) -> None:
        conditions = assertion.find("saml:Conditions", NS)
        assert conditions is not None
        conditions.addnext(etree.fromstring(etree.tostring(conditions)))

    assert reason(build_response(change_assertion=double)) is R.STRUCTURE


def test_the_issuers_own_keys_alone_count() -> None:
    """SAML-26: one provider, two entities, each signs only for itself."""
    other = "https://second.example/metadata"
    group = (
        '<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">'
        + metadata_xml(key_pair("idp"), wrap=False)
        + metadata_xml(key_pair("second"), entity_id=other, wrap=False)
        + "</md:EntitiesDescriptor>"
    )
    both = parse_metadata(group, now=NOW)
    for name, issuer, accepted in (
        ("idp", ENTITY_ID, True),
        ("second", other, True),
        ("idp", other, False),
        ("second", ENTITY_ID, False),
    ):
        response = build_response(
            signing_key=key_pair(name), issuer=issuer, response={"issuer": issuer}
        )
        saml_reason = reason(response, metadata=both)
        assert saml_reason is (None if accepted else R.SIGNATURE_INVALID)


def test_two_providers_with_one_entity_id_do_not_share_keys() -> None:
    """SAML-26: the nominated provider's keys and no others."""
    response = build_response(signing_key=key_pair("second"))
    assert reason(response, metadata=idp("second")) is None
    assert reason(response, metadata=idp("idp")) is R.SIGNATURE_INVALID


def test_an_unsigned_wrapper_cannot_stand_in_for_the_signed_issuer() -> None:
    root = build_document(issuer="https://other.example")
    issuer = root.find("saml:Issuer", NS)
    assert issuer is not None
    assert reason(encode(root)) is R.ISSUER_UNKNOWN


def test_replays_in_another_response_carry_the_same_assertion_id() -> None:
    """SAML-20: what identifies the proof is signed."""
    first = build_document()
    again = build_document(response={"response_id": "_other"})
    results = {verify(encode(document)).assertion_id for document in (first, again)}
    assert results == {"_a1"}


def test_the_latest_limit_outlives_every_way_to_pass() -> None:
    proved = verify(
        build_response(not_on_or_after=at(hours=2), session_not_on_or_after=at(hours=8))
    )
    assert proved.latest_not_on_or_after == NOW + timedelta(hours=2)
    assert proved.session_not_on_or_after == NOW + timedelta(hours=8)
    assert proved.issue_instant + timedelta(minutes=5) + SKEW > NOW


def test_the_format_of_an_issuer_must_be_entity() -> None:
    def rename(assertion: etree._Element) -> None:
        issuer = assertion.find("saml:Issuer", NS)
        assert issuer is not None
        issuer.set("Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent")

    assert reason(build_response(change_assertion=rename)) is R.STRUCTURE


def test_a_second_issuer_is_refused() -> None:
    def add(assertion: etree._Element) -> None:
        second = etree.Element(f"{{{SAML}}}Issuer")
        second.text = ENTITY_ID
        assertion.insert(1, second)

    assert reason(build_response(change_assertion=add)) is R.ISSUER_UNKNOWN
