"""Sections whose entities have a name and a definition in JSON, and nothing else."""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.errors import BrokerError
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    at_once,
)
from broker.identities.template.properties import Properties, compact
from broker.model.account import Account, AccountId
from broker.stores.directory.port import DirectoryChange, DirectoryReader


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionSpec:
    """An entity as a template describes it."""

    name: str
    definition: str = field(metadata={"property": "Definition"})


class Defined(Protocol):
    """An entity as it is stored."""

    @property
    def name(self) -> str:
        """Its name, unique in the account."""
        ...

    @property
    def definition(self) -> str:
        """Its definition, in JSON."""
        ...


def definition_kind(
    section: str,
    noun: str,
    name_property: str,
    *,
    check: Callable[[str, str], str],
    find_all: Callable[[DirectoryReader, AccountId], Awaitable[Iterable[Defined]]],
    put: Callable[[DirectoryChange, Account, str, str, datetime], Awaitable[object]],
    delete: Callable[[DirectoryChange, AccountId, str], Awaitable[None]],
) -> EntityKind[DefinitionSpec]:
    """The section of such entities.

    ``check`` gets a name and a definition, and returns the definition as it is stored.
    ``put`` creates an entity or replaces its definition.
    """

    def parse(properties: Properties, _reading: AccountReading) -> DefinitionSpec:
        name = properties.text(name_property)
        text = compact(properties.mapping("Definition"))
        try:
            return DefinitionSpec(name=name, definition=check(name, text))
        except BrokerError as error:
            raise TemplateError(properties.place, str(error)) from error

    async def load(
        directory: DirectoryReader, account: AccountId
    ) -> list[DefinitionSpec]:
        return [
            DefinitionSpec(name=one.name, definition=one.definition)
            for one in await find_all(directory, account)
        ]

    async def create(work: AccountWork, spec: DefinitionSpec) -> None:
        await put(work.change, work.account, spec.name, spec.definition, work.now)

    async def update(
        work: AccountWork, _before: DefinitionSpec, after: DefinitionSpec
    ) -> None:
        await create(work, after)

    async def remove(work: AccountWork, spec: DefinitionSpec) -> None:
        await delete(work.change, work.account.account_id, spec.name)

    def show(spec: DefinitionSpec) -> dict[str, object]:
        return {name_property: spec.name, "Definition": json.loads(spec.definition)}

    return EntityKind(
        section=section,
        noun=noun,
        key=lambda spec: spec.name,
        parse=parse,
        pages=at_once(load),
        create=create,
        update=update,
        delete=remove,
        show=show,
    )
