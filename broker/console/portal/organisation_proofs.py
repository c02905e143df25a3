"""One proof, verified by each provider of an organisation for its own account.

A person signs in once. The proof is verified again with the providers that other
members have registered for the same identity provider: with their keys, their options
and for their roles only, so that no account's provider opens another one's role.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime

from broker.console.context import ConsoleContext
from broker.errors import BrokerError, ServiceUnavailable
from broker.kinds.organisations import Organisation
from broker.model.federated import FederatedIdentity
from broker.proofs.group_roles import offered_roles
from broker.proofs.ldap.prover import LdapProof
from broker.proofs.saml_key_budget import SamlKeyBudget
from broker.protocols.saml.peek import peek_response

_OIDC = ":oidc-provider/"


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
        found = []
        for account, arn in organisation.saml_providers:
            if arn in left_out:
                continue
            await asyncio.sleep(0)  # Each digests the document once more.
            try:
                identity = await self._deps.federated.prove_for_provider(
                    response,
                    account,
                    arn,
                    now,
                    answering,
                    key_budget=budget,
                    also_to=sent_to,
                )
            except ServiceUnavailable:
                raise
            except BrokerError:
                continue
            if identity.session_name is not None:
                found.append(identity)
        return found

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
        found = []
        for account, arn in organisation.oidc_providers:
            if arn == besides or arn.partition(_OIDC)[2] != issuer:
                continue
            await asyncio.sleep(0)
            try:
                identity = await self._deps.web_identity.prove(
                    token, account=account, now=now
                )
            except ServiceUnavailable:
                raise
            except BrokerError:
                continue
            found.append((identity, offered_roles(identity)))
        return found

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
        found = []
        for _, arn in organisation.ldap_providers:
            provider = await ldap.find_by_arn(arn)
            if (
                provider is not None
                and known is not None
                and arn != own
                and provider.directory == known.directory
            ):
                found.append(await ldap.vouch(provider, first.person, now))
        return found
