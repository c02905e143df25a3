"""Our SAML service provider metadata: global, and one document per provider.

Source: AWS General Reference, "AWS Sign-In endpoints and quotas".
"""

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.signin.saml_requests import request_key
from broker.errors import NoSuchEntity
from broker.model.entities import SamlProvider
from broker.protocols.saml.keys import encryption_certificate
from broker.protocols.saml.sp_metadata import (
    assertion_consumer_url,
    single_logout_url,
    sp_metadata,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.providers import find_saml_provider_by_uuid

GLOBAL = "/static/saml-metadata.xml"
PER_PROVIDER = "/static/saml/{uuid}/saml-metadata.xml"
_MEDIA_TYPE = "application/samlmetadata+xml"


async def find_provider_of_path(
    directory: DirectoryReader, uuid: str
) -> SamlProvider | None:
    """Find a provider by the id in a path, which can be any text."""
    # PostgreSQL rejects NUL in text.
    return await find_saml_provider_by_uuid(directory, uuid) if uuid.isalnum() else None


class SamlMetadata:
    """Serves the metadata documents."""

    def __init__(self, context: ConsoleContext) -> None:
        self._deps = context.deps

    async def overall(self, _request: Request) -> Response:
        """The global document, for providers that post to ``/saml``."""
        return await self._answer(None, ())

    async def of_provider(self, request: Request) -> Response:
        """One provider's document, with its own endpoints and encryption keys."""
        deps = self._deps
        provider = await find_provider_of_path(
            deps.directory, request.path_params["uuid"]
        )
        if provider is None:
            raise NoSuchEntity("There is no such page.")
        newest_first = sorted(
            provider.private_keys, key=lambda key: key.created_at, reverse=True
        )
        certificates = tuple(
            encryption_certificate(
                key, common_name=provider.uuid, not_before=stored.created_at
            )
            for key, stored in zip(
                await deps.federated.encryption_keys(provider),
                newest_first,
                strict=False,
            )
        )
        return await self._answer(provider.uuid, certificates)

    async def _answer(
        self, uuid: str | None, certificates: tuple[bytes, ...]
    ) -> Response:
        deps = self._deps
        text = sp_metadata(
            entity_id=deps.entity_id,
            consumer_url=assertion_consumer_url(deps.public_origin, uuid),
            logout_url=single_logout_url(deps.public_origin, uuid) if uuid else "",
            encryption_certificates=certificates,
            signing_certificates=((await request_key(deps)).certificate,),
        )
        return Response(text, media_type=_MEDIA_TYPE)
