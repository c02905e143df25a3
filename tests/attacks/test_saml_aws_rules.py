"""SAML-28 to 31: what the AWS attributes of a well-signed assertion may not say."""

from typing import Any

import pytest

from broker.errors import InvalidIdentityToken
from broker.model.federated import FederatedIdentity
from broker.proofs.saml import require_role_pair
from tests.support.rows import rows
from tests.support.saml_idp import (
    ACCOUNT,
    AWS,
    PROVIDER_ARN,
    ROLE_ARN,
    aws_attributes,
    build_response,
)
from tests.support.saml_proof import prove

PAIR = f"{ROLE_ARN},{PROVIDER_ARN}"
OTHER = "999988887777"


def _prove(**attributes: Any) -> FederatedIdentity:
    return prove(build_response(attributes=aws_attributes(**attributes)))


def _with(name: str, *values: str) -> FederatedIdentity:
    attributes = aws_attributes() | {AWS + name: values}
    return prove(build_response(attributes=attributes))


@rows("value")
def test_a_role_value_must_be_a_pair(value: str) -> None:
    """SAML-28: even beside a good one."""
    with pytest.raises(InvalidIdentityToken):
        _prove(role=value)
    with pytest.raises(InvalidIdentityToken):
        _prove(role=[PAIR, value])


@rows("role")
def test_a_role_that_is_not_listed_with_the_provider_is_refused(role: Any) -> None:
    identity = _prove(role=role)
    with pytest.raises(InvalidIdentityToken) as refusal:
        require_role_pair(identity, role_arn=ROLE_ARN, provider_arn=PROVIDER_ARN)
    assert refusal.value.message == (
        "SAML Assertion doesn't contain the requested Role and Metadata in the "
        "attributes"
    )


def test_a_friendly_name_names_nothing() -> None:
    attributes = {
        name: values
        for name, values in aws_attributes().items()
        if not name.endswith("/Role")
    }
    friendly = (
        f'<saml:Attribute Name="x" FriendlyName="{AWS}Role"><saml:AttributeValue>'
        f"{PAIR}</saml:AttributeValue></saml:Attribute>"
    )
    identity = prove(build_response(attributes=attributes, attribute_xml=friendly))
    assert identity.role_pairs == ()


def test_a_pair_across_accounts_is_dropped() -> None:
    """SAML-29."""
    identity = _prove(
        role=[
            PAIR,
            f"arn:aws:iam::{OTHER}:role/Admin,{PROVIDER_ARN}",
            f"arn:aws:iam::{ACCOUNT}:role/X,arn:aws:iam::{OTHER}:saml-provider/Corp",
            f"arn:aws:iam::{OTHER}:role/X,arn:aws:iam::{OTHER}:saml-provider/Corp",
        ]
    )
    assert [pair.role_arn for pair in identity.role_pairs] == [ROLE_ARN]


@pytest.mark.parametrize("name", [None, ""])
def test_a_missing_session_name_has_aws_text(name: str | None) -> None:
    """SAML-30."""
    with pytest.raises(InvalidIdentityToken) as refusal:
        _prove(session_name=name)
    assert refusal.value.message == "RoleSessionName is required in AuthnResponse"


@rows("names")
def test_other_session_names_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidIdentityToken) as refusal:
        _with("RoleSessionName", *names)
    assert refusal.value.message == (
        "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"
    )


@pytest.mark.parametrize("name", ["ab", "a" * 64, "A_z0+=,.@-"])
def test_session_names_of_the_alphabet_are_accepted(name: str) -> None:
    assert _prove(session_name=name).session_name == name


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("899",),
        ("43201",),
        ("-900",),
        ("+900",),
        ("900.0",),
        ("9e2",),
        (" 900",),
        ("900\n",),
        ("٩٠٠",),
        ("one hour",),
        ("9" * 5000,),
        ("900", "900"),
    ],
)
def test_other_durations_are_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(InvalidIdentityToken):
        _with("SessionDuration", *values)


@pytest.mark.parametrize("seconds", [900, 43200])
def test_the_bounds_of_a_duration_are_accepted(seconds: int) -> None:
    assert _prove(duration=str(seconds)).session_duration_seconds == seconds


@rows("tags")
def test_tags_that_break_a_rule_are_refused(tags: dict[str, str]) -> None:
    """SAML-31."""
    with pytest.raises(InvalidIdentityToken):
        _prove(tags=tags)


def test_a_tag_has_exactly_one_value() -> None:
    for values in ((), ("a", "b"), ("a", "a")):
        with pytest.raises(InvalidIdentityToken):
            _with("PrincipalTag:Team", *values)


def test_fifty_tags_of_every_letter_are_accepted() -> None:
    tags = {f"k{n}": "Ünïcode 字 _.:/=+-@" for n in range(49)} | {"k" * 128: "v" * 256}
    assert _prove(tags=tags).tags == tags


def test_transitive_keys_must_be_tags() -> None:
    with pytest.raises(InvalidIdentityToken):
        _prove(tags={"Team": "x"}, transitive=["Cost"])
    proved = _prove(tags={"Team": "x", "Cost": "y"}, transitive=["team"])
    assert proved.transitive_keys == {"Team"}


@rows("values")
def test_other_source_identities_are_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(InvalidIdentityToken) as refusal:
        _with("SourceIdentity", *values)
    assert refusal.value.message == (
        'Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"'
    )
