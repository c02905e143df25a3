"""SAML, OpenID Connect and LDAP providers."""

import base64
import json
from collections.abc import Iterable
from operator import attrgetter

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.entities import (
    EncryptionMode,
    LdapProvider,
    OidcProvider,
    SamlPrivateKey,
    SamlProvider,
)
from broker.stores.directory.entity_tables import (
    MAPPING,
    TEXTS,
    TIME,
    ColumnFormat,
    EntityTable,
    dump,
)
from broker.stores.directory.provisioning import ProvisioningWrites
from broker.stores.directory.revocations import RevocationWrites
from broker.stores.directory.statements import Reads
from broker.stores.schema import LDAP_PROVIDERS, OIDC_PROVIDERS, SAML_PROVIDERS
from broker.stores.times import from_micros, to_micros

_NAMING_MAX = 20


def _dump_keys(keys: Iterable[SamlPrivateKey]) -> str:
    return dump(
        [
            {
                "key_id": key.key_id,
                "created_at": to_micros(key.created_at),
                "sealed_pem": base64.b64encode(key.sealed_pem).decode("ascii"),
            }
            for key in keys
        ]
    )


def _load_keys(text: str) -> tuple[SamlPrivateKey, ...]:
    return tuple(
        SamlPrivateKey(
            key_id=key["key_id"],
            created_at=from_micros(key["created_at"]),
            sealed_pem=base64.b64decode(key["sealed_pem"]),
        )
        for key in json.loads(text)
    )


_SAML_TABLE = EntityTable(
    SAML_PROVIDERS,
    SamlProvider,
    created_at=TIME,
    valid_until=TIME,
    encryption_mode=ColumnFormat(attrgetter("value"), EncryptionMode),
    private_keys=ColumnFormat(_dump_keys, _load_keys),
    tags=MAPPING,
    options=MAPPING,
)
_OIDC_TABLE = EntityTable(
    OIDC_PROVIDERS,
    OidcProvider,
    derived={"host_and_path": attrgetter("host_and_path")},
    client_ids=TEXTS,
    thumbprints=TEXTS,
    created_at=TIME,
    tags=MAPPING,
    options=MAPPING,
)
_LDAP_TABLE = EntityTable(
    LDAP_PROVIDERS, LdapProvider, created_at=TIME, options=MAPPING
)


class ProviderReads(Reads):
    """See ``DirectoryReader``."""

    async def find_saml_provider(
        self, account: AccountId, name: str
    ) -> SamlProvider | None:
        return await self.find_entity(_SAML_TABLE, account=account, name=name)

    async def find_saml_provider_by_uuid(self, uuid: str) -> SamlProvider | None:
        return await self.find_entity(_SAML_TABLE, uuid=uuid)

    async def list_saml_providers(self, account: AccountId) -> tuple[SamlProvider, ...]:
        rows = await self.rows(
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.account == account)
            .order_by(SAML_PROVIDERS.c.name)
        )
        return tuple(
            sorted(
                (_SAML_TABLE.read(row) for row in rows), key=lambda p: p.name.lower()
            )
        )

    async def list_published_saml_providers(self) -> tuple[SamlProvider, ...]:
        return await self.list_entities(
            _SAML_TABLE,
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.options.contains('"MetadataUrl"', autoescape=True))
            .order_by(SAML_PROVIDERS.c.uuid),
        )

    async def list_saml_providers_naming(self, text: str) -> tuple[SamlProvider, ...]:
        return await self.list_entities(
            _SAML_TABLE,
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.metadata.contains(text, autoescape=True))
            .order_by(SAML_PROVIDERS.c.uuid)
            .limit(_NAMING_MAX),
        )

    async def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> OidcProvider | None:
        return await self.find_entity(
            _OIDC_TABLE, account=account, host_and_path=host_and_path
        )

    async def list_oidc_providers(self, account: AccountId) -> tuple[OidcProvider, ...]:
        return await self.list_entities(
            _OIDC_TABLE,
            select(OIDC_PROVIDERS)
            .where(OIDC_PROVIDERS.c.account == account)
            .order_by(OIDC_PROVIDERS.c.host_and_path),
        )

    async def find_ldap_provider(
        self, account: AccountId, name: str
    ) -> LdapProvider | None:
        return await self.find_entity(_LDAP_TABLE, account=account, name=name)

    async def list_ldap_providers(self, account: AccountId) -> tuple[LdapProvider, ...]:
        return await self.list_entities(
            _LDAP_TABLE,
            select(LDAP_PROVIDERS)
            .where(LDAP_PROVIDERS.c.account == account)
            .order_by(LDAP_PROVIDERS.c.name),
        )


class ProviderWrites(ProviderReads, ProvisioningWrites, RevocationWrites):
    """See ``DirectoryChange``."""

    async def insert_saml_provider(self, provider: SamlProvider) -> None:
        await self.insert_entity(_SAML_TABLE, provider, "SAML provider")

    async def update_saml_provider(self, provider: SamlProvider) -> None:
        await self.update_entity(_SAML_TABLE, provider, "uuid")

    async def delete_saml_provider(self, provider: SamlProvider) -> None:
        await self.delete_by(SAML_PROVIDERS, uuid=provider.uuid)
        await self.end_provisioning(provider.account, provider.uuid)
        await self.end_vouched_for(provider.account, provider.arn, provider.uuid)

    async def insert_oidc_provider(self, provider: OidcProvider) -> None:
        await self.insert_entity(_OIDC_TABLE, provider, "OIDC provider")

    async def update_oidc_provider(self, provider: OidcProvider) -> None:
        await self.update_entity(_OIDC_TABLE, provider, "unique_id")

    async def delete_oidc_provider(self, provider: OidcProvider) -> None:
        await self.delete_by(OIDC_PROVIDERS, unique_id=provider.unique_id)
        await self.end_provisioning(provider.account, provider.unique_id)
        await self.end_vouched_for(provider.account, provider.arn, provider.unique_id)

    async def insert_ldap_provider(self, provider: LdapProvider) -> None:
        await self.insert_entity(_LDAP_TABLE, provider, "LDAP provider")

    async def update_ldap_provider(self, provider: LdapProvider) -> None:
        await self.update_entity(_LDAP_TABLE, provider, "unique_id")

    async def delete_ldap_provider(self, provider: LdapProvider) -> None:
        await self.delete_by(LDAP_PROVIDERS, unique_id=provider.unique_id)
        await self.end_vouched_for(provider.account, provider.arn, provider.unique_id)
