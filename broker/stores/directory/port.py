"""The directory's port: what every implementation promises.

Absent entities read as None. Names of users, roles and policies are unique per
account without regard to case and found without regard to it, as in AWS. Lists are
ordered by name (without regard to case) and stay stable while others write: an item
that is there the whole time is listed exactly once.

What is the same for every kind of thing stands here, and is one method for all of them
(`generic` has its SQL). What is asked of one kind alone is a function in the module of
its family, which takes a reader or a change.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.model.credentials import MfaDevice, MfaState, Passkey
from broker.model.page import Page, PageRequest
from broker.model.revocation import Bar, Revocation, Revocations
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.statements import Reads, Writes
from broker.stores.directory.stored import WHOLE, Entity, Kind, Remembered
from broker.stores.directory.timeline import ChangeId


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


class DirectoryReader(Reads, Protocol):
    """Every read; each raises ``StoreUnavailableError`` when the database is away."""

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
        """All whose columns have these values, in the order of their kind.

        Without their documents, for which there is ``with_documents``.
        """
        ...

    def with_documents(
        self, kind: Kind[Entity], listed: Iterable[Entity]
    ) -> AsyncIterator[Entity]:
        """Those of a list with their documents, one read at a time; not those gone."""
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

        Without their documents, for which there is ``with_documents``.

        Raises:
            ValidationError: the marker is none of ours.
        """
        ...

    async def count(
        self, kind: Kind[Any], account: AccountId, /, **where: object
    ) -> int:
        """How many there are whose columns have these values."""
        ...

    async def last_changes(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, ChangeId]:
        """The last change of each account, of the given accounts only; of all for None.

        Its generation is raised by each committed change and lowered by none, not even
        by an account's deletion; an account that never was has none. The database is
        asked even when no account is given.
        """
        ...

    async def new_changes(
        self, known: Mapping[AccountId, ChangeId]
    ) -> Mapping[AccountId, ChangeId]:
        """The last change of each account for which another is known; NEVER for none.

        The database is asked even when no account is given.
        """
        ...

    async def revocations(self, account: AccountId) -> Revocations:
        """Everything of the account that is revoked and not yet past its expiry."""
        ...

    async def list_bars(self, account: AccountId) -> tuple[Bar, ...]:
        """Who is barred, by issuer and subject."""
        ...


class DirectoryChange(DirectoryReader, Writes, Protocol):
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

    async def revoke(self, revocation: Revocation) -> int:
        """Durable; never undone by a cache's loss. How many machines it ended."""
        ...

    async def narrow(self, revocation: Revocation) -> None:
        """Put this in place of a revocation of the same target that reaches further."""
        ...

    async def forget_revocation(self, account: AccountId, target: str) -> int:
        """Take one back; how many there were."""
        ...

    async def write_origins(
        self,
        account: AccountId,
        instance_id: str,
        origins: Iterable[tuple[AccountId, str, int, int]],
    ) -> None:
        """What a machine comes from, in place of what is written: see `Trace.labels`.

        Each has the account in which a revocation may name it.
        """
        ...


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
