"""``LDAPProviders``: the operator's directories, for which AWS has no resource."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from broker.errors import BrokerError, NoSuchEntity
from broker.identities.ldap_providers import checked_name, create_ldap_provider
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork, EntityKind
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.stores.directory.port.providers import LdapProviderReader


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSpec:
    """An LDAP provider as a template describes it."""

    name: str = field(metadata={"property": "Name"})
    directory: str = field(metadata={"property": "Directory"})
    options: Mapping[str, object] = field(metadata={"property": "Broker"})


def _parse(properties: Properties, reading: AccountReading) -> LdapSpec:
    options = properties.mapping("Broker")
    directory = properties.text("Directory")
    try:
        reading.context.check_ldap_provider(directory, options)
    except ValueError as error:
        raise TemplateError(properties.place, str(error)) from error
    try:
        name = checked_name(properties.text("Name"))
    except BrokerError as error:
        raise TemplateError(f"{properties.place}.Name", str(error)) from error
    return LdapSpec(name=name, directory=directory, options=options)


async def _load(directory: LdapProviderReader, account: AccountId) -> list[LdapSpec]:
    return [
        LdapSpec(
            name=provider.name,
            directory=provider.directory,
            options=dict(provider.options),
        )
        for provider in await directory.list_ldap_providers(account)
    ]


async def _create(work: AccountWork, spec: LdapSpec) -> None:
    await create_ldap_provider(
        work.change,
        work.account,
        name=spec.name,
        directory=spec.directory,
        options=spec.options,
        now=work.now,
    )


async def _update(work: AccountWork, before: LdapSpec, after: LdapSpec) -> None:
    if after.directory != before.directory:
        raise TemplateError(
            "Directory",
            f"{after.name} cannot become another directory's: subjects would mean other"
            " people; delete the provider first",
        )
    provider = await work.change.find_ldap_provider(work.account.account_id, after.name)
    if provider is None:
        raise NoSuchEntity
    await work.change.update_ldap_provider(replace(provider, options=after.options))


async def _delete(work: AccountWork, spec: LdapSpec) -> None:
    provider = await work.change.find_ldap_provider(work.account.account_id, spec.name)
    if provider is not None:
        await work.change.delete_ldap_provider(provider)


def _show(spec: LdapSpec) -> dict[str, object]:
    return {
        "Name": spec.name,
        "Directory": spec.directory,
        "Broker": dict(spec.options),
    }


LDAP_PROVIDERS: EntityKind[LdapSpec] = EntityKind(
    section="LDAPProviders",
    noun="LDAP provider",
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
)
