"""What is the same for every kind of thing."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy.sql import Executable

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import AnyRow, Entity
from broker.stores.directory.kind import WHOLE, Kind, Remembered


class Finder(Protocol):
    """Finds what workers remember: in the directory, or in their memory."""

    async def find(
        self, kind: Remembered[Entity], account: AccountId, key: str = WHOLE
    ) -> Entity | None:
        """One by its id; the only one of its kind without."""
        ...

    async def named(
        self, kind: Remembered[Entity], account: AccountId, name: str
    ) -> Entity | None:
        """One by its name."""
        ...


class EntityReader(Protocol):
    """Finds and lists things of any kind."""

    async def rows(
        self, statement: Executable, parameters: Mapping[str, object] | None = None
    ) -> Sequence[AnyRow]:
        """All rows of a statement, for the queries that stand beside a kind."""
        ...

    async def find(
        self, kind: Kind[Entity], account: AccountId, key: str = WHOLE
    ) -> Entity | None:
        """One by its id; the only one of its kind without."""
        ...

    async def named(
        self, kind: Kind[Entity], account: AccountId, name: str
    ) -> Entity | None:
        """One by its name."""
        ...

    async def all_of(
        self, kind: Kind[Entity], account: AccountId, /, **where: object
    ) -> tuple[Entity, ...]:
        """All whose columns have these values, in the order of their kind."""
        ...

    async def page_of(
        self,
        kind: Kind[Entity],
        account: AccountId,
        page: PageRequest,
        /,
        *,
        under: str = "",
        **where: object,
    ) -> Page[Entity]:
        """Some of those whose columns have these values, below a path.

        Raises:
            InvalidMarkerError: the marker is none of ours.
        """
        ...

    async def count(
        self, kind: Kind[Any], account: AccountId, /, **where: object
    ) -> int:
        """How many there are whose columns have these values."""
        ...


class EntityChange(EntityReader, Protocol):
    """Writes things of any kind."""

    async def insert(self, kind: Kind[Entity], entity: Entity) -> None:
        """Write a new one.

        Raises:
            AlreadyExistsError: its name is taken.
        """
        ...

    async def update(self, kind: Kind[Entity], entity: Entity) -> None:
        """Write the whole of one that is there, but for what its kind keeps.

        Raises:
            AlreadyExistsError: its new name is taken.
        """
        ...

    async def put(self, kind: Kind[Entity], entity: Entity) -> None:
        """Insert it, or update the one of the same id."""
        ...

    async def remove(self, kind: Kind[Entity], entity: Entity) -> None:
        """Remove it with what it owns; end the sessions that it vouched for."""
        ...
