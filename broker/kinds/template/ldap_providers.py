"""``LDAPProviders``: the operator's directories, for which AWS has no resource."""

from collections.abc import Sequence
from dataclasses import replace

from broker.kinds.ldap_providers import LDAP_PROVIDERS as RULES
from broker.kinds.ldap_providers import checked_name
from broker.kinds.template.errors import TemplateError, at_place
from broker.kinds.template.kind import AccountReading, AccountWork
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Members, Section
from broker.model.entities import LdapProvider
from broker.stores.directory.port import DirectoryReader


def _settle(found: Members, given: Properties, reading: AccountReading) -> Members:
    try:
        reading.context.check_directory(found["Directory"])
    except ValueError as error:
        raise TemplateError(given.place, str(error)) from error
    with at_place(f"{given.place}.Name"):
        name = checked_name(found["Name"])
    reading.check_options(given.place, found["Broker"], LdapProvider)
    return {**found, "Name": name}


async def _options(
    page: Sequence[LdapProvider], _directory: DirectoryReader
) -> list[Members]:
    return [{"Broker": dict(one.options)} for one in page]


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
    one: LdapProvider, _before: Members, wanted: Members, _work: AccountWork
) -> LdapProvider:
    return replace(one, options=wanted["Broker"])


LDAP_PROVIDERS = Section(
    section="LDAPProviders",
    of=RULES,
    name="Name",
    reads={
        "Name": Properties.text,
        "Directory": Properties.text,
        "Broker": Properties.mapping,
    },
    settle=_settle,
    further=_options,
    check=_check,
    finish=_finish,
)
