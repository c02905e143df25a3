"""Identity providers."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import OidcProvider, SamlProvider
from broker.stores.directory.port.accounts import EntityCounter


class SamlProviderReader(Protocol):
    """SAML providers."""

    async def find_saml_provider(
        self, account: AccountId, name: str
    ) -> SamlProvider | None: ...

    async def find_saml_provider_by_uuid(self, uuid: str) -> SamlProvider | None: ...

    async def list_saml_providers(
        self, account: AccountId
    ) -> tuple[SamlProvider, ...]: ...

    async def list_published_saml_providers(self) -> tuple[SamlProvider, ...]:
        """Of all accounts, those whose options name a ``MetadataUrl``."""
        ...

    async def list_saml_providers_naming(self, text: str) -> tuple[SamlProvider, ...]:
        """Of all accounts, some whose metadata holds this text."""
        ...


class OidcProviderFinder(Protocol):
    """Finds the provider of an issuer (given without its scheme)."""

    async def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> OidcProvider | None: ...


class OidcProviderReader(OidcProviderFinder, Protocol):
    """OpenID Connect providers."""

    async def list_oidc_providers(
        self, account: AccountId
    ) -> tuple[OidcProvider, ...]: ...


class ProviderReader(SamlProviderReader, OidcProviderReader, Protocol):
    """Providers of both kinds."""


class SamlProviderChange(SamlProviderReader, EntityCounter, Protocol):
    """Writes to SAML providers."""

    async def insert_saml_provider(self, provider: SamlProvider) -> None: ...

    async def update_saml_provider(self, provider: SamlProvider) -> None: ...

    async def delete_saml_provider(self, provider: SamlProvider) -> None:
        """Delete it, with a mark that ends what it vouched for."""
        ...


class OidcProviderChange(OidcProviderReader, EntityCounter, Protocol):
    """Writes to OpenID Connect providers."""

    async def insert_oidc_provider(self, provider: OidcProvider) -> None: ...

    async def update_oidc_provider(self, provider: OidcProvider) -> None: ...

    async def delete_oidc_provider(self, provider: OidcProvider) -> None:
        """Delete it, with a mark that ends what it vouched for."""
        ...
