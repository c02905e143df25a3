"""Users and roles with the texts of their policies, as a change finds and leaves them.

What a change did not write is read once: it was the same before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from msgspec import Struct

from broker.kinds.managed_policies import find_aws_managed
from broker.model.account import AccountId
from broker.model.entities import Group, InlinePolicy, Role, User
from broker.model.principal import Principal
from broker.policy import PolicyKind
from broker.stores.directory.identities import list_memberships
from broker.stores.directory.policies import (
    documents_in_force,
    find_owners,
    list_attachments_of,
    list_inline_policies_of,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.statements import arn_key
from broker.stores.schema import (
    ATTACHMENTS,
    GROUP_MEMBERS,
    INLINE_POLICIES,
    MANAGED_POLICIES,
    ROLES,
    USERS,
)

SESSION = "example"
"""The name of a role's session."""

_NO_POLICY = '{"Version":"2012-10-17","Statement":[]}'
_IDENTITIES = frozenset({USERS.name, ROLES.name, GROUP_MEMBERS.name})


class HeldPolicy(NamedTuple):
    """A policy: what answers call it, how it is read, and of which resource it is."""

    label: str
    kind: PolicyKind
    text: str
    arn: str = ""


class PolicyHolder(Struct, frozen=True):
    """A user or role with the policies that are its own, and its boundary."""

    principal: Principal
    tags: tuple[tuple[str, str], ...] | None
    identity: tuple[HeldPolicy, ...]
    boundary: HeldPolicy | None


class HolderReading(Struct, frozen=True):
    """What was read of some users and roles; ``documents`` are by the policy's ARN."""

    entities: tuple[User | Role, ...]
    owners: Mapping[str, tuple[str, ...]]
    inline: Mapping[str, tuple[InlinePolicy, ...]]
    attached: Mapping[str, tuple[str, ...]]
    documents: Mapping[str, str]

    def holders(self) -> dict[str, PolicyHolder]:
        """The users and roles, by unique id."""
        return {_unique_id(entity): self._holder(entity) for entity in self.entities}

    def _holder(self, entity: User | Role) -> PolicyHolder:
        owners = self.owners[_unique_id(entity)]
        texts = [
            HeldPolicy(f"inline:{policy.name}", PolicyKind.IDENTITY, policy.document)
            for owner in owners
            for policy in self.inline.get(owner, ())
        ]
        texts += (
            HeldPolicy(arn, PolicyKind.IDENTITY, self.documents[arn])
            for owner in owners
            for arn in self.attached.get(owner, ())
            if arn in self.documents
        )
        boundary = None
        if entity.boundary_arn is not None:
            text = self.documents.get(entity.boundary_arn, _NO_POLICY)
            boundary = HeldPolicy(entity.boundary_arn, PolicyKind.BOUNDARY, text)
        return PolicyHolder(
            _principal(entity),
            tuple(sorted(entity.tags.items())) if isinstance(entity, User) else None,
            tuple(dict.fromkeys(texts)),
            boundary,
        )


async def read_holders(
    directory: DirectoryReader, account: AccountId, ids: Sequence[str]
) -> HolderReading:
    """Users and roles of an account, by unique id."""
    entities = [
        owner
        for owner in await find_owners(directory, account, ids)
        if not isinstance(owner, Group)
    ]
    users = [entity.user_id for entity in entities if isinstance(entity, User)]
    groups = await list_memberships(directory, account, users) if users else {}
    owners = {
        unique_id: (
            unique_id,
            *(group.group_id for group in groups.get(unique_id, ())),
        )
        for unique_id in map(_unique_id, entities)
    }
    every = sorted({*chain.from_iterable(owners.values())})
    attached = await list_attachments_of(directory, account, every)
    return HolderReading(
        tuple(entities),
        owners,
        await list_inline_policies_of(directory, account, every),
        attached,
        await _documents(directory, account, _used(entities, attached)),
    )


async def read_earlier(
    directory: DirectoryReader,
    account: AccountId,
    ids: Sequence[str],
    now: HolderReading,
    written: Collection[str],
) -> HolderReading:
    """The same before a change that wrote to these tables and no others."""
    if not _IDENTITIES.isdisjoint(written):
        return await read_holders(directory, account, ids)
    every = sorted({*chain.from_iterable(now.owners.values())})
    inline, attached, documents = now.inline, now.attached, dict(now.documents)
    if INLINE_POLICIES.name in written:
        inline = await list_inline_policies_of(directory, account, every)
    if ATTACHMENTS.name in written:
        attached = await list_attachments_of(directory, account, every)
    used = _used(now.entities, attached)
    if MANAGED_POLICIES.name in written:
        documents = await _documents(directory, account, used)
    elif missing := used - documents.keys():
        documents.update(await _documents(directory, account, missing))
    return HolderReading(now.entities, now.owners, inline, attached, documents)


def _used(
    entities: Iterable[User | Role], attached: Mapping[str, Iterable[str]]
) -> set[str]:
    bounds = {e.boundary_arn for e in entities if e.boundary_arn is not None}
    return bounds.union(*attached.values())


async def _documents(
    directory: DirectoryReader, account: AccountId, arns: Collection[str]
) -> dict[str, str]:
    """The texts in force of managed policies that are there."""
    aws = {arn: policy for arn in arns if (policy := find_aws_managed(arn)) is not None}
    own = {
        arn: arn_key(arn) for arn in arns if arn not in aws and f":{account}:" in arn
    }
    texts = await documents_in_force(directory, account, {*own.values()}) if own else {}
    return {
        **{arn: policy.default_version.document for arn, policy in aws.items()},
        **{arn: texts[key] for arn, key in own.items() if key in texts},
    }


def _unique_id(entity: User | Role) -> str:
    return entity.user_id if isinstance(entity, User) else entity.role_id


def _principal(entity: User | Role) -> Principal:
    if isinstance(entity, User):
        return Principal.user(
            entity.account,
            user_id=entity.user_id,
            path=entity.path,
            name=entity.name,
        )
    return Principal.role_session(
        entity.account,
        role_id=entity.role_id,
        path=entity.path,
        role_name=entity.name,
        session_name=SESSION,
    )
