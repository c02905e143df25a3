"""What operations do alike for every kind that is named, made, listed and removed."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

from broker.actions.action import Action, Call, Handle
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import Target, change, read
from broker.actions.iam.paging import listed, page_request, truncation
from broker.kinds import kind as rules
from broker.kinds.kind import Named
from broker.kinds.names import KeyCase, given_tags, with_tags, without_tags
from broker.model.request import Given
from broker.stores.directory.kind import Entity

Answer = Mapping[str, Any]
_VERB = re.compile("^[A-Z][a-z]+")


@dataclass(frozen=True, slots=True)
class Plain(Generic[Entity]):
    """The handlers of a kind, to be declared under the names of its operations.

    ``views`` shows more of some than the kind's own view; ``target`` is what a request
    names, if not by the kind's own name. Keys of tags may differ only in ``case``.
    """

    of: Named[Entity]
    views: Callable[[Sequence[Entity], Call], Awaitable[Sequence[Any]]] | None = None
    target: Target | None = None
    case: KeyCase = KeyCase.SENSITIVE

    def operations(self, *names: str) -> tuple[Action, ...]:
        """The declarations of plain operations; what a name begins with says which."""
        return tuple(map(self._declared, names))

    def _declared(self, name: str) -> Action:
        of, (verb,) = self.of, _VERB.findall(name)
        handlers: dict[str, Handle] = {
            "Create": self.create,
            "Get": self.get,
            "List": self._list_tags if name.endswith("Tags") else self.list_all,
            "Update": self.update,
            "Delete": self.delete,
            "Tag": self._tag,
            "Untag": self._untag,
        }
        target = self.target or on.named(of)
        if verb == "Create":
            target = on.new(of.resource, of.name)
        elif handlers[verb] == self.list_all:
            target = on.all_of(of.resource)
        if verb in {"Get", "List"}:
            return read(name, handlers[verb], target)
        keys = (on.tag_keys,) if verb == "Untag" else ()
        also = on.renamed(of, f"New{of.name}") if verb == "Update" else None
        return change(name, handlers[verb], target, *keys, also=also)

    async def create(self, given: Given, call: Call) -> Answer:
        """Make one, and show it with its tags, if any."""
        made = await rules.create(self.of, given, call.work)
        tags = getattr(made, "tags", {})
        (shown,) = await self._show([made], call)
        return {self.of.one: shown | ({"Tags": views.tag_list(tags)} if tags else {})}

    async def get(self, given: Given, call: Call) -> Answer:
        """Show one with its tags; without a member for it, as its view shows it."""
        found = await self.find(given, call)
        shown: dict[str, Any]
        (shown,) = await self._show([found], call)
        if not self.of.one:
            return shown
        # With an empty list as well: as recorded, unlike users and roles.
        tags = views.tag_list(found.tags)  # type: ignore[attr-defined]  # as all that are got
        return {self.of.one: {**shown, "Tags": tags}}

    async def list_all(self, given: Given, call: Call, **where: object) -> Answer:
        """A page of those below a path."""
        page = await call.directory.page_of(
            self.of.kind,
            call.account,
            page_request(given),
            under=given.get("PathPrefix", ""),
            **where,
        )
        shown = await self._show(page.items, call)
        return {self.of.many: list(shown), **truncation(page)}

    async def update(self, given: Given, call: Call) -> None:
        """Change one."""
        found = await self.get_own(given, call)
        wanted = await self.of.change(found, given, call.work)
        await rules.update(self.of, wanted, call.work)

    async def delete(self, given: Given, call: Call) -> None:
        """Remove one that is not in use."""
        found = await self.get_own(given, call)
        await self.of.check_removal(found, call.directory)
        await call.change.remove(self.of.kind, found)

    async def find(self, given: Given, call: Call) -> Entity:
        """The one that a request names."""
        name = given[self.of.name]
        return await self.of.require(call.directory, call.account, name)

    async def get_own(self, given: Given, call: Call) -> Entity:
        """The same, to be changed."""
        return await self.find(given, call)

    async def _tag(self, given: Given, call: Call) -> None:
        new = given_tags(given["Tags"], self.case)
        found: Any = await self.get_own(given, call)
        merged = with_tags(found.tags, new, self.case)
        await call.change.update(self.of.kind, replace(found, tags=merged))

    async def _untag(self, given: Given, call: Call) -> None:
        found: Any = await self.get_own(given, call)
        left = without_tags(found.tags, given["TagKeys"], self.case)
        await call.change.update(self.of.kind, replace(found, tags=left))

    async def _list_tags(self, given: Given, call: Call) -> Answer:
        found: Any = await self.find(given, call)
        tags = list(found.tags.items())
        return listed(
            "Tags",
            tags,
            lambda tag: tag[0],
            given,
            lambda tag: {"Key": tag[0], "Value": tag[1]},
        )

    async def _show(self, found: Sequence[Entity], call: Call) -> Sequence[Any]:
        if self.views is not None:
            return await self.views(found, call)
        return [self.of.view(one) for one in found]
