"""The grammar of role pairs."""

import pytest
from lxml import etree

from broker.model.federated import RolePair
from broker.protocols.saml.attributes import parse_role_pair, read_attributes
from broker.protocols.saml.errors import SamlReason, SamlRejected
from tests.support.rows import rows
from tests.support.saml_idp import assertion_xml

PROVIDER = "arn:aws:iam::111122223333:saml-provider/Corp_1.x-y"


@rows("role")
def test_both_orders_give_the_same_pair(role: str) -> None:
    expected = RolePair(role, PROVIDER)
    assert parse_role_pair(f"{role},{PROVIDER}") == expected
    assert parse_role_pair(f"{PROVIDER},{role}") == expected


def test_a_long_hostile_value_is_refused_quickly() -> None:
    hostile = "arn:aws:iam::111122223333:role/" + "/" * 60_000
    with pytest.raises(ValueError, match="is not a role ARN"):
        parse_role_pair(f"{hostile},{PROVIDER}")


def test_only_attributes_are_attributes() -> None:
    odd = '<saml:EncryptedAttribute Name="x"/>'
    with pytest.raises(SamlRejected) as refusal:
        read_attributes(etree.fromstring(assertion_xml(attribute_xml=odd)))
    assert refusal.value.reason is SamlReason.ATTRIBUTES
