"""Identity providers."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.stores.directory.port.entities import EntityReader


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


class LdapProviderReader(Protocol):
    """LDAP providers."""

    async def find_ldap_provider(
        self, account: AccountId, name: str
    ) -> LdapProvider | None: ...

    async def list_ldap_providers(
        self, account: AccountId
    ) -> tuple[LdapProvider, ...]: ...


class ProviderReader(
    SamlProviderReader, OidcProviderReader, LdapProviderReader, Protocol
):
    """Providers of all kinds."""


class SamlProviderChange(SamlProviderReader, EntityReader, Protocol):
    """Writes to SAML providers."""

    async def insert_saml_provider(self, provider: SamlProvider) -> None: ...

    async def update_saml_provider(self, provider: SamlProvider) -> None: ...

    async def delete_saml_provider(self, provider: SamlProvider) -> None:
        """Delete it, with a mark that ends all it authenticated."""
        ...


class OidcProviderChange(
    OidcProviderReader, LdapProviderReader, EntityReader, Protocol
):
    """Writes to OpenID Connect providers."""

    async def insert_oidc_provider(self, provider: OidcProvider) -> None: ...

    async def update_oidc_provider(self, provider: OidcProvider) -> None: ...

    async def delete_oidc_provider(self, provider: OidcProvider) -> None:
        """Delete it, with a mark that ends all it authenticated."""
        ...


class LdapProviderChange(
    OidcProviderFinder, LdapProviderReader, EntityReader, Protocol
):
    """Writes to LDAP providers."""

    async def insert_ldap_provider(self, provider: LdapProvider) -> None: ...

    async def update_ldap_provider(self, provider: LdapProvider) -> None: ...

    async def delete_ldap_provider(self, provider: LdapProvider) -> None:
        """Delete it, with a mark that ends all it authenticated."""
        ...
