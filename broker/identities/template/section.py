"""Sections of which the rules of a kind do the work, as they do for operations.

What is wanted and what is there are compared as properties, which are the members that
the kind's view has.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from broker.identities import kind as rules
from broker.identities.kind import Rules
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryReader

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Described:
    """The properties of one, by name, and what is there of it."""

    properties: Members = field(metadata={"in_parts": True})
    found: Any = field(default=None, compare=False)


def plain_section(
    section: str,
    of: Rules[Any],
    *,
    name: str,
    parse: Callable[[Properties, AccountReading], Members],
    shown: Callable[[Any, DirectoryReader], Awaitable[Members]],
    given: Callable[[Members, AccountWork], Awaitable[Members]],
    finish: Callable[[Any, Members], Any] = lambda one, _: one,
    regional: bool = False,
) -> EntityKind[Described]:
    """The section of a kind, whose property ``name`` identifies.

    ``parse`` reads the properties, ``shown`` has those of one that is there. ``given``
    are the members that its rules take. ``finish`` changes what no rule does.
    """

    def key(spec: Described) -> str:
        said = str(spec.properties[name])
        return f"{spec.properties['Region']}/{said}" if regional else said.lower()

    async def load(directory: DirectoryReader, account: AccountId) -> list[Described]:
        specs = [
            Described(await shown(one, directory), one)
            for one in await directory.all_of(of.kind, account)
        ]
        for found, count in Counter(map(key, specs)).items():
            if count > 1:
                raise TemplateError(
                    found,
                    f"{count} {of.kind.label}s have this name;"
                    " give them names of their own",
                )
        return specs

    async def create(work: AccountWork, spec: Described) -> None:
        at = work.at(spec.properties.get("Region", ""))
        await rules.create(of, await given(spec.properties, work), at)

    async def update(work: AccountWork, before: Described, after: Described) -> None:
        at, wanted = work.at(after.properties.get("Region", "")), after.properties
        changed = await of.change(before.found, await given(wanted, work), at)
        tagged = replace(finish(changed, wanted), tags=wanted["Tags"])
        await rules.update(of, tagged, at)

    async def delete(work: AccountWork, spec: Described) -> None:
        await work.change.remove(of.kind, spec.found)

    return EntityKind(
        section=section,
        noun=of.kind.label,
        parse=lambda properties, reading: Described(parse(properties, reading)),
        load=load,
        create=create,
        update=update,
        delete=delete,
        show=lambda spec: {
            **spec.properties,
            "Tags": shown_tags(spec.properties["Tags"]),
        },
        key=key,
        label=lambda spec: str(spec.properties[name]),
    )
