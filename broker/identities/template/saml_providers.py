"""``SAMLProviders``: the properties of ``AWS::IAM::SAMLProvider``.

Decryption keys are secrets: they are added with ``UpdateSAMLProvider`` and not managed
here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from broker.errors import BrokerError, NoSuchEntity
from broker.identities.saml_providers import (
    check_metadata,
    check_mode,
    create_saml_provider,
)
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.entities import EncryptionMode
from broker.stores.directory.port.providers import SamlProviderReader

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlSpec:
    """A SAML provider as a template describes it."""

    name: str
    metadata: str = field(metadata={"property": "SamlMetadataDocument"})
    encryption_mode: EncryptionMode = field(
        metadata={"property": "AssertionEncryptionMode"}
    )
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})
    options: Mapping[str, object] = field(metadata={"property": "Broker"})


def _parse(properties: Properties, reading: AccountReading) -> SamlSpec:
    options = properties.mapping("Broker")
    try:
        reading.context.check_saml_options(options)
    except ValueError as error:
        raise TemplateError(f"{properties.place}.Broker", str(error)) from error
    spec = SamlSpec(
        name=_name(properties),
        metadata=properties.text("SamlMetadataDocument"),
        encryption_mode=_mode(properties),
        tags=properties.tags(KeyCase.SENSITIVE),
        options=options,
    )
    if options.get("MetadataUrl"):
        # It is only the initial metadata, which may have expired since.
        return spec
    try:
        check_metadata(spec.metadata, options, reading.context.http_hosts, reading.now)
    except BrokerError as error:
        place = f"{properties.place}.SamlMetadataDocument"
        raise TemplateError(place, f"{error} {error.detail}".strip()) from error
    return spec


def _name(properties: Properties) -> str:
    name = properties.text("Name")
    if not _NAME.fullmatch(name):
        raise TemplateError(
            f"{properties.place}.Name", "must be 1 to 128 letters, digits or any of ._-"
        )
    return name


def _mode(properties: Properties) -> EncryptionMode:
    text = properties.optional_text("AssertionEncryptionMode") or "Allowed"
    try:
        return EncryptionMode(text)
    except ValueError as error:
        place = f"{properties.place}.AssertionEncryptionMode"
        raise TemplateError(place, "must be Allowed or Required") from error


async def _load(directory: SamlProviderReader, account: AccountId) -> list[SamlSpec]:
    return [
        SamlSpec(
            name=provider.name,
            metadata=provider.metadata,
            encryption_mode=provider.encryption_mode,
            tags=dict(provider.tags),
            options=dict(provider.options),
        )
        for provider in await directory.list_saml_providers(account)
    ]


async def _create(work: AccountWork, spec: SamlSpec) -> None:
    check_metadata(spec.metadata, spec.options, work.context.http_hosts, work.now)
    await create_saml_provider(
        work.change,
        work.account,
        name=spec.name,
        metadata=spec.metadata,
        encryption_mode=spec.encryption_mode,
        tags=spec.tags,
        options=spec.options,
        now=work.now,
    )


async def _update(work: AccountWork, _before: SamlSpec, after: SamlSpec) -> None:
    provider = await work.change.find_saml_provider(work.account.account_id, after.name)
    if provider is None:
        raise NoSuchEntity
    changed = replace(
        provider,
        metadata=after.metadata,
        tags=after.tags,
        options=after.options,
        encryption_mode=after.encryption_mode,
    )
    if not after.options.get("MetadataUrl") or after.metadata != provider.metadata:
        check_metadata(after.metadata, after.options, work.context.http_hosts, work.now)
    check_mode(changed)
    await work.change.update_saml_provider(changed)


async def _delete(work: AccountWork, spec: SamlSpec) -> None:
    provider = await work.change.find_saml_provider(work.account.account_id, spec.name)
    if provider is not None:
        await work.change.delete_saml_provider(provider)


def _adopt(before: SamlSpec, after: SamlSpec) -> SamlSpec:
    """Metadata fetched from a URL is newer than the template's."""
    url = after.options.get("MetadataUrl")
    if not url or url != before.options.get("MetadataUrl"):
        return after
    return replace(after, metadata=before.metadata)


def _show(spec: SamlSpec) -> dict[str, object]:
    return {
        "Name": spec.name,
        "AssertionEncryptionMode": spec.encryption_mode.value,
        "SamlMetadataDocument": spec.metadata,
        "Tags": shown_tags(spec.tags),
        "Broker": dict(spec.options),
    }


SAML_PROVIDERS: EntityKind[SamlSpec] = EntityKind(
    section="SAMLProviders",
    noun="SAML provider",
    key=lambda spec: spec.name,
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
    adopt=_adopt,
)
