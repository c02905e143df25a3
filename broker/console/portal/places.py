"""What a start address names: an account, or an organisation of accounts.

A person signs in once. The proof is verified again with the providers that other
members have registered for the same identity provider: with their keys, their options
and for their roles only, so that no account's provider opens another one's role.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from broker.console.context import ConsoleContext
from broker.console.destinations import is_at_or_below
from broker.console.sign_in_options import SignInOptions
from broker.errors import BrokerError, ServiceUnavailable
from broker.kinds.organisations import Organisation
from broker.model.account import AccountId
from broker.model.federated import FederatedIdentity
from broker.proofs.group_roles import offered_roles
from broker.proofs.ldap.prover import LdapProof
from broker.proofs.saml_key_budget import SamlKeyBudget
from broker.protocols.saml.peek import peek_response
from broker.sessions.portal import OpenPortal

PORTAL = "/portal"
PLACE = "place"
"""The parameter that names the place, on pages that are for all of them."""

_SHARED = frozenset({"authorize", "device"})

_OIDC = ":oidc-provider/"


class PortalPlace(Struct, frozen=True):
    """A place that exists: one of the two is not None."""

    account: AccountId | None
    organisation: Organisation | None

    def is_reached_by(self, portal: OpenPortal) -> bool:
        """Whether a sign-in is one to this place."""
        if self.organisation is not None:
            return portal.organisation == self.organisation.name
        return (
            not portal.organisation
            and self.account is not None
            and portal.reaches(self.account)
        )

    def admits_users(self, account: AccountId) -> bool:
        """Whether an account's IAM users can sign in to it."""
        if self.organisation is not None:
            return self.organisation.admits_users(account)
        return account == self.account


class PortalPlaces:
    """Finds places; an organisation comes before an account with its name as alias."""

    def __init__(self, context: ConsoleContext) -> None:
        self._organisations = context.deps.organisations
        self._options = SignInOptions(context)

    async def find(self, name: str) -> PortalPlace | None:
        """The place of a name; an account's number need not exist."""
        organisation = self._organisations.find(name)
        if organisation is not None:
            return PortalPlace(None, organisation)
        number = await self._options.find_number(name)
        return None if number is None else PortalPlace(number, None)

    def organisation_of(self, destination: str) -> Organisation | None:
        """The organisation that a page of the portal belongs to."""
        return self._organisations.find(place_of(destination))


def place_of(destination: str) -> str:
    """The name of the place that a sign-in was to lead to; empty if to none."""
    if not is_at_or_below(destination, PORTAL):
        return ""
    parts = urlsplit(destination)
    name = parts.path.removeprefix(f"{PORTAL}/").partition("/")[0]
    if name in _SHARED:
        name = parse_qs(parts.query).get(PLACE, [""])[0]
    return name


class OrganisationProofs:
    """Has the members' providers verify a proof."""

    def __init__(self, context: ConsoleContext) -> None:
        self._deps = context.deps

    async def verify_response(
        self,
        organisation: Organisation,
        response: str,
        now: datetime,
        *,
        answering: frozenset[str],
        besides: Iterable[str],
        sent_to: str,
    ) -> list[FederatedIdentity]:
        """What the SAML providers prove that accept a response.

        Those of the ARNs ``besides`` are left out, having verified it already;
        ``sent_to`` is the one at whose address it arrived, or empty.

        Raises:
            ServiceUnavailable: a provider cannot be read.
        """
        budget = SamlKeyBudget(peek_response(response).issuer)
        left_out = frozenset(besides)
        identities = [
            await _accepted(
                self._deps.federated.prove_for_provider(
                    response,
                    account,
                    arn,
                    now,
                    answering,
                    key_budget=budget,
                    also_to=sent_to,
                )
            )
            for account, arn in organisation.saml_providers
            if arn not in left_out
        ]
        return [
            identity
            for identity in identities
            if identity and identity.session_name is not None
        ]

    async def verify_token(
        self, organisation: Organisation, token: str, now: datetime, *, besides: str
    ) -> list[tuple[FederatedIdentity, tuple[str, ...]]]:
        """What the OpenID Connect providers prove that accept an ID token, with roles.

        It is verified with those of the issuer of ``besides``, an ARN, which has
        verified it already.

        Raises:
            ServiceUnavailable: a provider cannot be read.
        """
        issuer = besides.partition(_OIDC)[2]
        identities = [
            await _accepted(
                self._deps.web_identity.prove(token, account=account, now=now)
            )
            for account, arn in organisation.oidc_providers
            if arn != besides and arn.partition(_OIDC)[2] == issuer
        ]
        return [
            (identity, offered_roles(identity)) for identity in identities if identity
        ]

    async def vouch_elsewhere(
        self, organisation: Organisation, first: LdapProof, now: datetime
    ) -> list[LdapProof]:
        """What the other LDAP providers of the same directory make of the person.

        The directory has just been asked for the first.

        Raises:
            StoreUnavailableError: a provider cannot be read.
        """
        ldap, own = self._deps.ldap, first.identity.provider_arn
        known = await ldap.find_by_arn(own)
        proofs = []
        for _, arn in organisation.ldap_providers:
            provider = await ldap.find_by_arn(arn)
            if (
                provider is not None
                and known is not None
                and arn != own
                and provider.directory == known.directory
            ):
                proofs.append(await ldap.vouch(provider, first.person, now))
        return proofs


async def _accepted(
    proving: Awaitable[FederatedIdentity],
) -> FederatedIdentity | None:
    """What a provider proves; None if it does not accept the proof."""
    await asyncio.sleep(0)  # Each digests the document once more.
    try:
        return await proving
    except ServiceUnavailable:
        raise
    except BrokerError:
        return None
