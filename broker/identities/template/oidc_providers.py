"""``OIDCProviders``: the properties of ``AWS::IAM::OIDCProvider``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from broker.errors import BrokerError, NoSuchEntity
from broker.identities.limits import Quota, require_within
from broker.identities.oidc_providers import (
    checked_issuer_url,
    checked_thumbprints,
    create_oidc_provider,
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
from broker.stores.directory.port.providers import OidcProviderReader

_SECRET = "ClientSecret"  # noqa: S105  # an option's name


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSpec:
    """An OpenID Connect provider as a template describes it; ``url`` as stored."""

    url: str = field(metadata={"property": "Url"})
    client_ids: tuple[str, ...] = field(metadata={"property": "ClientIdList"})
    thumbprints: tuple[str, ...] = field(metadata={"property": "ThumbprintList"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})
    options: Mapping[str, object] = field(metadata={"property": "Broker"})

    @property
    def host_and_path(self) -> str:
        """The part of the URL that must be unique in the account."""
        return self.url.partition("://")[2]


def _parse(properties: Properties, reading: AccountReading) -> OidcSpec:
    options = properties.mapping("Broker")
    context = reading.context
    try:
        context.check_oidc_options(options)
    except ValueError as error:
        raise TemplateError(f"{properties.place}.Broker", str(error)) from error
    url = properties.text("Url")
    try:
        return OidcSpec(
            url=checked_issuer_url(url, reading.account, context.is_internal),
            client_ids=tuple(dict.fromkeys(properties.texts("ClientIdList"))),
            thumbprints=checked_thumbprints(properties.texts("ThumbprintList")),
            tags=properties.tags(KeyCase.SENSITIVE),
            options=options,
        )
    except BrokerError as error:
        raise TemplateError(properties.place, f"{url}: {error}") from error


async def _load(directory: OidcProviderReader, account: AccountId) -> list[OidcSpec]:
    return [
        OidcSpec(
            url=provider.url,
            client_ids=provider.client_ids,
            thumbprints=provider.thumbprints,
            tags=dict(provider.tags),
            # A sealed secret is bound to its provider, and templates contain no
            # secrets.
            options={k: v for k, v in provider.options.items() if k != _SECRET},
        )
        for provider in await directory.list_oidc_providers(account)
    ]


async def _create(work: AccountWork, spec: OidcSpec) -> None:
    await create_oidc_provider(
        work.change,
        work.account,
        url=spec.url,
        client_ids=spec.client_ids,
        thumbprints=spec.thumbprints,
        tags=spec.tags,
        options=spec.options,
        is_internal=work.context.is_internal,
        now=work.now,
    )


async def _update(work: AccountWork, before: OidcSpec, after: OidcSpec) -> None:
    if after.url != before.url:
        raise TemplateError(
            "Url", f"{before.url} cannot become {after.url}; delete the provider first"
        )
    require_within(work.account, Quota.CLIENT_IDS, len(after.client_ids))
    provider = await work.change.find_oidc_provider(
        work.account.account_id, after.host_and_path
    )
    if provider is None:
        raise NoSuchEntity
    await work.change.update_oidc_provider(
        replace(
            provider,
            client_ids=after.client_ids,
            thumbprints=after.thumbprints,
            tags=after.tags,
            options={
                **after.options,
                **{k: v for k, v in provider.options.items() if k == _SECRET},
            },
        )
    )


async def _delete(work: AccountWork, spec: OidcSpec) -> None:
    provider = await work.change.find_oidc_provider(
        work.account.account_id, spec.host_and_path
    )
    if provider is not None:
        await work.change.delete_oidc_provider(provider)


def _show(spec: OidcSpec) -> dict[str, object]:
    return {
        "Url": spec.url,
        "ClientIdList": list(spec.client_ids),
        "ThumbprintList": list(spec.thumbprints),
        "Tags": shown_tags(spec.tags),
        "Broker": dict(spec.options),
    }


OIDC_PROVIDERS: EntityKind[OidcSpec] = EntityKind(
    section="OIDCProviders",
    noun="OIDC provider",
    key=lambda spec: spec.host_and_path,
    label=lambda spec: spec.host_and_path,
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
)
