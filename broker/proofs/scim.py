"""How assertions and tokens are matched with the people of a SCIM directory.

The options say by which attribute the directory knows a proof's person. With them, a
person whom the directory calls inactive is refused although the proof is good, and the
directory's groups count instead of the proof's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from broker.errors import IdpRejectedClaim
from broker.model.entities import OidcProvider, SamlProvider
from broker.model.federated import FederatedIdentity
from broker.model.names import folds_into_ascii
from broker.model.provisioned import Membership, ProvisionedUser
from broker.proofs.option_types import VALUE_MAX
from broker.proofs.provider_options import Provider, ScimOptions
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import parse_metadata
from broker.stores.directory.readings import FreshDirectory

_EXACT = "externalId"
"""The attribute that is compared as it is."""

_EMAIL, _VERIFIED = "email", "email_verified"

NOT_ADMITTED = "SCIM: "
"""How the detail of such a refusal begins."""

_INACTIVE = "The directory of the identity provider says that you are not active."
_CHANGED = (
    "The directory of the identity provider has just changed what it says of you."
)
_NOT_THERE = "The directory of the identity provider does not know you."


def issuers_of(provider: Provider) -> tuple[str, ...]:
    """The issuers of the provider's proofs: its entity ids, its URL, or itself."""
    match provider:
        case OidcProvider():
            return (provider.url,)
        case SamlProvider():
            try:
                metadata = parse_metadata(provider.metadata, now=None, legacy_rsa=True)
            except MetadataRejected:
                return ()
            return tuple(descriptor.entity_id for descriptor in metadata.descriptors)
        case _:
            return (provider.arn,)


def value_of(options: ScimOptions | None, subject: str, said: object) -> str:
    """What a proof says of its person; empty when it says nothing definite.

    ``said`` is the claim or attribute that the options name, as the proof has it.
    """
    if options is None:
        return ""
    if not options.claim:
        return subject if len(subject) <= VALUE_MAX else ""
    values = said if isinstance(said, list | tuple) else [said]
    (value,) = values if len(values) == 1 else ("",)
    return value if isinstance(value, str) and len(value) <= VALUE_MAX else ""


def is_unverified(claim: str, claims: Mapping[str, object], *, absent: bool) -> bool:
    """Whether it is an e-mail address that the provider does not call verified.

    ``absent`` is what it counts as if the provider says nothing of it.

    Source: OpenID Connect Core 1.0, 5.1.
    """
    if claim != _EMAIL:
        return False
    if _VERIFIED not in claims:
        return absent
    said = claims[_VERIFIED]
    values = said if isinstance(said, list | tuple) else [said]
    return any(value is not True and value != "true" for value in values)


class NotAdmitted(IdpRejectedClaim):
    """A valid proof of somebody whom the provider's directory refuses.

    ``why`` is for the record, after `NOT_ADMITTED`.
    """

    def __init__(self, message: str, why: str, *, advice: str = "") -> None:
        super().__init__(message, detail=f"{NOT_ADMITTED}{why}", advice=advice)


async def admit_person(
    people: FreshDirectory,
    identity: FederatedIdentity,
    options: ScimOptions,
    now: datetime,
) -> FederatedIdentity:
    """The identity, with what the provider's directory knows of the person.

    Raises:
        NotAdmitted: the directory says that they may not.
        StoreUnavailableError: the directory of the broker is away.
    """
    value = identity.directory_value
    if options.subject != _EXACT and folds_into_ascii(value):
        raise NotAdmitted(
            _NOT_THERE,
            f"{options.subject} {value!r:.200} has a character that is compared as an"
            " ASCII letter: it may be another person's",
        )
    known: Sequence[ProvisionedUser] = ()
    memberships: Sequence[Membership] = ()
    if value:
        known, memberships = await people.provisioned_person(
            identity.account, identity.provider_id, options.subject, value
        )
    living = [user for user in known if user.departed_at is None]
    if not living:
        return _unknown(identity, options, has_left=bool(known))
    if len(living) > 1:
        raise NotAdmitted(
            _NOT_THERE,
            f"{options.subject} {value!r:.200} is that of several people in the"
            " directory",
        )
    (person,) = living
    if not person.active:
        raise NotAdmitted(_INACTIVE, f"{person.user_id} is inactive in the directory")
    _require_settled(person, now)
    groups = identity.groups
    if options.gives_groups:
        by_id = options.groups == "externalId"
        names = (
            membership.group_external_id if by_id else membership.group_name
            for membership in memberships
        )
        groups = tuple(filter(None, names))
    return replace(identity, person=person.user_id, groups=groups)


def _unknown(
    identity: FederatedIdentity, options: ScimOptions, *, has_left: bool
) -> FederatedIdentity:
    """What happens to people who are not, or no longer, in the directory."""
    what = f"{options.subject} {identity.directory_value!r:.200}"
    if has_left:
        raise NotAdmitted(_INACTIVE, f"{what} was deleted from the directory")
    if not options.allows_unknown:
        raise NotAdmitted(
            _NOT_THERE,
            f"{what} is unknown to the directory",
            advice="Ask for your account to be provisioned, then try again.",
        )
    return replace(identity, groups=()) if options.gives_groups else identity


def _require_settled(person: ProvisionedUser, now: datetime) -> None:
    """Refuse a person for as long as workers still learn of their last change."""
    if person.not_before is not None and now <= person.not_before:
        raise NotAdmitted(
            _CHANGED,
            f"{person.user_id} was inactive, in other groups or had another name until a"
            " moment ago",
            advice="Try again in a few seconds.",
        )
