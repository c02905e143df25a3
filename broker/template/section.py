"""A section of an account in a template: a kind of thing, and its properties.

The rules of the kind do the work, as they do for operations. What is wanted and what is
there are compared as the service shows them: by properties, which are the members of
the kind's view.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import BrokerError
from broker.kinds import rules
from broker.kinds.providers import IsInternal
from broker.kinds.rules import Rules, Work
from broker.kinds.yaml_text import TemplateError
from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.names import fold_name
from broker.model.page import read_pages
from broker.model.sealing import Sealer
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.template.properties import Properties

CheckOptions = Callable[[type[Any], Mapping[str, object]], object]
"""Raises ``ValueError`` for options that a kind of provider cannot have."""

Members = dict[str, Any]
PAGE = 1000


class TemplateContext(Struct, frozen=True, kw_only=True):
    """What parsing a template depends on besides its text."""

    is_internal: IsInternal
    home_region: str = "us-east-1"
    http_hosts: Collection[str] = ()
    check_options: CheckOptions = lambda _kind, _options: None
    check_directory: Callable[[str], object] = str
    """Raises ``ValueError`` for a directory that the operator does not have."""
    sealer: Sealer | None = None
    """Seals an issuer's keys; without it, no issuer can be enabled."""


class AccountReading(Struct, frozen=True, kw_only=True):
    """The context of parsing one account's part of a template."""

    account: AccountId
    now: datetime
    context: TemplateContext

    def check_options(
        self, place: str, options: Mapping[str, Any], kind: type[Any]
    ) -> None:
        """Judge the broker options of a kind of provider."""
        try:
            self.context.check_options(kind, options)
        except ValueError as error:
            raise TemplateError(f"{place}.Broker", str(error)) from error


class AccountWork(Struct, kw_only=True):
    """One account's transaction while a template is applied.

    ``planned`` are the ARNs of all users and roles that the template describes.
    ``pending_trust`` collects roles whose trust policy names one of them that does
    not exist yet, with the ``place`` where the role is; it is set once all do.
    """

    change: DirectoryChange
    account: Account
    now: datetime
    context: TemplateContext
    planned: frozenset[str] = frozenset()
    place: str = ""
    pending_trust: dict[str, tuple[str, str]] = {}

    def at(self, region: str = "") -> Work:
        """What the rules of a kind are told; the account's root makes things."""
        return Work(
            change=self.change,
            account=self.account.account_id,
            region=region or self.context.home_region,
            now=self.now,
            by=iam_arn(self.account.account_id, "root"),
        )


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as CloudFormation writes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def without_empty(properties: Mapping[str, object]) -> dict[str, object]:
    """The properties without the empty ones."""
    return {k: v for k, v in properties.items() if v not in (None, "", [], {}, ())}


class Described(Struct, frozen=True):
    """The properties of one, by name, and what is there of it."""

    properties: Members
    found: Any = None


def _as_read(members: Members, _given: Properties, _reading: AccountReading) -> Members:
    return members


async def _as_viewed(page: Sequence[Any], _directory: DirectoryReader) -> list[Members]:
    return [{} for _ in page]


async def _finished(
    entity: Any,  # noqa: ANN401  # any kind
    _before: Members,
    _wanted: Members,
    _work: AccountWork,
) -> Any:  # noqa: ANN401
    return entity


async def _nothing(*_: object) -> None:
    """What needs no check, writes nothing else, and is removed at once."""


class Section(Struct, frozen=True, eq=False, kw_only=True):
    """The section of a kind, whose property ``name`` identifies.

    ``reads`` is the table of its properties, in their order: what reads each. They are
    the members of the service's operations and of the kind's ``view`` of the same name,
    or of the one that ``members`` says, and ``renamed`` for changes. ``settle`` completes
    and judges what was read. ``further`` has what the view lacks, for a page. ``params``
    makes the rules' parameters; ``shows`` writes values as a file has them.

    ``check`` judges a change, or what is new, and ``constant`` properties stay what they
    are. ``finish`` does what no operation does, and ``write`` what belongs to an entity
    that is there; it gets the properties before and after. ``clear`` comes before a
    deletion. ``put`` does the work of kinds whose rules only know that. ``made_in`` has
    the rules where they depend on settings. Only what has the columns ``where`` and is
    ``managed`` is in the section.

    Two with the same ``key`` are the same; ``called`` is the name in messages. ``adopt``
    keeps of what is there what the broker maintains itself. ``keep`` adds to what is
    wanted the parts that only ``--prune`` removes, and names them. ``require_calls``
    removes from it what only an API call can create, because it is secret, and names the
    call; all of it if that is the entity itself.
    """

    section: str
    of: Rules[Any]
    name: str
    reads: Mapping[str, Callable[[Properties, str], Any]]
    noun: str = ""
    members: Mapping[str, str] = {}
    renamed: Mapping[str, str] = {}
    view: Callable[[Any], Mapping[str, Any]] | None = None
    settle: Callable[[Members, Properties, AccountReading], Members] = _as_read
    further: Callable[[Sequence[Any], DirectoryReader], Awaitable[list[Members]]] = (
        _as_viewed
    )
    params: Callable[[Members, AccountWork], Awaitable[Members]] | None = None
    shows: Mapping[str, Callable[[Any], object]] = {}
    check: Callable[[Any, Members, AccountWork], Awaitable[None]] = _nothing
    finish: Callable[[Any, Members, Members, AccountWork], Awaitable[Any]] = _finished
    write: Callable[[AccountWork, Any, Members, Members], Awaitable[None]] = _nothing
    clear: Callable[[AccountWork, Described], Awaitable[None]] = _nothing
    put: Callable[[AccountWork, Members], Awaitable[None]] | None = None
    made_in: Callable[[TemplateContext], Rules[Any]] | None = None
    constant: tuple[str, ...] = ()
    regional: bool = False
    where: Mapping[str, Any] = {}
    managed: Callable[[Any], bool] = lambda _: True
    keyed_by: Callable[[Members], str] | None = None
    called: Callable[[Members], str] | None = None
    adopt: Callable[[Members, Members], Members] = lambda _before, after: after
    keep: Callable[[Members, Members], tuple[Members, tuple[str, ...]]] = (
        lambda _before, after: (after, ())
    )
    require_calls: Callable[
        [Members | None, Members], tuple[Members | None, tuple[str, ...]]
    ] = lambda _before, after: (after, ())

    @property
    def label(self) -> str:
        """What messages call one."""
        return self.noun or self.of.kind.label

    def key(self, spec: Described) -> str:
        """What is the same for two that describe the same entity."""
        if self.keyed_by is not None:
            return self.keyed_by(spec.properties)
        said: str = spec.properties[self.name]
        return (
            f"{spec.properties['Region']}/{said}" if self.regional else fold_name(said)
        )

    def name_of(self, spec: Described) -> str:
        """The name of one in messages."""
        if self.called is not None:
            return self.called(spec.properties)
        return str(spec.properties[self.name])

    def parse(
        self, properties: Properties, reading: AccountReading
    ) -> Described | None:
        """What a template describes; None where a property is wrong, which is noted.

        Raises:
            TemplateError: the properties are wrong together.
        """
        results, known = Members(), len(properties.faults)
        for name, read in self.reads.items():
            try:
                results[name] = read(properties, name)
            except TemplateError as error:
                properties.faults.extend(error.faults)
        properties.finish()
        if len(properties.faults) > known:
            return None
        return Described(self.settle(results, properties, reading))

    def show(self, spec: Described) -> Members:
        """The properties as a file has them."""
        shows = {"Tags": shown_tags, **self.shows}
        return {
            name: shows[name](value) if name in shows else _listed(value)
            for name, value in spec.properties.items()
        }

    async def pages(
        self, directory: DirectoryReader, account: AccountId
    ) -> AsyncIterator[list[Described]]:
        """Those that are there, some at a time."""
        listed = partial(directory.page_of, self.of.kind, account, **self.where)
        async for page in read_pages(listed, PAGE):
            listed_entities = [entity for entity in page if self.managed(entity)]
            entities = directory.with_documents(self.of.kind, listed_entities)
            managed = [entity async for entity in entities]
            further = await self.further(managed, directory)
            yield [
                Described({**self._viewed(entity), **more}, entity)
                for entity, more in zip(managed, further, strict=True)
            ]

    async def distinct(
        self, directory: DirectoryReader, account: AccountId
    ) -> AsyncIterator[list[Described]]:
        """The ``pages``, with `TemplateError` where two have the same ``key``."""
        seen: set[str] = set()
        async for page in self.pages(directory, account):
            for key in map(self.key, page):
                if key in seen:
                    raise TemplateError(key, f"several {self.label}s have this name")
                seen.add(key)
            yield page

    async def create(self, work: AccountWork, wanted: Members) -> None:
        """Make one."""
        if self.put is not None:
            await self.put(work, wanted)
            return
        of = self.of if self.made_in is None else self.made_in(work.context)

        async def make(members: Members, at: Work) -> Any:  # noqa: ANN401  # any kind
            return await self.finish(await of.make(members, at), {}, wanted, work)

        await self.check(None, wanted, work)
        params = await self._params(wanted, work)
        at = work.at(wanted.get("Region", ""))
        made = await rules.create(replace(of, make=make), params, at)
        await self.write(work, made, {}, wanted)

    async def update(
        self, work: AccountWork, there: Described, wanted: Members
    ) -> None:
        """Make one what a template describes."""
        if self.put is not None:
            await self.put(work, wanted)
            return
        before = there.properties
        for name in self.constant:
            if before[name] != wanted[name]:
                article = "an" if self.label[0].lower() in "aeiou" else "a"
                raise TemplateError(
                    name,
                    f"{before[name]} of {article} {self.label} cannot become"
                    f" {wanted[name]}; delete it first",
                )
        await self.check(there.found, wanted, work)
        at = work.at(wanted.get("Region", ""))
        params = await self._params(wanted, work)
        changed = await self.of.change(there.found, params, at)
        if "Tags" in wanted:
            changed = replace(changed, tags=wanted["Tags"])
        changed = await self.finish(changed, before, wanted, work)
        await rules.update(self.of, changed, at)
        await self.write(work, changed, before, wanted)

    async def delete(self, work: AccountWork, there: Described) -> None:
        """Remove one with what belongs to it."""
        await self.clear(work, there)
        await work.change.remove(self.of.kind, there.found)

    def refusal(self, error: BrokerError) -> TemplateError:
        """What rules refuse, at the property that it is about."""
        first, dot, rest = error.member.partition(".")
        of_member = {self.members.get(name, name).lower(): name for name in self.reads}
        place = of_member.get(first.lower(), first)
        return TemplateError(f"{place}{dot}{rest}", str(error))

    async def _params(self, wanted: Members, work: AccountWork) -> Members:
        if self.params is not None:
            return await self.params(wanted, work)
        params = {
            self.members.get(name, name): entity for name, entity in wanted.items()
        }
        changed = {member: wanted[name] for name, member in self.renamed.items()}
        return {**params, **changed, "Tags": shown_tags(wanted.get("Tags", {}))}

    def _viewed(self, entity: Any) -> Members:  # noqa: ANN401  # any kind
        view: Mapping[str, Any] = (self.view or self.of.view)(entity)
        results = {name: view.get(self.members.get(name, name)) for name in self.reads}
        return {**results, "Tags": dict(entity.tags)} if "Tags" in results else results


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
