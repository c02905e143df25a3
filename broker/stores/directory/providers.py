"""SAML, OpenID Connect and LDAP providers."""

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.entities import (
    LdapProvider,
    OidcProvider,
    SamlProvider,
)
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.provisioning import ProvisioningWrites
from broker.stores.directory.revocations import RevocationWrites
from broker.stores.directory.statements import Reads
from broker.stores.schema import LDAP_PROVIDERS, OIDC_PROVIDERS, SAML_PROVIDERS

_NAMING_MAX = 20


class ProviderReads(Reads):
    """See ``DirectoryReader``."""

    async def find_saml_provider(
        self, account: AccountId, name: str
    ) -> SamlProvider | None:
        return await self.find_entity(SAML_PROVIDER.stored, account=account, name=name)

    async def find_saml_provider_by_uuid(self, uuid: str) -> SamlProvider | None:
        return await self.find_entity(SAML_PROVIDER.stored, uuid=uuid)

    async def list_saml_providers(self, account: AccountId) -> tuple[SamlProvider, ...]:
        rows = await self.rows(
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.account == account)
            .order_by(SAML_PROVIDERS.c.name)
        )
        return tuple(
            sorted(
                (SAML_PROVIDER.stored.read(row) for row in rows),
                key=lambda p: p.name.lower(),
            )
        )

    async def list_published_saml_providers(self) -> tuple[SamlProvider, ...]:
        return await self.list_entities(
            SAML_PROVIDER.stored,
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.options.contains('"MetadataUrl"', autoescape=True))
            .order_by(SAML_PROVIDERS.c.uuid),
        )

    async def list_saml_providers_naming(self, text: str) -> tuple[SamlProvider, ...]:
        return await self.list_entities(
            SAML_PROVIDER.stored,
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.metadata.contains(text, autoescape=True))
            .order_by(SAML_PROVIDERS.c.uuid)
            .limit(_NAMING_MAX),
        )

    async def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> OidcProvider | None:
        return await self.find_entity(
            OIDC_PROVIDER.stored, account=account, host_and_path=host_and_path
        )

    async def list_oidc_providers(self, account: AccountId) -> tuple[OidcProvider, ...]:
        return await self.list_entities(
            OIDC_PROVIDER.stored,
            select(OIDC_PROVIDERS)
            .where(OIDC_PROVIDERS.c.account == account)
            .order_by(OIDC_PROVIDERS.c.host_and_path),
        )

    async def find_ldap_provider(
        self, account: AccountId, name: str
    ) -> LdapProvider | None:
        return await self.find_entity(LDAP_PROVIDER.stored, account=account, name=name)

    async def list_ldap_providers(self, account: AccountId) -> tuple[LdapProvider, ...]:
        return await self.list_entities(
            LDAP_PROVIDER.stored,
            select(LDAP_PROVIDERS)
            .where(LDAP_PROVIDERS.c.account == account)
            .order_by(LDAP_PROVIDERS.c.name),
        )


class ProviderWrites(ProviderReads, ProvisioningWrites, RevocationWrites):
    """See ``DirectoryChange``."""

    async def insert_saml_provider(self, provider: SamlProvider) -> None:
        await self.insert_entity(SAML_PROVIDER.stored, provider, "SAML provider")

    async def update_saml_provider(self, provider: SamlProvider) -> None:
        await self.update_entity(SAML_PROVIDER.stored, provider, "uuid")

    async def delete_saml_provider(self, provider: SamlProvider) -> None:
        await self.delete_by(SAML_PROVIDERS, uuid=provider.uuid)
        await self.end_provisioning(provider.account, provider.uuid)
        await self.end_vouched_for(provider.account, provider.arn, provider.uuid)

    async def insert_oidc_provider(self, provider: OidcProvider) -> None:
        await self.insert_entity(OIDC_PROVIDER.stored, provider, "OIDC provider")

    async def update_oidc_provider(self, provider: OidcProvider) -> None:
        await self.update_entity(OIDC_PROVIDER.stored, provider, "unique_id")

    async def delete_oidc_provider(self, provider: OidcProvider) -> None:
        await self.delete_by(OIDC_PROVIDERS, unique_id=provider.unique_id)
        await self.end_provisioning(provider.account, provider.unique_id)
        await self.end_vouched_for(provider.account, provider.arn, provider.unique_id)

    async def insert_ldap_provider(self, provider: LdapProvider) -> None:
        await self.insert_entity(LDAP_PROVIDER.stored, provider, "LDAP provider")

    async def update_ldap_provider(self, provider: LdapProvider) -> None:
        await self.update_entity(LDAP_PROVIDER.stored, provider, "unique_id")

    async def delete_ldap_provider(self, provider: LdapProvider) -> None:
        await self.delete_by(LDAP_PROVIDERS, unique_id=provider.unique_id)
        await self.end_vouched_for(provider.account, provider.arn, provider.unique_id)
