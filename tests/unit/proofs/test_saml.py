"""A verified assertion in AWS's terms, and refusals in AWS's words."""

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest

from broker.errors import (
    BrokerError,
    InvalidIdentityToken,
)
from broker.model.entities import EncryptionMode
from broker.model.federated import RolePair
from broker.model.principal import PrincipalType
from broker.proofs.saml import WIRE_ERRORS, wire_error
from broker.proofs.saml_context import ATTRIBUTE_KEYS, SINGLE_VALUED
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.keys import parse_private_key
from tests.support.rows import rows
from tests.support.saml_idp import (
    ACCOUNT,
    ACS,
    DS,
    ENTITY_ID,
    NOW,
    PROVIDER_ARN,
    ROLE_ARN,
    XENC,
    aws_attributes,
    build_response,
    key_pair,
    saml_time,
)
from tests.support.saml_proof import SKEW, UUID, prove, saml_provider

CRYPTOGRAPHIC = {
    SamlReason.SIGNATURE_STRUCTURE,
    SamlReason.ALGORITHM_NOT_ALLOWED,
    SamlReason.SIGNATURE_INVALID,
    SamlReason.DECRYPTION_FAILED,
}


def test_a_provider_need_not_name_its_session() -> None:
    unnamed = (
        f'<saml:AuthnStatement AuthnInstant="{saml_time(NOW)}"><saml:AuthnContext>'
        "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
        "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
    )
    identity = prove(build_response(authn_statement=unnamed))
    assert identity.provider_session == ""


def test_a_proof_says_everything_in_aws_terms() -> None:
    identity = prove(
        build_response(
            not_on_or_after=saml_time(NOW + timedelta(hours=1)),
            session_not_on_or_after=saml_time(NOW + timedelta(hours=8)),
            attributes=aws_attributes(
                role=[f"{PROVIDER_ARN},{ROLE_ARN}", f"{ROLE_ARN},{PROVIDER_ARN}"],
                duration="7200",
                source_identity="alice",
                tags={"Team": "blue", "Cost": ""},
                transitive=["Team"],
            ),
        )
    )
    qualified = f"{ENTITY_ID}{ACCOUNT}/Corp".encode()
    qualifier = base64.b64encode(hashlib.sha1(qualified).digest()).decode()
    assert identity.principal.type is PrincipalType.SAML
    assert json.loads(identity.provider_session) == [identity.subject, "_s1"]
    assert identity.principal.userid == PROVIDER_ARN
    assert identity.provider_arn == PROVIDER_ARN
    assert identity.provider_id == UUID
    assert identity.issuer == ENTITY_ID
    assert identity.subject == "alice"
    assert identity.subject_type == "persistent"
    assert identity.name_qualifier == qualifier
    assert identity.audience == ACS
    assert identity.session_name == "alice@example.com"
    assert identity.role_pairs == (RolePair(ROLE_ARN, PROVIDER_ARN),)
    assert identity.tags == {"Team": "blue", "Cost": ""}
    assert identity.transitive_keys == {"Team"}
    assert identity.source_identity == "alice"
    assert identity.session_duration_seconds == 7200
    assert identity.session_ends_at == NOW + timedelta(hours=8)
    key = base64.b64decode(b"".join(key_pair().public_pem.splitlines()[1:-1]))
    assert identity.replay_id == (ENTITY_ID, hashlib.sha256(key).hexdigest(), "_a1")
    assert identity.usable_until == NOW + timedelta(hours=1) + 2 * SKEW
    assert identity.context == {
        "saml:aud": (ACS,),
        "saml:iss": (ENTITY_ID,),
        "saml:sub": ("alice",),
        "saml:sub_type": ("persistent",),
        "saml:namequalifier": (qualifier,),
        "saml:doc": (f"{ACCOUNT}/Corp",),
    }
    assert identity.session_context == {
        "saml:sub": ("alice",),
        "saml:sub_type": ("persistent",),
        "saml:namequalifier": (qualifier,),
    }


def test_the_name_qualifier_is_the_models_example() -> None:
    """STS model: SHA1 of "https://example.com/saml" + "123456789012" + "/MySAMLIdP"."""
    from broker.model.account import AccountId
    from broker.proofs.saml_context import name_qualifier

    provider = saml_provider(account=AccountId("123456789012"), name="MySAMLIdP")
    digest = hashlib.sha1(b"https://example.com/saml123456789012/MySAMLIdP").digest()
    assert (
        name_qualifier("https://example.com/saml", provider)
        == base64.b64encode(digest).decode()
    )


@rows("name_format, subject_type, sub_type")
def test_formats_are_shortened_as_aws_does(
    name_format: str, subject_type: str, sub_type: str | None
) -> None:
    identity = prove(build_response(name_format=name_format))
    assert identity.subject_type == subject_type
    assert identity.context["saml:sub_type"] == (sub_type or subject_type,)


def test_attributes_fill_condition_keys() -> None:
    extra = {
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.1": ("staff", "member"),
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.5": ("staff", "member"),
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.11": ("loa",),
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.6": ("white",),
        "http://schemas.xmlsoap.org/claims/CommonName": ("Alice",),
        "2.5.4.3": ("Second",),
        "unknown": ("x",),
    }
    identity = prove(build_response(attributes=aws_attributes() | extra))
    results = {
        key: values
        for key, values in identity.context.items()
        if key.startswith(("saml:edu", "saml:common"))
    }
    assert results == {
        "saml:edupersonaffiliation": ("staff", "member"),
        "saml:edupersonprimaryaffiliation": ("staff",),
        "saml:edupersonassurance": ("loa",),
        "saml:eduorgwhitepagesuri": ("white",),
        "saml:commonname": ("Alice",),
    }
    assert not set(results) & set(identity.session_context)


def test_an_attribute_cannot_overwrite_a_key_of_the_broker() -> None:
    assert not {
        "saml:aud",
        "saml:iss",
        "saml:sub",
        "saml:sub_type",
        "saml:namequalifier",
        "saml:doc",
    } & set(ATTRIBUTE_KEYS.values())
    assert set(ATTRIBUTE_KEYS.values()) >= SINGLE_VALUED


def test_every_reason_has_a_wire_error() -> None:
    assert set(WIRE_ERRORS) == set(SamlReason)


def test_all_cryptographic_failures_look_the_same() -> None:
    seen = {
        (error.code, error.status, error.message)
        for reason in CRYPTOGRAPHIC
        for error in [wire_error(SamlRejected(reason, "why"))]
    }
    assert seen == {("InvalidIdentityToken", 400, "Response signature invalid")}


@rows("knobs, class_, message")
def test_refusals_have_the_recorded_texts(
    knobs: dict[str, Any], class_: type[BrokerError], message: str
) -> None:
    with pytest.raises(class_) as refusal:
        prove(build_response(**knobs))
    cause = refusal.value.__cause__
    assert isinstance(cause, SamlRejected)
    told = wire_error(cause, request_id="11111111-2222-3333-4444-555555555555")
    assert (type(told), told.message) == (class_, message)
    assert told.detail == refusal.value.detail != ""


def test_the_providers_options_take_effect() -> None:
    weak = build_response(
        signature={"algorithm": DS + "rsa-sha1", "digest": DS + "sha1"}
    )
    elsewhere = build_response(
        recipient="https://signin.aws.amazon.com/saml",
        audience="https://signin.aws.amazon.com/saml",
    )
    lax = build_response(audience=None)
    for response, options in (
        (weak, {"AllowSha1": True}),
        (lax, {"Profile": "aws"}),
        (
            elsewhere,
            {
                "Recipients": ["https://signin.aws.amazon.com/saml"],
                "Audiences": ["https://signin.aws.amazon.com/saml"],
            },
        ),
    ):
        with pytest.raises(InvalidIdentityToken):
            prove(response)
        assert prove(response, provider=saml_provider(options=options))


@pytest.mark.parametrize("limit", ["not_on_or_after", "confirmation_not_on_or_after"])
def test_for_the_aws_profile_an_assertion_without_end_is_remembered_for_a_day(
    limit: str,
) -> None:
    """It is refused five minutes after its issue; its mark need not stay for ever."""
    lasting = build_response(**{limit: "9999-12-31T23:59:59Z"})
    with pytest.raises(InvalidIdentityToken):
        prove(lasting)
    proved = prove(lasting, provider=saml_provider(options={"Profile": "aws"}))
    assert proved.usable_until == NOW + timedelta(days=1) + 3 * SKEW


def test_the_aws_profile_skips_role_values_that_are_no_pair() -> None:
    """Keycloak's *Full scope allowed* adds the realm's roles."""
    pair = f"{ROLE_ARN},{PROVIDER_ARN}"
    mixed = aws_attributes(role=["offline_access", pair, "uma_authorization"])
    with pytest.raises(InvalidIdentityToken, match="Role in AuthnResponse"):
        prove(build_response(attributes=mixed))
    aws = saml_provider(options={"Profile": "aws"})
    proved = prove(build_response(attributes=mixed), provider=aws)
    assert proved.role_pairs == (RolePair(ROLE_ARN, PROVIDER_ARN),)
    none = build_response(attributes=aws_attributes(role=["offline_access"]))
    assert prove(none, provider=aws).role_pairs == ()


def test_anyone_who_is_in_no_group_lacks_a_role_and_not_a_name() -> None:
    """Without RoleSessionName, which such providers cannot send either."""
    table = saml_provider(options={"GroupRoles": {"staff": [ROLE_ARN]}})
    response = build_response(attributes={"groups": ["others"]})
    assert prove(response, provider=table).role_pairs == ()
    with pytest.raises(InvalidIdentityToken, match="RoleSessionName is required"):
        prove(response)
    roles = {**aws_attributes(session_name=None), "groups": ["others"]}
    with pytest.raises(InvalidIdentityToken, match="RoleSessionName is required"):
        prove(build_response(attributes=roles), provider=table)


def test_encryption_mode_and_cbc_follow_the_provider() -> None:
    pair = key_pair("decryption")
    key = parse_private_key(pair.private_pem)
    required = saml_provider(encryption_mode=EncryptionMode.REQUIRED)
    with pytest.raises(InvalidIdentityToken):
        prove(build_response(), provider=required, decryption_keys=[key])
    good = build_response(encrypt_to=pair.public_pem)
    assert prove(good, provider=required, decryption_keys=[key]).subject == "alice"
    cbc = build_response(
        encrypt_to=pair.public_pem,
        sign="both",
        encryption={"cipher": XENC + "aes256-cbc"},
    )
    with pytest.raises(InvalidIdentityToken):
        prove(cbc, decryption_keys=[key])
    allowed = saml_provider(options={"AllowCbc": True})
    assert prove(cbc, provider=allowed, decryption_keys=[key]).subject == "alice"
