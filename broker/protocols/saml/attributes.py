"""Attributes of an assertion, and the grammar of the role pairs among them."""

import re
from collections.abc import Mapping
from typing import Final

from lxml.etree import _Element

from broker.model.federated import RolePair
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import children_named, text_of
from broker.protocols.saml.names import ATTRIBUTE, ATTRIBUTE_STATEMENT, ATTRIBUTE_VALUE

AWS_ATTRIBUTE_PREFIX: Final = "https://aws.amazon.com/SAML/Attributes/"
ROLE: Final = AWS_ATTRIBUTE_PREFIX + "Role"
ROLE_SESSION_NAME: Final = AWS_ATTRIBUTE_PREFIX + "RoleSessionName"
SESSION_DURATION: Final = AWS_ATTRIBUTE_PREFIX + "SessionDuration"
SOURCE_IDENTITY: Final = AWS_ATTRIBUTE_PREFIX + "SourceIdentity"
TRANSITIVE_TAG_KEYS: Final = AWS_ATTRIBUTE_PREFIX + "TransitiveTagKeys"
PRINCIPAL_TAG: Final = AWS_ATTRIBUTE_PREFIX + "PrincipalTag:"

# Printable ASCII but comma and wildcards for the path, the name as IAM has it but
# the comma, which divides the pair.
_ROLE_ARN = re.compile(
    r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/(?:[!-)+.-~-]{1,510}/)?"
    r"[A-Za-z0-9_+=.@-]{1,64}",
    re.ASCII,
)
_PROVIDER_ARN = re.compile(
    r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:saml-provider/[A-Za-z0-9._-]{1,128}", re.ASCII
)
_PAIR_PARTS = 2


def read_attributes(assertion: _Element) -> Mapping[str, tuple[str, ...]]:
    """Every attribute's values by ``Name``, whole texts in document order.

    An attribute that comes twice has the values of both. FriendlyName and NameFormat
    say nothing.

    Raises:
        SamlRejected: ATTRIBUTES, for encrypted attributes or one without a name.
    """
    values: dict[str, tuple[str, ...]] = {}
    for statement in children_named(assertion, ATTRIBUTE_STATEMENT):
        for attribute in statement.iterchildren("*"):
            name = attribute.get("Name")
            if attribute.tag != ATTRIBUTE or not name:
                raise SamlRejected(
                    SamlReason.ATTRIBUTES, "an encrypted or nameless attribute"
                )
            texts = map(text_of, attribute.iterchildren(ATTRIBUTE_VALUE))
            values[name] = (*values.get(name, ()), *texts)
    return values


def parse_role_pair(text: str) -> RolePair:
    """One value of the Role attribute: role and provider ARN, in either order.

    Raises:
        ValueError: not exactly one comma, not exactly one role and one provider, any
            white space or wildcard.

    Source: IAM User Guide, id_roles_providers_create_saml_assertions.
    """
    parts = text.split(",")
    if len(parts) == _PAIR_PARTS:
        first, second = parts
        if _ROLE_ARN.fullmatch(first) and _PROVIDER_ARN.fullmatch(second):
            return RolePair(first, second)
        if _ROLE_ARN.fullmatch(second) and _PROVIDER_ARN.fullmatch(first):
            return RolePair(second, first)
    raise ValueError(f"{text[:300]!r} is not a role ARN and a provider ARN")
