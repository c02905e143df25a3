"""The ``saml:`` condition keys of a verified assertion.

Source: IAM User Guide, "Available keys for SAML-based AWS STS federation".
"""

import base64
from collections.abc import Mapping
from hashlib import sha1
from types import MappingProxyType
from typing import Final

from broker.model.entities import SamlProvider
from broker.protocols.saml.verify import VerifiedAssertion

_FORMAT_PREFIX = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
_SHORT_FORMATS = frozenset({"persistent", "transient"})

SESSION_KEYS: Final = ("saml:namequalifier", "saml:sub", "saml:sub_type")
"""The keys that the session keeps."""

_EDU_PERSON = (
    "edupersonaffiliation",
    "edupersonnickname",
    "edupersonorgdn",
    "edupersonorgunitdn",
    "edupersonprimaryaffiliation",
    "edupersonprincipalname",
    "edupersonentitlement",
    "edupersonprimaryorgunitdn",
    "edupersonscopedaffiliation",
    "edupersontargetedid",
    "edupersonassurance",
)
_EDU_ORG = (
    "eduorghomepageuri",
    "eduorgidentityauthnpolicyuri",
    "eduorglegalname",
    "eduorgsuperioruri",
    "eduorgwhitepagesuri",
)
_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"

ATTRIBUTE_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{
            f"urn:oid:1.3.6.1.4.1.5923.1.1.1.{number}": f"saml:{name}"
            for number, name in enumerate(_EDU_PERSON, start=1)
        },
        **{
            f"urn:oid:1.3.6.1.4.1.5923.1.2.1.{number}": f"saml:{name}"
            for number, name in enumerate(_EDU_ORG, start=2)
        },
        "urn:oid:2.5.4.3": "saml:cn",
        _CLAIMS + "name": "saml:name",
        "http://schemas.xmlsoap.org/claims/CommonName": "saml:commonname",
        _CLAIMS + "givenname": "saml:givenname",
        _CLAIMS + "surname": "saml:surname",
        _CLAIMS + "emailaddress": "saml:mail",
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid": "saml:uid",
        "2.5.4.3": "saml:commonname",
        "2.5.4.4": "saml:surname",
        # As the guide spells it, and as the standard does.
        "2.4.5.42": "saml:givenname",
        "2.5.4.42": "saml:givenname",
        "2.5.4.45": "saml:x500uniqueidentifier",
        "0.9.2342.19200300100.1.1": "saml:uid",
        "0.9.2342.19200300.100.1.1": "saml:uid",
        "0.9.2342.19200300100.1.3": "saml:mail",
        "0.9.2342.19200300.100.1.3": "saml:mail",
        "0.9.2342.19200300.100.1.45": "saml:organizationstatus",
    }
)
"""Attribute names, and the condition keys that they set."""

SINGLE_VALUED: Final = frozenset(
    {
        "saml:edupersonorgdn",
        "saml:edupersonprimaryaffiliation",
        "saml:edupersonprimaryorgunitdn",
        "saml:edupersonprincipalname",
        "saml:edupersonscopedaffiliation",
    }
)


def subject_type(name_format: str) -> str:
    """``SubjectType`` of the answer: a 2.0 format's last part, others whole."""
    return name_format.removeprefix(_FORMAT_PREFIX)


def name_qualifier(issuer: str, provider: SamlProvider) -> str:
    """``NameQualifier``: base64 of SHA-1 over issuer, account, slash and name.

    Source: STS model, ``AssumeRoleWithSAMLResponse``.
    """
    identified = f"{issuer}{provider.account}/{provider.name}"
    digest = sha1(identified.encode("utf-8"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def saml_context(
    assertion: VerifiedAssertion, provider: SamlProvider
) -> dict[str, tuple[str, ...]]:
    """Every ``saml:`` key, lower-case names.

    When several attributes map to one key, the first in the assertion counts. A
    single-valued key takes the attribute's first value.
    """
    short = subject_type(assertion.subject_format)
    context: dict[str, tuple[str, ...]] = {
        "saml:aud": (assertion.recipient,),
        "saml:iss": (assertion.issuer,),
        "saml:sub": (assertion.subject,),
        "saml:sub_type": (
            short if short in _SHORT_FORMATS else assertion.subject_format,
        ),
        "saml:namequalifier": (name_qualifier(assertion.issuer, provider),),
        "saml:doc": (f"{provider.account}/{provider.name}",),
    }
    for name, values in assertion.attributes.items():
        key = ATTRIBUTE_KEYS.get(name)
        if key is None or key in context or not values:
            continue
        context[key] = values[:1] if key in SINGLE_VALUED else values
    return context
