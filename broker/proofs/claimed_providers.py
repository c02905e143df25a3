"""Finds the account whose provider a refused proof names, so that it can see why.

Nothing here is proved. The account of the provider or issuer that a refused proof names
gets the record of the refusal, and nothing else.
"""

from functools import partial
from xml.sax.saxutils import escape

from msgspec import Struct

from broker.errors import BrokerError
from broker.kinds.names import parse_provider_arn
from broker.model.account import AccountId
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.proofs.federated import account_of_arn
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.oidc.token import parse_token
from broker.protocols.saml.errors import MetadataRejected, SamlRejected
from broker.protocols.saml.metadata import parse_metadata
from broker.protocols.saml.verify import find_unverified_issuer
from broker.runtime.clock import Clock
from broker.runtime.offload import offload_long
from broker.stores.directory.accounts import list_saml_providers_naming
from broker.stores.directory.kinds import ACCOUNT, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.readings import FreshDirectory
from broker.stores.errors import StoreUnavailableError

_SEARCH_SECONDS = 2.0
"""Between two searches of all metadata, since unauthenticated posts trigger them."""


class ClaimedProvider(Struct, frozen=True):
    """The account that a proof claims to come through, and its provider if known."""

    account: AccountId
    provider: SamlProvider | OidcProvider | LdapProvider | None = None

    @property
    def provider_id(self) -> str:
        """The provider's unique id; empty when there is none."""
        match self.provider:
            case SamlProvider():
                return self.provider.uuid
            case OidcProvider() | LdapProvider():
                return self.provider.unique_id
        return ""


class ClaimedProviders:
    """Finds the provider; None if there is none, or the directory is unavailable."""

    def __init__(
        self, fresh: FreshDirectory, directory: DirectoryReader, clock: Clock
    ) -> None:
        self._fresh = fresh
        self._directory = directory
        self._clock = clock
        self._searched_at = float("-inf")

    async def of_saml_provider(self, provider_arn: str) -> ClaimedProvider | None:
        """The provider by the ARN in a request."""
        try:
            account = account_of_arn(provider_arn, "saml-provider/")
            name = parse_provider_arn(provider_arn, account, "saml-provider")
            provider = await self._fresh.named(SAML_PROVIDER, account, name)
            return await self._known(account, provider)
        except (BrokerError, StoreUnavailableError):
            return None

    async def of_token(self, role_arn: str, token: str) -> ClaimedProvider | None:
        """The provider by the requested role's account and the token's issuer."""
        try:
            account = account_of_arn(role_arn, "role/")
            try:
                issuer = parse_token(token).issuer
            except OidcRejected:
                issuer = ""
            provider = await self._fresh.named(
                OIDC_PROVIDER, account, issuer.partition("://")[2]
            )
            return await self._known(account, provider)
        except (BrokerError, StoreUnavailableError):
            return None

    async def of_response(self, response_text: str) -> ClaimedProvider | None:
        """The provider by issuer, for a response posted without a provider.

        Only when one account alone has registered that issuer: other accounts must not
        learn what an account's identity provider sends.
        """
        now = self._clock.monotonic()
        if now - self._searched_at < _SEARCH_SECONDS:
            return None
        try:
            issuer = find_unverified_issuer(response_text)
            if issuer is None:
                return None
            self._searched_at = now
            naming = await list_saml_providers_naming(self._directory, escape(issuer))
            providers = [
                provider
                async for provider in self._directory.with_documents(
                    SAML_PROVIDER, naming
                )
                if await offload_long(
                    len(provider.metadata), partial(_has_entity, provider, issuer)
                )
            ]
        except (SamlRejected, StoreUnavailableError):
            return None
        if not providers or any(
            provider.account != providers[0].account for provider in providers
        ):
            return None
        return ClaimedProvider(
            providers[0].account, providers[0] if len(providers) == 1 else None
        )

    async def _known(
        self, account: AccountId, provider: SamlProvider | OidcProvider | None
    ) -> ClaimedProvider | None:
        if provider is None and await self._fresh.find(ACCOUNT, account) is None:
            return None
        return ClaimedProvider(account, provider)


def _has_entity(provider: SamlProvider, entity_id: str) -> bool:
    try:
        metadata = parse_metadata(provider.metadata, now=None, legacy_rsa=True)
    except MetadataRejected:
        return False
    return metadata.find_descriptor(entity_id) is not None
