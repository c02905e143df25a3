"""The condition keys a request can carry: name, type, and where each comes from.

This table is data: it documents itself, fills ``GetContextKeysFor…`` answers with
types and lets ``broker explain`` say where a missing key would have come from. Code
that builds a request's context follows it. A missing key is absent, not empty.

Source: IAM User Guide, "Global condition context keys" and "IAM and STS condition
context keys".
"""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

from broker.policy.conditions.values import (
    describe_boolean_fault,
    find_instant,
    find_number,
)

_LASTING = "the call with the assertion, and its session"
_SAML_LASTING = ("sub", "sub_type", "namequalifier")
_SAML_SINGLE = (
    "aud",
    "iss",
    "doc",
    "edupersonorgdn",
    "edupersonprimaryaffiliation",
    "edupersonprimaryorgunitdn",
    "edupersonprincipalname",
    "edupersonscopedaffiliation",
)
_SAML_MANY = (
    "cn",
    "commonName",
    "givenName",
    "surname",
    "name",
    "mail",
    "uid",
    "organizationStatus",
    "primaryGroupSID",
    "x500UniqueIdentifier",
    "edupersonaffiliation",
    "edupersonassurance",
    "edupersonentitlement",
    "edupersonnickname",
    "edupersonorgunitdn",
    "edupersontargetedid",
    "eduorghomepageuri",
    "eduorgidentityauthnpolicyuri",
    "eduorglegalname",
    "eduorgsuperioruri",
    "eduorgwhitepagesuri",
)
_AT_ONCE = "only the call with the assertion"
_TOKEN_LASTING = "the call with the token, and its session"  # noqa: S105  # words
_TOKEN_ONCE = "only the call with the token"  # noqa: S105  # words
_DIRECTORY_LASTING = "the sign-in with a directory password, and its session"
_DIRECTORY_ONCE = "only the sign-in with a directory password"
_ARN_COLONS = 5


class KeyType(StrEnum):
    """The type of a key's values; conditions compare by it."""

    STRING = "string"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    BINARY = "binary"
    IP = "ip"
    ARN = "arn"

    @property
    def entry_type(self) -> str:
        """The value of ``ContextKeyType``, which knows no ARNs."""
        return "string" if self is KeyType.ARN else self.value


class KeySource(StrEnum):
    """Where a key's value comes from."""

    PRINCIPAL = "the calling principal"
    SESSION = "the session of temporary credentials"
    NETWORK = "the HTTP request, or a trusted proxy's headers"
    CLOCK = "the time of the call"
    PARAMETER = "a parameter of the call"
    RESOURCE = "the resource acted on"
    PROOF = "the verified SAML assertion or web identity token, or the directory"


class ContextKey(Struct, frozen=True):
    """One key.

    ``name`` is written as AWS writes it; a trailing ``*`` stands for any tag key.
    ``when`` says which calls carry it. ``multivalued`` keys want ``ForAnyValue`` or
    ``ForAllValues``.
    """

    name: str
    type: KeyType
    source: KeySource
    when: str
    multivalued: bool = False


_S, _N, _B, _D, _IP, _A = (
    KeyType.STRING,
    KeyType.NUMERIC,
    KeyType.BOOLEAN,
    KeyType.DATE,
    KeyType.IP,
    KeyType.ARN,
)
_PRINCIPAL, _SESSION, _NET, _CLOCK, _CALL, _OBJECT, _PROOF = KeySource

_GLOBAL = (
    ContextKey(
        "aws:PrincipalArn", _A, _PRINCIPAL, "signed calls; a session has its role's"
    ),
    ContextKey(
        "aws:PrincipalAccount", _S, _PRINCIPAL, "every call except anonymous ones"
    ),
    ContextKey("aws:PrincipalType", _S, _PRINCIPAL, "every call"),
    ContextKey(
        "aws:PrincipalTag/*", _S, _PRINCIPAL, "the entity or session has the tag"
    ),
    ContextKey("aws:PrincipalIsAWSService", _B, _PRINCIPAL, "signed calls"),
    ContextKey("aws:PrincipalServiceName", _S, _PRINCIPAL, "calls by a service"),
    ContextKey("aws:SourceArn", _A, _PRINCIPAL, "calls by a service, for a resource"),
    ContextKey(
        "aws:SourceAccount", _S, _PRINCIPAL, "calls by a service, for a resource"
    ),
    ContextKey("aws:userid", _S, _PRINCIPAL, "every call except anonymous ones"),
    ContextKey("aws:username", _S, _PRINCIPAL, "calls of an IAM user"),
    ContextKey("aws:TokenIssueTime", _D, _SESSION, "temporary credentials"),
    ContextKey("aws:MultiFactorAuthPresent", _B, _SESSION, "temporary credentials"),
    ContextKey("aws:MultiFactorAuthAge", _N, _SESSION, "the session proved MFA"),
    ContextKey("aws:FederatedProvider", _S, _SESSION, "SAML and web identity sessions"),
    ContextKey("aws:SourceIdentity", _S, _SESSION, "the session has a source identity"),
    ContextKey("aws:AssumedRoot", _B, _SESSION, "sessions of AssumeRoot"),
    ContextKey("aws:SourceIp", _IP, _NET, "every call"),
    ContextKey("aws:SecureTransport", _B, _NET, "every call"),
    ContextKey("aws:UserAgent", _S, _NET, "the header is sent"),
    ContextKey("aws:Referer", _S, _NET, "the header is sent"),
    ContextKey("aws:RequestedRegion", _S, _NET, "every call"),
    ContextKey("aws:ViaAWSService", _B, _NET, "every call; always false here"),
    ContextKey("aws:CalledVia", _S, _NET, "calls by a service", multivalued=True),
    ContextKey("aws:CurrentTime", _D, _CLOCK, "every call"),
    ContextKey("aws:EpochTime", _N, _CLOCK, "every call"),
    ContextKey("aws:RequestTag/*", _S, _CALL, "the call passes the tag"),
    ContextKey("aws:TagKeys", _S, _CALL, "the call passes tags", multivalued=True),
    ContextKey("aws:ResourceTag/*", _S, _OBJECT, "the resource has the tag"),
    ContextKey("aws:ResourceAccount", _S, _OBJECT, "the resource has an owner"),
)

_EC2 = (
    ContextKey("ec2:SourceInstanceARN", _A, _SESSION, "sessions of instances"),
    ContextKey("ec2:RoleDelivery", _S, _SESSION, "sessions of instances: 1.0 or 2.0"),
)

_STS = (
    ContextKey("sts:ExternalId", _S, _CALL, "AssumeRole with ExternalId"),
    ContextKey("sts:RoleSessionName", _S, _CALL, "AssumeRole… calls"),
    ContextKey("sts:SourceIdentity", _S, _CALL, "the call sets a source identity"),
    ContextKey(
        "sts:TransitiveTagKeys", _S, _CALL, "tags are transitive", multivalued=True
    ),
    ContextKey("sts:DurationSeconds", _N, _CALL, "the call requests a duration"),
    ContextKey("sts:AWSServiceName", _S, _CALL, "GetServiceBearerToken"),
    ContextKey("sts:TaskPolicyArn", _A, _CALL, "AssumeRoot"),
    ContextKey("sts:RequestContext/*", _S, _CALL, "AssumeRole with ProvidedContexts"),
    ContextKey(
        "sts:RequestContextProviders",
        _A,
        _CALL,
        "AssumeRole with ProvidedContexts",
        multivalued=True,
    ),
    ContextKey(
        "sts:RoleAuthorizedByIdp",
        _B,
        _PROOF,
        "AssumeRoleWithWebIdentity; true when the token's roles claim names the role",
    ),
    ContextKey(
        "sts:IdentityTokenAudience", _S, _CALL, "GetWebIdentityToken", multivalued=True
    ),
    ContextKey("sts:SigningAlgorithm", _S, _CALL, "GetWebIdentityToken"),
    ContextKey("sts:SubjectMode", _S, _CALL, "GetWebIdentityToken"),
)

_IAM = (
    ContextKey("iam:PolicyARN", _A, _CALL, "calls that attach or detach a policy"),
    ContextKey("iam:PermissionsBoundary", _A, _CALL, "a boundary is set or exists"),
    ContextKey("iam:PassedToService", _S, _CALL, "iam:PassRole"),
    ContextKey("iam:AssociatedResourceArn", _A, _CALL, "iam:PassRole"),
    ContextKey("iam:AWSServiceName", _S, _CALL, "CreateServiceLinkedRole"),
    ContextKey("iam:ResourceTag/*", _S, _OBJECT, "the entity has the tag"),
    ContextKey("iam:OrganizationsPolicyId", _S, _CALL, "access reports"),
    ContextKey("iam:ServiceSpecificCredentialServiceName", _S, _CALL, "its calls"),
    ContextKey("iam:ServiceSpecificCredentialAgeDays", _N, _CALL, "its creation"),
    ContextKey("iam:RegisterSecurityKey", _S, _CALL, "EnableMFADevice of a FIDO key"),
    ContextKey("iam:FIDO-certification", _S, _CALL, "EnableMFADevice of a FIDO key"),
    ContextKey(
        "iam:FIDO-FIPS-140-2-certification", _S, _CALL, "EnableMFADevice of a FIDO key"
    ),
    ContextKey(
        "iam:FIDO-FIPS-140-3-certification", _S, _CALL, "EnableMFADevice of a FIDO key"
    ),
    ContextKey("iam:DelegationDuration", _S, _CALL, "CreateDelegationRequest"),
    ContextKey("iam:NotificationChannel", _S, _CALL, "CreateDelegationRequest"),
    ContextKey("iam:TemplateArn", _A, _CALL, "CreateDelegationRequest"),
    ContextKey("iam:DelegationRequestOwner", _A, _OBJECT, "delegation requests"),
)

_SIGNIN = (
    ContextKey(
        "signin:PrincipalArn", _A, _OBJECT, "sessions; whose they are, without a path"
    ),
)

_SAML = (
    *(ContextKey(f"saml:{n}", _S, _PROOF, _LASTING) for n in _SAML_LASTING),
    *(ContextKey(f"saml:{n}", _S, _PROOF, _AT_ONCE) for n in _SAML_SINGLE),
    *(
        ContextKey(f"saml:{n}", _S, _PROOF, _AT_ONCE, multivalued=True)
        for n in _SAML_MANY
    ),
)

CONTEXT_KEYS: Mapping[str, ContextKey] = MappingProxyType(
    {key.name.lower(): key for key in (*_GLOBAL, *_EC2, *_STS, *_IAM, *_SIGNIN, *_SAML)}
)
"""All keys of fixed name or prefix, by lower-case name."""

ISSUER_CLAIMS: Mapping[str, ContextKey] = MappingProxyType(
    {
        "aud": ContextKey("{issuer}:aud", _S, _PROOF, _TOKEN_LASTING),
        "sub": ContextKey("{issuer}:sub", _S, _PROOF, _TOKEN_LASTING),
        "amr": ContextKey("{issuer}:amr", _S, _PROOF, _TOKEN_LASTING, multivalued=True),
        "email": ContextKey("{issuer}:email", _S, _PROOF, _TOKEN_ONCE),
        "oaud": ContextKey("{issuer}:oaud", _S, _PROOF, _TOKEN_ONCE, multivalued=True),
        "app_id": ContextKey("{issuer}:app_id", _S, _PROOF, _TOKEN_LASTING),
        "user_id": ContextKey("{issuer}:user_id", _S, _PROOF, _TOKEN_LASTING),
        "id": ContextKey("{issuer}:id", _S, _PROOF, _TOKEN_LASTING),
    }
)
"""The keys of a web identity token; the issuer is host and path of the provider."""

DIRECTORY_KEYS: Mapping[str, ContextKey] = MappingProxyType(
    {
        "sub": ContextKey("{provider}:sub", _S, _PROOF, _DIRECTORY_LASTING),
        "username": ContextKey("{provider}:username", _S, _PROOF, _DIRECTORY_LASTING),
        "groups": ContextKey(
            "{provider}:groups", _S, _PROOF, _DIRECTORY_ONCE, multivalued=True
        ),
    }
)
"""The keys of a person of a directory; the prefix is the LDAP provider's name."""


DECLARED_TYPES: Mapping[str, KeyType] = {
    "ARN": KeyType.ARN,
    "Binary": KeyType.BINARY,
    "Bool": KeyType.BOOLEAN,
    "Date": KeyType.DATE,
    "IPAddress": KeyType.IP,
    "Numeric": KeyType.NUMERIC,
    "String": KeyType.STRING,
}
"""By their names in the Service Authorization Reference, and in services' definitions."""


def has_type(value: str, kind: KeyType) -> bool:
    """Whether conditions of the key's type can compare the value.

    One that they cannot compare would evade a Deny.
    """
    return _TESTS[kind](value)


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return False
    return True


_TESTS: Mapping[KeyType, Callable[[str], bool]] = {
    KeyType.ARN: lambda value: (
        value.startswith("arn:") and value.count(":") >= _ARN_COLONS
    ),
    KeyType.BINARY: _is_base64,
    KeyType.BOOLEAN: lambda value: describe_boolean_fault(value) is None,
    KeyType.DATE: lambda value: find_instant(value) is not None,
    KeyType.IP: _is_address,
    KeyType.NUMERIC: lambda value: find_number(value) is not None,
    KeyType.STRING: lambda _value: True,
}
