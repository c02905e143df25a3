"""Verifies a SAML response and translates it into AWS's terms and error messages.

The protocol's own checks are `broker.protocols.saml`; the role's trust policy decides
whether it may be assumed, and the ledger whether the assertion was used before.
"""

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from broker.errors import (
    BrokerError,
    ExpiredFederationToken,
    IdpRejectedClaim,
    InvalidIdentityToken,
)
from broker.model.arn import Arn
from broker.model.entities import EncryptionMode, SamlProvider
from broker.model.federated import FederatedIdentity, RolePair
from broker.model.principal import Principal, PrincipalType
from broker.proofs.group_roles import GroupRoles, read_groups
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.saml_claims import read_claims
from broker.proofs.saml_context import SESSION_KEYS, saml_context, subject_type
from broker.proofs.scim import is_unverified, value_of
from broker.proofs.session_name import session_name
from broker.protocols.saml.attributes import ROLE
from broker.protocols.saml.conditions import AssertionExpectations
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.keys import DecryptionKey
from broker.protocols.saml.metadata import IdpMetadata
from broker.protocols.saml.verify import VerifiedAssertion, verify_response

UNPARSABLE: Final = "Invalid base64 SAMLResponse"
UNSIGNED: Final = "Response (with optional signature) must contain an assertion with a mandatory signature"
SIGNATURE_INVALID: Final = "Response signature invalid"
EXPIRED: Final = "Response has expired"
ISSUER_UNKNOWN: Final = (
    "Failed to assume role: Issuer not present in specified provider "
    "(service: AWSOpenIdDiscoveryService; status code: 400; "
    "error code: AuthSamlInvalidSamlResponseException)"
)
AUDIENCE_WRONG: Final = "Response does not contain the required audience."
ROLE_NOT_LISTED: Final = (
    "SAML Assertion doesn't contain the requested Role and Metadata in the attributes"
)

_TAILED = frozenset({UNPARSABLE, UNSIGNED, SIGNATURE_INVALID})

WIRE_ERRORS: Final[dict[SamlReason, tuple[type[BrokerError], str]]] = {
    SamlReason.TOO_LARGE: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.NOT_BASE64: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.NOT_UTF8: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.DOCTYPE: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.MALFORMED_XML: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.TOO_COMPLEX: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.NAMESPACE: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.SPLIT_TEXT: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.IDS: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.NOT_A_RESPONSE: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.STATUS_NOT_SUCCESS: (
        IdpRejectedClaim,
        "The identity provider reported that authentication failed",
    ),
    SamlReason.ASSERTION_COUNT: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.ENCRYPTION_REQUIRED: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.METADATA_UNUSABLE: (InvalidIdentityToken, ISSUER_UNKNOWN),
    SamlReason.METADATA_EXPIRED: (InvalidIdentityToken, ISSUER_UNKNOWN),
    SamlReason.ISSUER_UNKNOWN: (InvalidIdentityToken, ISSUER_UNKNOWN),
    SamlReason.UNSIGNED: (InvalidIdentityToken, UNSIGNED),
    SamlReason.SIGNATURE_STRUCTURE: (InvalidIdentityToken, SIGNATURE_INVALID),
    SamlReason.ALGORITHM_NOT_ALLOWED: (InvalidIdentityToken, SIGNATURE_INVALID),
    SamlReason.SIGNATURE_INVALID: (InvalidIdentityToken, SIGNATURE_INVALID),
    SamlReason.DECRYPTION_FAILED: (InvalidIdentityToken, SIGNATURE_INVALID),
    SamlReason.STRUCTURE: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.ISSUER_MISMATCH: (InvalidIdentityToken, ISSUER_UNKNOWN),
    SamlReason.DESTINATION_WRONG: (
        InvalidIdentityToken,
        "Response does not contain the required destination.",
    ),
    SamlReason.IN_RESPONSE_TO: (
        InvalidIdentityToken,
        "Response answers a request that is not open.",
    ),
    SamlReason.SUBJECT: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.CONFIRMATION: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.RECIPIENT_WRONG: (
        InvalidIdentityToken,
        "Response does not contain the required recipient.",
    ),
    SamlReason.AUDIENCE_WRONG: (InvalidIdentityToken, AUDIENCE_WRONG),
    SamlReason.CONDITION_UNKNOWN: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.TIMESTAMP: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.NOT_YET_VALID: (InvalidIdentityToken, "Response is not yet valid"),
    SamlReason.EXPIRED: (ExpiredFederationToken, EXPIRED),
    SamlReason.ISSUED_TOO_LONG_AGO: (ExpiredFederationToken, EXPIRED),
    SamlReason.LIFETIME_TOO_LONG: (
        InvalidIdentityToken,
        "Response is valid for too long",
    ),
    SamlReason.AUTHN_STATEMENT: (InvalidIdentityToken, UNPARSABLE),
    SamlReason.ATTRIBUTES: (InvalidIdentityToken, UNPARSABLE),
}
"""Every reason's wire form; the reason itself goes to the audit record only."""


EXCHANGED_TWICE_WITHIN = timedelta(minutes=1)
"""From an assertion's issue, if its provider has ``ExchangeTwice``."""


def prove_saml(
    response_text: str,
    *,
    provider: SamlProvider,
    options: ProviderOptions,
    metadata: IdpMetadata,
    audiences: AbstractSet[str],
    recipients: AbstractSet[str],
    now: datetime,
    skew: timedelta,
    decryption_keys: Sequence[DecryptionKey] = (),
    in_response_to: AbstractSet[str] = frozenset(),
    request_id: str = "",
) -> FederatedIdentity:
    """Verify a SAMLResponse parameter for ``provider``; returns the identity it proves.

    ``options`` and ``metadata`` are the provider's, parsed; ``audiences`` and
    ``recipients`` are the installation's, to which those of the options are added.
    ``decryption_keys`` are the provider's, newest first; ``in_response_to`` as in
    `AssertionExpectations`; ``request_id`` appears in the refusals in which AWS has it.
    The pairs of the result are this provider's with roles of its own account and may be
    none.

    Raises:
        InvalidIdentityToken, ExpiredFederationToken, IdpRejectedClaim: the proof is
            refused; ``detail`` says why.
    """
    expected = AssertionExpectations(
        audiences=audiences | options.audiences,
        recipients=recipients | options.recipients,
        now=now,
        skew=skew,
        decryption_keys=tuple(decryption_keys),
        encryption_required=provider.encryption_mode is EncryptionMode.REQUIRED,
        in_response_to=in_response_to,
        options=options.saml,
    )
    try:
        assertion = verify_response(response_text, idp=metadata, expected=expected)
    except SamlRejected as error:
        raise wire_error(error, request_id=request_id) from error
    table = options.group_roles
    groups = read_groups(table, assertion.attributes)
    is_provisioned = options.scim is not None and options.scim.gives_groups
    # A subject in none of the mapped groups lacks a role, not a session name.
    is_by_group = table and (
        is_provisioned
        or ROLE not in assertion.attributes
        or table.roles_of(groups, provider.account)
    )
    claims = read_claims(
        assertion.attributes,
        fallback_name=(
            session_name(
                assertion.subject, issuer=assertion.issuer, subject=assertion.subject
            )
            if is_by_group
            else None
        ),
        skips_others=options.profile == "aws",
    )
    context = saml_context(assertion, provider)
    provider_arn = provider.arn
    return FederatedIdentity(
        principal=Principal.from_provider(
            PrincipalType.SAML,
            provider.account,
            provider=provider_arn,
            subject=assertion.subject,
        ),
        account=provider.account,
        provider_arn=provider_arn,
        provider_id=provider.uuid,
        issuer=assertion.issuer,
        subject=assertion.subject,
        subject_type=subject_type(assertion.subject_format),
        name_qualifier=context["saml:namequalifier"][0],
        audience=assertion.recipient,
        session_name=claims.session_name,
        role_pairs=tuple(
            pair
            for pair in claims.role_pairs
            if pair.provider_arn == provider_arn
            and Arn.parse(pair.role_arn).account == provider.account
        ),
        tags=claims.tags,
        transitive_keys=claims.transitive_keys,
        source_identity=claims.source_identity,
        session_duration_seconds=claims.session_duration_seconds,
        session_ends_at=assertion.session_not_on_or_after,
        provider_session=provider_session(
            assertion.subject, assertion.session_index or ""
        ),
        issued_at=assertion.issue_instant,
        context=context,
        session_context={key: context[key] for key in SESSION_KEYS},
        # Not of this provider alone: others may trust the same key, in any account.
        replay_id=(
            assertion.issuer,
            assertion.signing_key.fingerprint,
            assertion.assertion_id,
        ),
        usable_until=assertion.latest_not_on_or_after + 2 * skew,
        once_per_door=options.mint_per_door,
        second_use_until=(
            assertion.issue_instant + EXCHANGED_TWICE_WITHIN + skew
            if options.exchange_twice
            else None
        ),
        directory_value=_directory_value(assertion, options),
        groups=groups,
    )


def provider_session(name_id: str, session_index: str) -> str:
    """What a provider's session is known by; empty if the provider does not name it.

    NameID and index, since several users may share an index.

    Source: SAML 2.0 Core 2.7.2, which recommends small, reused indexes.
    """
    return json.dumps([name_id, session_index]) if session_index else ""


def _directory_value(assertion: VerifiedAssertion, options: ProviderOptions) -> str:
    scim, attributes = options.scim, assertion.attributes
    # SAML's providers seldom say it of an address, and assert it then.
    if scim is None or is_unverified(scim.claim, attributes, absent=False):
        return ""
    return value_of(scim, assertion.subject, attributes.get(scim.claim, ()))


def with_group_pairs(
    identity: FederatedIdentity, table: GroupRoles | None
) -> FederatedIdentity:
    """The same with the pairs that the person's groups give, and none of other groups."""
    if table is None:
        return identity
    mapped = table.apply(identity)
    generator = (RolePair(arn, identity.provider_arn) for arn in mapped.group_roles)
    pairs = (
        pair
        for pair in dict.fromkeys((*identity.role_pairs, *generator))
        if pair.role_arn not in mapped.closed_roles
    )
    return replace(mapped, role_pairs=tuple(pairs))


def require_role_pair(
    identity: FederatedIdentity, *, role_arn: str, provider_arn: str
) -> None:
    """Refuse a role that the assertion does not list together with the provider.

    Raises:
        InvalidIdentityToken: with AWS's text.
    """
    if not any(
        pair.role_arn == role_arn and pair.provider_arn == provider_arn
        for pair in identity.role_pairs
    ):
        raise InvalidIdentityToken(
            ROLE_NOT_LISTED,
            detail=f"the assertion does not list {role_arn} with {provider_arn}",
        )


def wire_error(error: SamlRejected, *, request_id: str = "") -> BrokerError:
    """The error that the client gets; the same for every cryptographic failure."""
    class_, message = WIRE_ERRORS[error.reason]
    if request_id and message in _TAILED:
        message = (
            f"{message} (Service: AWSOpenIdDiscoveryService; Status Code: 400; "
            "Error Code: AuthSamlInvalidSamlResponseException; "
            f"Request ID: {request_id}; Proxy: null)"
        )
    return class_(message, detail=str(error))
