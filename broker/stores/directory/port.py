"""The directory's port: what every implementation promises.

Absent entities read as None. Names of users, roles and policies are unique per
account without regard to case and found without regard to it, as in AWS. Lists are
ordered by name (without regard to case) and stay stable while others write: an item
that is there the whole time is listed exactly once.

What is the same for every kind of thing stands here, and is one method for all of them.
What is asked of one kind alone is a function in the module of its family, which takes a
reader or a change.
"""

from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from operator import methodcaller
from typing import Any, Protocol

from sqlalchemy import Column, Table, delete, func, select
from sqlalchemy.sql import ColumnElement, Executable

from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.model.credentials import MfaDevice, MfaState, Passkey
from broker.model.page import Page, PageRequest
from broker.model.revocation import Revocations
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.kind import WHOLE, AnyRow, Entity, Kind, Remembered
from broker.stores.directory.kinds import KINDS
from broker.stores.directory.statements import (
    RevocationReads,
    RevocationWrites,
    has_nul,
    select_all,
    under_path,
)
from broker.stores.directory.timeline import NEVER, ChangeId
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import GENERATIONS

_LAST_CHANGES = select(
    GENERATIONS.c.account, GENERATIONS.c.generation, GENERATIONS.c.mark
)
_ACCOUNTS_A_QUERY = 500
_KIND_IN: dict[Table, Kind[Any]] = {kind.table: kind for kind in KINDS}


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

    async def revocations(self, account: AccountId) -> Revocations:
        """What is revoked in the account."""
        ...


class DirectoryReader(RevocationReads, Protocol):
    """Every read; each raises ``StoreUnavailableError`` when the database is away."""

    async def find(
        self, kind: Kind[Entity], account: AccountId, key: str = WHOLE
    ) -> Entity | None:
        """One by its id; the only one of its kind without."""
        return await self.find_entity(
            kind.stored, **{kind.key: key, "account": account}
        )

    async def named(
        self, kind: Kind[Entity], account: AccountId, name: str
    ) -> Entity | None:
        """One by its name."""
        return await self.find_entity(
            kind.stored, **{kind.name: kind.named(name), "account": account}
        )

    async def all_of(
        self, kind: Kind[Entity], account: AccountId, /, **where: object
    ) -> tuple[Entity, ...]:
        """All whose columns have these values, in the order of their kind.

        Without their documents, for which there is ``with_documents``.
        """
        if has_nul(where.values()):
            return ()
        params = {name: entity for name, entity in where.items() if entity is not None}
        absent = tuple(name for name in where if name not in params)
        statement = select_all(kind, ("account", *params), absent)
        rows = await self.rows(statement, {"account": account, **params})
        return tuple(map(kind.stored.read_listed, rows))

    async def with_documents(
        self, kind: Kind[Entity], listed: Iterable[Entity]
    ) -> AsyncIterator[Entity]:
        """Those of a list with their documents, one read at a time; not those gone."""
        for entity in listed:
            if not kind.stored.has_documents:
                yield entity
                continue
            values = kind.stored.values(entity)
            key = {name: values[name] for name in ("account", kind.key)}
            whole = await self.find_entity(kind.stored, **key)
            if whole is not None:
                yield whole

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

        Without their documents, for which there is ``with_documents``.

        Raises:
            ValidationError: the marker is none of ours.
        """
        columns = kind.table.c
        statement = kind.stored.listed.where(
            columns.account == account,
            *(columns[name] == value for name, value in where.items()),
        )
        if under:
            statement = statement.where(under_path(columns.path, under))
        return await self.page(
            statement, page, kind.page_order, kind.stored.read_listed
        )

    async def count(
        self, kind: Kind[Any], account: AccountId, /, **where: object
    ) -> int:
        """How many there are whose columns have these values."""
        columns = kind.table.c
        return await self.number(
            select(func.count()).where(
                columns.account == account,
                *(columns[name] == value for name, value in where.items()),
            )
        )

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of the statement that also serves as the health check."""
        return await self.rows(statement)

    async def last_changes(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, ChangeId]:
        """The last change of each account, of the given accounts only; of all for None.

        Its generation is raised by each committed change and lowered by none, not even
        by an account's deletion; an account that never was has none. The database is
        asked even when no account is given.
        """
        if accounts is None:
            rows: list[Any] = [*await self.rows(_LAST_CHANGES)]
        else:
            rows = await self._last_changes_of(list(accounts))
        return {account: ChangeId(number, mark) for account, number, mark in rows}

    async def new_changes(
        self, known: Mapping[AccountId, ChangeId]
    ) -> Mapping[AccountId, ChangeId]:
        """The last change of each account for which another is known; NEVER for none.

        The database is asked even when no account is given.
        """
        results: dict[AccountId, ChangeId] = {}
        missing = dict(known)
        # Many thousand rows, four times a second: no object for each.
        for account, number, mark in await self._last_changes_of(list(known)):
            last = missing.pop(account)
            if number != last[0] or mark != last[1]:
                results[account] = ChangeId(number, mark)
        for account, last in missing.items():
            if last != NEVER:
                results[account] = NEVER
        return results

    async def _last_changes_of(
        self, accounts: list[AccountId]
    ) -> list[tuple[AccountId, int, int]]:
        rows: list[Any] = []
        # An empty list still asks: the answer shows that the database is there.
        for start in range(0, max(1, len(accounts)), _ACCOUNTS_A_QUERY):
            some = accounts[start : start + _ACCOUNTS_A_QUERY]
            rows += await self.watched_rows(
                _LAST_CHANGES.where(GENERATIONS.c.account.in_(some))
            )
        return rows


class DirectoryChange(DirectoryReader, RevocationWrites, Protocol):
    """One open transaction on one account. Reads see its own writes.

    Whatever AWS calls a delete conflict has been checked by the caller.
    """

    async def record(self, entry: AuditRecord) -> None:
        """Write the call's audit record into this very transaction."""
        ...

    async def insert(self, kind: Kind[Entity], entity: Entity) -> None:
        """Write a new one.

        Raises:
            AlreadyExistsError: its name is taken.
        """
        if not await self.insert_if_free(kind.table, kind.stored.values(entity)):
            raise AlreadyExistsError(kind.label)

    async def update(self, kind: Kind[Entity], entity: Entity) -> None:
        """Write the whole of one that is there, but for what its kind keeps.

        Raises:
            AlreadyExistsError: its new name is taken.
        """
        values = kind.stored.values(entity)
        key = {text: values[text] for text in ("account", kind.key)}
        for name in kind.kept:
            del values[name]
        if kind.name == "name_key":
            await self._write_named(kind.table, values, kind.label, kind.key)
        else:
            await self._write_by(kind.table, values, **key)

    async def put(self, kind: Kind[Entity], entity: Entity) -> None:
        """Insert it, or update the one of the same id."""
        values = kind.stored.values(entity)
        if not await self.insert_if_free(kind.table, values):
            await self.update(kind, entity)

    async def remove(self, kind: Kind[Entity], entity: Entity) -> None:
        """Remove it with what it owns; end the sessions that it vouched for."""
        values = kind.stored.values(entity)
        account, key = AccountId(str(values["account"])), values[kind.key]
        for table, rows in _owned(kind, lambda column: column == key, account):
            await self.run(delete(table).where(rows))
        await self.delete_by(kind.table, **{kind.key: key, "account": account})
        if kind.vouches:
            arn: str = entity.arn  # type: ignore[attr-defined]  # as all that vouch
            await self._end_vouched_for(account, arn, str(key))
        if kind.admits:
            await self._end_admitted(account, str(key))


class Directory(DirectoryReader, Protocol):
    """The directory of all accounts."""

    def change(
        self, account: AccountId, *held: AccountId, is_above: bool = False
    ) -> AbstractAsyncContextManager[DirectoryChange]:
        """Open the one transaction of a changing call.

        Changes of the accounts ``held`` that run are waited for, and none begins before
        this one is over: what is read of them is true when it is committed.

        Before it commits, what it comes to is judged by the account's invariants; a
        change of the operator's own ``is_above`` them, which is then recorded.

        Commits when the block ends, after raising the account's generation; rolls
        back when it raises. Changes of one account run one after the other. Those that
        wait for each other may be committed together; none returns before that.

        Raises:
            AccessDenied: it would break an invariant, and was rolled back.
            ConflictError: the transaction collided and was rolled back.
            StoreUnavailableError: the database is away; nothing was written.
        """
        ...

    def on_commit(
        self, observer: Callable[[AccountId, ChangeId, ChangedRows], None]
    ) -> None:
        """Call the observer after each committed change of this process.

        The observer gets the account, the change, and which rows it wrote.
        """
        ...

    def require(self, find_known: Callable[[AccountId], ChangeId]) -> None:
        """Refuse changes where the database lacks a known one of the same account.

        They raise ``StoreUnavailableError``, and nothing is written.
        """
        ...

    async def changes(
        self, since: Mapping[AccountId, int]
    ) -> Mapping[AccountId, Mapping[ChangeId, ChangedRows]]:
        """What the changes from a generation of each account on wrote.

        Only the latest are kept: one that is missing may have written anything.
        """
        ...

    async def announce_timeline(self, last: ChangeId) -> ChangeId:
        """Let every worker know that the database lacks changes that were seen in it.

        ``last`` is the last change of ``TIMELINES``; where it is no more, another process
        was first. Returns the change that says it.
        """
        ...

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        """Compare and set: whether the device still was in ``device.state``.

        Durable when it returns. It decides nothing else, so the account's generation
        stays.
        """
        ...

    async def replace_passkey_use(self, passkey: Passkey, used: Passkey) -> bool:
        """Compare and set ``sign_count`` and ``last_used_at``.

        Whether the passkey still was there with ``passkey.sign_count``. Durable when
        it returns; the account's generation stays.
        """
        ...

    async def close(self) -> None: ...


def _owned(
    kind: Kind[Any],
    is_of_one: Callable[[Column[Any]], ColumnElement[bool]],
    account: AccountId,
) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """The rows that go with some of a kind, each after those that go with it."""
    for column in kind.owns:
        table = column.table
        rows = (table.c.account == account) & is_of_one(column)
        if owner := _KIND_IN.get(table):
            ids = select(table.c[owner.key]).where(rows)
            yield from _owned(owner, methodcaller("in_", ids), account)
        yield table, rows
