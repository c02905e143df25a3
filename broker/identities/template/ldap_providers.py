"""``LDAPProviders``: the operator's directories, for which AWS has no resource."""

from dataclasses import replace

from broker.errors import BrokerError
from broker.identities.ldap_providers import LDAP_PROVIDERS as RULES
from broker.identities.ldap_providers import checked_name
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork
from broker.identities.template.properties import Properties
from broker.identities.template.section import Members, Section
from broker.model.entities import LdapProvider
from broker.stores.directory.port import DirectoryReader


def _parse(properties: Properties, reading: AccountReading) -> Members:
    directory = properties.text("Directory")
    try:
        reading.context.check_directory(directory)
    except ValueError as error:
        raise TemplateError(properties.place, str(error)) from error
    try:
        name = checked_name(properties.text("Name"))
    except BrokerError as error:
        raise TemplateError(f"{properties.place}.Name", str(error)) from error
    options = reading.options(properties, LdapProvider)
    return {"Name": name, "Directory": directory, "Broker": options}


async def _shown(one: LdapProvider, _directory: DirectoryReader) -> Members:
    options = dict(one.options)
    return {"Name": one.name, "Directory": one.directory, "Broker": options}


async def _given(wanted: Members, _work: AccountWork) -> Members:
    return wanted


async def _check(
    before: LdapProvider | None, wanted: Members, _work: AccountWork
) -> None:
    if before is not None and before.directory != wanted["Directory"]:
        raise TemplateError(
            "Directory",
            f"{before.name} cannot become another directory's: subjects would mean"
            " other people; delete the provider first",
        )


async def _finish(
    one: LdapProvider, wanted: Members, _work: AccountWork
) -> LdapProvider:
    return replace(one, options=wanted["Broker"])


LDAP_PROVIDERS = Section(
    section="LDAPProviders",
    of=RULES,
    name="Name",
    parse=_parse,
    shown=_shown,
    given=_given,
    check=_check,
    finish=_finish,
).entity_kind()
