"""What operations do alike for every kind that is named, made, listed and removed."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic

from msgspec import Struct
from msgspec.structs import replace

from broker.actions.action import Action, Call, Handle
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import Target, change, read
from broker.actions.iam.paging import listed, page_request, truncation
from broker.kinds import rules
from broker.kinds.rules import Named
from broker.kinds.tags import KeyCase, given_tags, with_tags, without_tags
from broker.model.request import Params
from broker.stores.directory.stored import Entity

Answer = Mapping[str, Any]
_VERB = re.compile("^[A-Z][a-z]+")


class Plain(Struct, Generic[Entity], frozen=True):
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

    async def create(self, params: Params, call: Call) -> Answer:
        """Make one, and show it with its tags, if any."""
        made = await rules.create(self.of, params, call.work)
        tags = getattr(made, "tags", {})
        (view,) = await self._show([made], call)
        return {self.of.one: view | ({"Tags": views.tag_list(tags)} if tags else {})}

    async def get(self, params: Params, call: Call) -> Answer:
        """Show one with its tags; without a member for it, as its view shows it."""
        entity = await self.find(params, call)
        view: dict[str, Any]
        (view,) = await self._show([entity], call)
        if not self.of.one:
            return view
        # With an empty list as well: as recorded, unlike users and roles.
        tags = views.tag_list(entity.tags)  # type: ignore[attr-defined]  # as all that are got
        return {self.of.one: {**view, "Tags": tags}}

    async def list_all(self, params: Params, call: Call, **where: object) -> Answer:
        """A page of those below a path."""
        page = await call.directory.page_of(
            self.of.kind,
            call.account,
            page_request(params),
            under=params.get("PathPrefix", ""),
            **where,
        )
        rows = await self._show(page.items, call)
        return {self.of.many: list(rows), **truncation(page)}

    async def update(self, params: Params, call: Call) -> None:
        """Change one."""
        entity = await self.get_own(params, call)
        wanted = await self.of.change(entity, params, call.work)
        await rules.update(self.of, wanted, call.work)

    async def delete(self, params: Params, call: Call) -> None:
        """Remove one that is not in use."""
        entity = await self.get_own(params, call)
        await self.of.check_removal(entity, call.directory)
        await call.change.remove(self.of.kind, entity)

    async def find(self, params: Params, call: Call) -> Entity:
        """The one that a request names."""
        name = params[self.of.name]
        return await self.of.require(call.directory, call.account, name)

    async def get_own(self, params: Params, call: Call) -> Entity:
        """The same, to be changed."""
        return await self.find(params, call)

    async def _tag(self, params: Params, call: Call) -> None:
        new = given_tags(params["Tags"], self.case)
        own: Any = await self.get_own(params, call)
        merged = with_tags(own.tags, new, self.case)
        await call.change.update(self.of.kind, replace(own, tags=merged))

    async def _untag(self, params: Params, call: Call) -> None:
        own: Any = await self.get_own(params, call)
        left = without_tags(own.tags, params["TagKeys"], self.case)
        await call.change.update(self.of.kind, replace(own, tags=left))

    async def _list_tags(self, params: Params, call: Call) -> Answer:
        entity: Any = await self.find(params, call)
        tags = list(entity.tags.items())
        return listed(
            "Tags",
            tags,
            lambda tag: tag[0],
            params,
            lambda tag: {"Key": tag[0], "Value": tag[1]},
        )

    async def _show(self, entities: Sequence[Entity], call: Call) -> Sequence[Any]:
        if self.views is not None:
            return await self.views(entities, call)
        return [self.of.view(entity) for entity in entities]
