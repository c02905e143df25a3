"""The directory as the hot path reads it: remembered, at most a second old.

Every look-up costs no query while nothing that it depends on changes.
"""

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from broker.model.account import AccountId
from broker.model.provisioned import Membership, ProvisionedUser
from broker.model.revocation import Revocations
from broker.stores.directory import readings
from broker.stores.directory.entity_tables import Entity, name_key
from broker.stores.directory.kind import WHOLE, Key, Reading, Remembered

Value = TypeVar("Value")


class Memo(Protocol):
    """What ``Freshness`` gives; see there."""

    async def read(
        self, account: AccountId, reading: Reading[Value], key: Key = WHOLE
    ) -> Value:
        """What a reading finds under a key."""
        ...

    async def get(
        self, account: AccountId, key: Hashable, compute: Callable[[], Awaitable[Value]]
    ) -> Value:
        """What is computed of readings of the account, until any of it changes."""
        ...

    async def keep(
        self, account: AccountId, key: Hashable, compute: Callable[[], Awaitable[Value]]
    ) -> Value:
        """What is computed of nothing but the key."""
        ...


class FreshDirectory:
    """Look-ups of single entities, as ``Memo.read`` remembers them."""

    def __init__(self, memo: Memo) -> None:
        self.memo = memo
        self.read = memo.read

    def find(
        self, kind: Remembered[Entity], account: AccountId, key: str = WHOLE
    ) -> Coroutine[Any, Any, Entity | None]:
        """One by its id; the only one of its kind without."""
        return self.read(account, kind.by_key, key)

    def named(
        self, kind: Remembered[Entity], account: AccountId, name: str
    ) -> Coroutine[Any, Any, Entity | None]:
        """One by its name."""
        return self.read(account, kind.by_name, kind.named(name))

    def all_of(
        self, kind: Remembered[Entity], account: AccountId
    ) -> Coroutine[Any, Any, tuple[Entity, ...]]:
        """All of an account."""
        return self.read(account, kind.whole, WHOLE)

    def count(
        self, kind: Remembered[Any], account: AccountId
    ) -> Coroutine[Any, Any, int]:
        """How many an account has."""
        return self.read(account, kind.number, WHOLE)

    def policy_text(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, str | None]:
        """The version in force of a managed policy, found without regard to case."""
        return self.read(account, readings.POLICY_TEXT, name_key(name))

    def revocations(self, account: AccountId) -> Coroutine[Any, Any, Revocations]:
        """What is revoked in the account."""
        return self.read(account, readings.REVOKED, WHOLE)

    async def provisioned_person(
        self, account: AccountId, provider_id: str, attribute: str, value: str
    ) -> tuple[Sequence[ProvisionedUser], Sequence[Membership]]:
        """The people in a provider's directory with a value, and the groups of the first.

        Those who were deleted come last, and have none.
        """
        exact = attribute == "externalId"
        key = (provider_id, value if exact else name_key(value))
        people = await self.read(account, readings.PEOPLE[attribute], key)
        if not people or people[0].departed_at is not None:
            return people, ()
        memberships = await self.read(account, readings.MEMBERSHIPS, people[0].user_id)
        return people, memberships
