"""SAML, OpenID Connect and LDAP providers."""

from sqlalchemy import select

from broker.model.entities import SamlProvider
from broker.stores.directory.kinds import SAML_PROVIDER
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import SAML_PROVIDERS

_NAMING_MAX = 20


async def find_saml_provider_by_uuid(
    directory: DirectoryReader, uuid: str
) -> SamlProvider | None:
    """A SAML provider of any account."""
    return await directory.find_entity(SAML_PROVIDER.stored, uuid=uuid)


async def list_published_saml_providers(
    directory: DirectoryReader,
) -> tuple[SamlProvider, ...]:
    """Of all accounts, those whose options name a ``MetadataUrl``."""
    return await directory.list_entities(
        SAML_PROVIDER.stored,
        select(SAML_PROVIDERS)
        .where(SAML_PROVIDERS.c.options.contains('"MetadataUrl"', autoescape=True))
        .order_by(SAML_PROVIDERS.c.uuid),
    )


async def list_saml_providers_naming(
    directory: DirectoryReader, text: str
) -> tuple[SamlProvider, ...]:
    """Of all accounts, some whose metadata holds this text."""
    return await directory.list_entities(
        SAML_PROVIDER.stored,
        select(SAML_PROVIDERS)
        .where(SAML_PROVIDERS.c.metadata.contains(text, autoescape=True))
        .order_by(SAML_PROVIDERS.c.uuid)
        .limit(_NAMING_MAX),
    )
