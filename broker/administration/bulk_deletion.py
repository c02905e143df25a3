"""Deleting several entities of a list at once: what will happen first, then one by one.

Each is deleted by actions of its own, with their own permissions; where one fails, the
page says why and goes on with the next.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from broker.console.visit import Visit, go
from broker.errors import BrokerError, ServiceUnavailable

PICKED_MAX = 50
DO = "delete"


@dataclass(frozen=True, slots=True)
class BulkDeletion:
    """Deletes entities of one kind; ``lines`` say what will happen to each."""

    noun: str
    path: str
    lines: tuple[str, ...]
    delete: Callable[[Visit, str], Awaitable[None]]

    async def answer(self, visit: Visit) -> Response:
        """Answer the form of the list: ask, or delete once that was answered."""
        picked = tuple(dict.fromkeys(visit.form.values("picked")))[:PICKED_MAX]
        if not picked or visit.text("do") != DO:
            return go(self.path)
        if visit.text("sure") != "yes":
            return await self._show(visit, picked)
        failed: list[str] = []
        for name in picked:
            try:
                await self.delete(visit, name)
            except ServiceUnavailable:
                raise
            except BrokerError as error:
                failed.append(f"{name}: {error.words}")
        if not failed:
            return visit.done(f"{self._counted(len(picked))} deleted.", self.path)
        visit.status = 400
        return await self._show(visit, picked, failed)

    async def _show(
        self, visit: Visit, picked: tuple[str, ...], failed: list[str] | None = None
    ) -> Response:
        return await visit.show(
            "admin/bulk_delete.html",
            title=f"Delete {self._counted(len(picked))}",
            noun=self.noun,
            path=self.path,
            lines=self.lines,
            picked=picked,
            deleted=len(picked) - len(failed or ()),
            failed=failed,
        )

    def _counted(self, count: int) -> str:
        return f"{count} {self.noun}" if count == 1 else f"{count} {self.noun}s"
