"""SAML and OpenID Connect providers."""

import base64
import json

from sqlalchemy import delete, select

from broker.model.account import AccountId
from broker.model.entities import (
    EncryptionMode,
    OidcProvider,
    SamlPrivateKey,
    SamlProvider,
)
from broker.stores.directory.revocations import RevocationWrites
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    dump,
    dump_mapping,
    load_mapping,
    load_texts,
)
from broker.stores.schema import OIDC_PROVIDERS, SAML_PROVIDERS
from broker.stores.times import from_micros, to_micros

_NAMING_MAX = 20


class ProviderReads(Reads):
    """See ``DirectoryReader``."""

    async def find_saml_provider(
        self, account: AccountId, name: str
    ) -> SamlProvider | None:
        return await self._find_saml_provider(account=account, name=name)

    async def find_saml_provider_by_uuid(self, uuid: str) -> SamlProvider | None:
        return await self._find_saml_provider(uuid=uuid)

    async def list_saml_providers(self, account: AccountId) -> tuple[SamlProvider, ...]:
        rows = await self.rows(
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.account == account)
            .order_by(SAML_PROVIDERS.c.name)
        )
        return tuple(
            sorted((_read_saml(row) for row in rows), key=lambda p: p.name.lower())
        )

    async def list_published_saml_providers(self) -> tuple[SamlProvider, ...]:
        rows = await self.rows(
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.options.contains('"MetadataUrl"', autoescape=True))
            .order_by(SAML_PROVIDERS.c.uuid)
        )
        return tuple(map(_read_saml, rows))

    async def list_saml_providers_naming(self, text: str) -> tuple[SamlProvider, ...]:
        rows = await self.rows(
            select(SAML_PROVIDERS)
            .where(SAML_PROVIDERS.c.metadata.contains(text, autoescape=True))
            .order_by(SAML_PROVIDERS.c.uuid)
            .limit(_NAMING_MAX)
        )
        return tuple(map(_read_saml, rows))

    async def find_oidc_provider(
        self, account: AccountId, host_and_path: str
    ) -> OidcProvider | None:
        row = await self.find_by(
            OIDC_PROVIDERS, account=account, host_and_path=host_and_path
        )
        return None if row is None else _read_oidc(row)

    async def list_oidc_providers(self, account: AccountId) -> tuple[OidcProvider, ...]:
        rows = await self.rows(
            select(OIDC_PROVIDERS)
            .where(OIDC_PROVIDERS.c.account == account)
            .order_by(OIDC_PROVIDERS.c.host_and_path)
        )
        return tuple(_read_oidc(row) for row in rows)

    async def _find_saml_provider(self, **values: object) -> SamlProvider | None:
        row = await self.find_by(SAML_PROVIDERS, **values)
        return None if row is None else _read_saml(row)


class ProviderWrites(ProviderReads, RevocationWrites):
    """See ``DirectoryChange``."""

    async def insert_saml_provider(self, provider: SamlProvider) -> None:
        await self.insert_new(SAML_PROVIDERS, _saml_values(provider), "SAML provider")

    async def update_saml_provider(self, provider: SamlProvider) -> None:
        await self.update_by(SAML_PROVIDERS, _saml_values(provider), uuid=provider.uuid)

    async def delete_saml_provider(self, provider: SamlProvider) -> None:
        await self.run(
            delete(SAML_PROVIDERS).where(SAML_PROVIDERS.c.uuid == provider.uuid)
        )
        await self.end_vouched_for(provider.account, provider.arn)

    async def insert_oidc_provider(self, provider: OidcProvider) -> None:
        await self.insert_new(OIDC_PROVIDERS, _oidc_values(provider), "OIDC provider")

    async def update_oidc_provider(self, provider: OidcProvider) -> None:
        await self.update_by(
            OIDC_PROVIDERS, _oidc_values(provider), unique_id=provider.unique_id
        )

    async def delete_oidc_provider(self, provider: OidcProvider) -> None:
        await self.run(
            delete(OIDC_PROVIDERS).where(
                OIDC_PROVIDERS.c.unique_id == provider.unique_id
            )
        )
        await self.end_vouched_for(provider.account, provider.arn)


def _read_saml(row: AnyRow) -> SamlProvider:
    return SamlProvider(
        account=row.account,
        uuid=row.uuid,
        name=row.name,
        metadata=row.metadata,
        created_at=from_micros(row.created_at),
        valid_until=from_micros(row.valid_until),
        encryption_mode=EncryptionMode(row.encryption_mode),
        private_keys=tuple(
            SamlPrivateKey(
                key_id=key["key_id"],
                created_at=from_micros(key["created_at"]),
                sealed_pem=base64.b64decode(key["sealed_pem"]),
            )
            for key in json.loads(row.private_keys)
        ),
        tags=load_mapping(row.tags),
        options=load_mapping(row.options),
    )


def _saml_values(provider: SamlProvider) -> dict[str, object]:
    return {
        "uuid": provider.uuid,
        "account": provider.account,
        "name": provider.name,
        "metadata": provider.metadata,
        "created_at": to_micros(provider.created_at),
        "valid_until": to_micros(provider.valid_until),
        "encryption_mode": provider.encryption_mode.value,
        "private_keys": dump(
            [
                {
                    "key_id": key.key_id,
                    "created_at": to_micros(key.created_at),
                    "sealed_pem": base64.b64encode(key.sealed_pem).decode("ascii"),
                }
                for key in provider.private_keys
            ]
        ),
        "tags": dump_mapping(provider.tags),
        "options": dump_mapping(provider.options),
    }


def _read_oidc(row: AnyRow) -> OidcProvider:
    return OidcProvider(
        account=row.account,
        unique_id=row.unique_id,
        url=row.url,
        client_ids=load_texts(row.client_ids),
        thumbprints=load_texts(row.thumbprints),
        created_at=from_micros(row.created_at),
        tags=load_mapping(row.tags),
        options=load_mapping(row.options),
    )


def _oidc_values(provider: OidcProvider) -> dict[str, object]:
    return {
        "unique_id": provider.unique_id,
        "account": provider.account,
        "host_and_path": provider.host_and_path,
        "url": provider.url,
        "client_ids": dump(provider.client_ids),
        "thumbprints": dump(provider.thumbprints),
        "created_at": to_micros(provider.created_at),
        "tags": dump_mapping(provider.tags),
        "options": dump_mapping(provider.options),
    }
