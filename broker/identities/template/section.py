"""Sections of which the rules of a kind do the work, as they do for operations.

What is wanted and what is there are compared as properties, which are the members that
the kind's view has.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from broker.identities import kind as rules
from broker.identities.kind import Rules, Work
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    TemplateContext,
    shown_tags,
)
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.page import read_pages
from broker.stores.directory.port import DirectoryReader

Members = dict[str, Any]
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Described:
    """The properties of one, by name, and what is there of it."""

    properties: Members = field(metadata={"in_parts": True})
    found: Any = field(default=None, compare=False)


async def _given(wanted: Members, _work: AccountWork) -> Members:
    return {**wanted, "Tags": shown_tags(wanted["Tags"])}


async def unchecked(_before: object, _wanted: Members, _work: AccountWork) -> None:
    """Everything may become of it."""


async def _finished(one: Any, _wanted: Members, _work: AccountWork) -> Any:  # noqa: ANN401  # any kind
    return one


@dataclass(frozen=True, kw_only=True)
class Section:
    """The section of a kind, whose property ``name`` identifies.

    ``parse`` reads the properties, ``shown`` has those of one that is there. ``given``
    are the members that its rules take. ``check`` judges a change, or what is new, and
    ``constant`` properties stay what they are. ``finish`` does what no operation does.
    Only what has the columns ``where`` is in the section. ``made_in`` has the rules
    where its rules depend on settings.
    """

    section: str
    of: Rules[Any]
    name: str
    parse: Callable[[Properties, AccountReading], Members]
    shown: Callable[[Any, DirectoryReader], Awaitable[Members]]
    given: Callable[[Members, AccountWork], Awaitable[Members]] = _given
    check: Callable[[Any, Members, AccountWork], Awaitable[None]] = unchecked
    finish: Callable[[Any, Members, AccountWork], Awaitable[Any]] = _finished
    made_in: Callable[[TemplateContext], Rules[Any]] | None = None
    constant: tuple[str, ...] = ()
    regional: bool = False
    where: Mapping[str, Any] = field(default_factory=dict)
    noun: str = ""

    @property
    def label(self) -> str:
        """What messages call one."""
        return self.noun or self.of.kind.label

    def entity_kind(self, **more: Any) -> EntityKind[Described]:  # noqa: ANN401  # of `EntityKind`
        """As it is applied, with ``more`` that is said otherwise."""
        said: dict[str, Any] = {
            "section": self.section,
            "noun": self.label,
            "parse": lambda given, reading: Described(self.parse(given, reading)),
            "pages": self._pages,
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
            "show": _show,
            "key": self._key,
            "label": lambda spec: spec.properties[self.name],
        }
        return EntityKind(**{**said, **more})

    def _key(self, spec: Described) -> str:
        said: str = spec.properties[self.name]
        return f"{spec.properties['Region']}/{said}" if self.regional else said.lower()

    async def _pages(
        self, directory: DirectoryReader, account: AccountId
    ) -> AsyncIterator[list[Described]]:
        listed = partial(directory.page_of, self.of.kind, account, **self.where)
        async for page in read_pages(listed, PAGE):
            yield [Described(await self.shown(one, directory), one) for one in page]

    async def _create(self, work: AccountWork, spec: Described) -> None:
        of = self.of if self.made_in is None else self.made_in(work.context)

        async def make(given: Members, at: Work) -> Any:  # noqa: ANN401  # any kind
            return await self.finish(await of.make(given, at), spec.properties, work)

        at = work.at(spec.properties.get("Region", ""))
        await self.check(None, spec.properties, work)
        given = await self.given(spec.properties, work)
        await rules.create(replace(of, make=make), given, at)

    async def _update(
        self, work: AccountWork, before: Described, after: Described
    ) -> None:
        for label in self.constant:
            old, new = before.properties[label], after.properties[label]
            if old != new:
                article = "an" if self.label[0].lower() in "aeiou" else "a"
                raise TemplateError(
                    label,
                    f"{old} of {article} {self.label} cannot become {new}; delete it first",
                )
        at, wanted = work.at(after.properties.get("Region", "")), after.properties
        await self.check(before.found, wanted, work)
        given = await self.given(wanted, work)
        changed = await self.of.change(before.found, given, at)
        if "Tags" in wanted:
            changed = replace(changed, tags=wanted["Tags"])
        await rules.update(self.of, await self.finish(changed, wanted, work), at)

    async def _delete(self, work: AccountWork, spec: Described) -> None:
        await work.change.remove(self.of.kind, spec.found)


def _show(spec: Described) -> Members:
    tags = spec.properties.get("Tags", {})
    return {**spec.properties, "Tags": shown_tags(tags)}
