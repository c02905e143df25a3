"""What workers remember of the directory, and which rows each reading depends on.

A change writes which rows it inserted, updated or deleted, each by the columns that
readings are looked up by. A reading is outdated under the key that such a row has.

`FreshDirectory` is the directory as the hot path reads it: at most a second old, and
without a query while nothing that a look-up depends on changes.
"""

from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Iterator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from typing import Any, Protocol, TypeVar

from sqlalchemy import Column, Table

from broker.model.account import AccountId
from broker.model.entities import InlinePolicy, PolicyInForce
from broker.model.provisioned import Membership, ProvisionedUser
from broker.model.registered import BearerToken
from broker.model.revocation import Revocations
from broker.model.roles_anywhere import CertificateList
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.identities import list_user_groups
from broker.stores.directory.kinds import (
    CERTIFICATE_LIST,
    KINDS,
    MANAGED_POLICY,
    SCIM_TOKEN,
    SERVICE_TOKEN,
)
from broker.stores.directory.policies import (
    list_attachments,
    list_inline_policies,
    resource_policy_arns,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.provisioning import (
    list_provisioned_memberships,
    list_provisioned_people,
)
from broker.stores.directory.stored import (
    WHOLE,
    Entity,
    Key,
    Kind,
    Reading,
    Remembered,
    name_key,
)
from broker.stores.schema import (
    ATTACHMENTS,
    CERTIFICATE_LISTS,
    GROUP_MEMBERS,
    INLINE_POLICIES,
    MANAGED_POLICIES,
    PROVISIONED_MEMBERS,
    PROVISIONED_USERS,
    RESOURCE_POLICIES,
    REVOCATIONS,
)

GROUPS_OF_PERSON_MAX = 1000

REVOKED = Reading[Revocations](lambda d, a, _: d.revocations(a), {REVOCATIONS: ()})
RESOURCE_POLICY_ARNS = Reading[frozenset[str]](
    lambda d, a, _: resource_policy_arns(d, a), {RESOURCE_POLICIES: ()}
)

MEMBERSHIPS = Reading[Sequence[Membership]](
    lambda d, a, key: list_provisioned_memberships(
        d, a, user_ids=(key,), limit=GROUPS_OF_PERSON_MAX
    ),
    {PROVISIONED_MEMBERS: (PROVISIONED_MEMBERS.c.user_id,)},
)
"""Of a provisioned person. A group that is renamed counts as changed members."""

Value = TypeVar("Value")


def _by_digest(kind: Kind[Any]) -> Reading[Mapping[bytes, BearerToken]]:
    async def load(
        directory: DirectoryReader, account: AccountId, _: Key
    ) -> Mapping[bytes, BearerToken]:
        return {
            entity.digest: entity for entity in await directory.all_of(kind, account)
        }

    return Reading(load, {kind.table: ()})


async def _load_policies_of(
    directory: DirectoryReader, account: AccountId, owner_id: str
) -> tuple[tuple[InlinePolicy, ...], tuple[str, ...]]:
    inline = await list_inline_policies(directory, account, owner_id)
    return inline, await list_attachments(directory, account, owner_id)


async def _load_group_ids(
    directory: DirectoryReader, account: AccountId, user_id: str
) -> tuple[str, ...]:
    groups = await list_user_groups(directory, account, user_id)
    return tuple(group.group_id for group in groups)


async def _load_policy_in_force(
    directory: DirectoryReader, account: AccountId, name: str
) -> PolicyInForce | None:
    policy = await directory.named(MANAGED_POLICY, account, name)
    if policy is None:
        return None
    return PolicyInForce(
        policy_id=policy.policy_id,
        arn=policy.arn,
        document=policy.default_version.document,
    )


async def _load_lists(
    directory: DirectoryReader, account: AccountId, anchor_id: str
) -> tuple[CertificateList, ...]:
    listed = await directory.all_of(CERTIFICATE_LIST, account, anchor_id=anchor_id)
    lists = directory.with_documents(CERTIFICATE_LIST, listed)
    return tuple([certificate_list async for certificate_list in lists])


def _people_by(
    attribute: str, column: Column[Any]
) -> Reading[Sequence[ProvisionedUser]]:
    async def load(
        directory: DirectoryReader, account: AccountId, key: tuple[str, str]
    ) -> Sequence[ProvisionedUser]:
        provider_id, value = key
        return await list_provisioned_people(
            directory, account, provider_id, attribute, value
        )

    return Reading(load, {PROVISIONED_USERS: (PROVISIONED_USERS.c.provider_id, column)})


POLICIES_OF = Reading[tuple[tuple[InlinePolicy, ...], tuple[str, ...]]](
    _load_policies_of,
    {
        INLINE_POLICIES: (INLINE_POLICIES.c.owner_id,),
        ATTACHMENTS: (ATTACHMENTS.c.owner_id,),
    },
)
"""The inline policies of a user, role or group, and the ARNs of those attached."""

GROUP_IDS = Reading[tuple[str, ...]](
    _load_group_ids, {GROUP_MEMBERS: (GROUP_MEMBERS.c.user_id,)}
)
"""The groups that a user is in."""

POLICY_IN_FORCE = Reading[PolicyInForce | None](
    _load_policy_in_force, {MANAGED_POLICIES: (MANAGED_POLICIES.c.name_key,)}
)
"""The version in force of a managed policy; its row names which one that is."""

LISTS_OF_ANCHOR = Reading[tuple[CertificateList, ...]](
    _load_lists,
    {CERTIFICATE_LISTS: (CERTIFICATE_LISTS.c.anchor_id,)},
)
TOKENS: Mapping[Kind[Any], Reading[Mapping[bytes, Any]]] = {
    kind: _by_digest(kind) for kind in (SERVICE_TOKEN, SCIM_TOKEN)
}
"""By digest; join tokens, which are used once, are not remembered."""

PEOPLE = {
    "userName": _people_by("userName", PROVISIONED_USERS.c.name_key),
    "emails": _people_by("emails", PROVISIONED_USERS.c.email),
    "externalId": _people_by("externalId", PROVISIONED_USERS.c.external_id),
}
"""By the attribute that is looked for."""


READINGS: tuple[Reading[Any], ...] = (
    *(
        reading
        for kind in KINDS
        if isinstance(kind, Remembered)
        for reading in kind.readings()
    ),
    POLICIES_OF,
    GROUP_IDS,
    POLICY_IN_FORCE,
    REVOKED,
    LISTS_OF_ANCHOR,
    RESOURCE_POLICY_ARNS,
    *TOKENS.values(),
    *PEOPLE.values(),
    MEMBERSHIPS,
)


def _columns_of(table: Table) -> tuple[Column[Any], ...]:
    columns = [column for reading in READINGS for column in reading.rows.get(table, ())]
    return tuple(dict.fromkeys(columns))


LOOKED_UP_BY: Mapping[str, tuple[Column[Any], ...]] = {
    table.name: _columns_of(table) for reading in READINGS for table in reading.rows
}
"""By table: the columns by which anything is looked up, perhaps none."""

_READINGS_OF: Mapping[str, Sequence[tuple[Reading[Any], tuple[str, ...]]]] = {
    name: [
        (reading, tuple(column.name for column in columns))
        for reading in READINGS
        for table, columns in reading.rows.items()
        if table.name == name
    ]
    for name in LOOKED_UP_BY
}


def any_rows() -> ChangedRows:
    """Any row of whatever is remembered."""
    return ChangedRows(dict.fromkeys(LOOKED_UP_BY))


def outdated_by(
    changed: ChangedRows,
) -> AbstractSet[tuple[Reading[Any], Key | None]]:
    """The readings that depend on rows of a change, with the key; None for every key."""
    return {
        entry
        for table, rows in changed.tables.items()
        for entry in _outdated_by(table, rows)
    }


def _outdated_by(table: str, rows: Any) -> Iterator[tuple[Reading[Any], Key | None]]:  # noqa: ANN401  # as noted
    for reading, columns in _READINGS_OF.get(table, ()):
        if not columns:
            yield reading, WHOLE
        elif rows is None or any(not row.keys() >= {*columns} for row in rows):
            yield reading, None
        else:
            for row in rows:
                values = tuple(row[name] for name in columns)
                yield reading, values if len(values) > 1 else values[0]


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
        self,
        account: AccountId,
        key: Hashable,
        source: Hashable,
        compute: Callable[[], Awaitable[Value]],
    ) -> Value:
        """What is computed of the source and the key alone."""
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

    def policy_in_force(
        self, account: AccountId, name: str
    ) -> Coroutine[Any, Any, PolicyInForce | None]:
        """A customer managed policy, found without regard to case."""
        return self.read(account, POLICY_IN_FORCE, name_key(name))

    def revocations(self, account: AccountId) -> Coroutine[Any, Any, Revocations]:
        """What is revoked in the account."""
        return self.read(account, REVOKED, WHOLE)

    async def provisioned_person(
        self, account: AccountId, provider_id: str, attribute: str, value: str
    ) -> tuple[Sequence[ProvisionedUser], Sequence[Membership]]:
        """The people in a provider's directory with a value, and the groups of the first.

        Those who were deleted come last, and have none.
        """
        exact = attribute == "externalId"
        key = (provider_id, value if exact else name_key(value))
        people = await self.read(account, PEOPLE[attribute], key)
        if not people or people[0].departed_at is not None:
            return people, ()
        memberships = await self.read(account, MEMBERSHIPS, people[0].user_id)
        return people, memberships
