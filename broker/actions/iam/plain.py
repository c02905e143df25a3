"""What operations do alike for every kind that is named, made, listed and removed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from broker.actions.action import Call
from broker.actions.iam import views
from broker.actions.iam.paging import page_request, stored_page, truncation
from broker.kinds import kind as rules
from broker.kinds.kind import Named
from broker.model.request import Given
from broker.stores.directory.entity_tables import Entity

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plain(Generic[Entity]):
    """The handlers of a kind, to be declared under the names of its operations.

    ``views`` shows more of some than the kind's own view.
    """

    of: Named[Entity]
    views: Callable[[Sequence[Entity], Call], Awaitable[Sequence[Any]]] | None = None

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
        page = await stored_page(
            call.directory.page_of(
                self.of.kind,
                call.account,
                page_request(given),
                under=given.get("PathPrefix", ""),
                **where,
            )
        )
        shown = await self._show(page.items, call)
        return {self.of.many: list(shown), **truncation(page)}

    async def update(self, given: Given, call: Call) -> None:
        """Change one."""
        found = await self.find(given, call)
        wanted = await self.of.change(found, given, call.work)
        await rules.update(self.of, wanted, call.work)

    async def delete(self, given: Given, call: Call) -> None:
        """Remove one that is not in use."""
        found = await self.find(given, call)
        await self.of.check_removal(found, call.directory)
        await call.change.remove(self.of.kind, found)

    async def find(self, given: Given, call: Call) -> Entity:
        """The one that a request names."""
        name = given[self.of.name]
        return await self.of.require(call.directory, call.account, name)

    async def _show(self, found: Sequence[Entity], call: Call) -> Sequence[Any]:
        if self.views is not None:
            return await self.views(found, call)
        return [self.of.view(one) for one in found]
