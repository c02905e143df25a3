"""Users, roles and groups as owners of policies: inline, attached, or as a boundary."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from broker.errors import (
    DeleteConflict,
    InvalidInput,
    NoSuchEntity,
    PolicyNotAttachable,
)
from broker.kinds.documents import checked_document
from broker.kinds.limits import Quota, require_inline_within, require_within
from broker.kinds.managed_policies import SERVICE_ROLE_POLICIES, find_managed_policy
from broker.kinds.names import parse_policy_arn
from broker.model.account import Account, AccountId
from broker.model.entities import Group, InlinePolicy, Role, User
from broker.model.names import fold_name
from broker.policy import PolicyKind, policy_size
from broker.stores.directory import policies
from broker.stores.directory.kinds import GROUP, ROLE, USER
from broker.stores.directory.policies import list_attachments, list_inline_policies
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.stored import Kind

Bounded = User | Role
"""What may have a permissions boundary."""

Owner = User | Role | Group


class OwnerKind(Struct, frozen=True):
    """How messages and quotas speak of one kind of owner."""

    kind: Kind[Any]
    attached: Quota
    inline_size: Quota

    @property
    def noun(self) -> str:
        """What messages call one."""
        return self.kind.label


_KINDS: Mapping[type[Owner], OwnerKind] = {
    User: OwnerKind(USER, Quota.POLICIES_PER_USER, Quota.USER_INLINE_SIZE),
    Role: OwnerKind(ROLE, Quota.POLICIES_PER_ROLE, Quota.ROLE_INLINE_SIZE),
    Group: OwnerKind(GROUP, Quota.POLICIES_PER_GROUP, Quota.GROUP_INLINE_SIZE),
}


def kind_of(owner: Owner) -> OwnerKind:
    """The kind that an owner is of."""
    return _KINDS[type(owner)]


def owner_id(owner: Owner) -> str:
    """The owner's unique id, by which everything it owns is kept."""
    return str(getattr(owner, kind_of(owner).kind.key))


async def require_no_policies(directory: DirectoryReader, owner: Owner) -> None:
    """Refuse to go on while an owner has policies.

    Raises:
        DeleteConflict: naming what must be removed first.
    """
    unique_id = owner_id(owner)
    if await list_attachments(directory, owner.account, unique_id):
        raise DeleteConflict("Cannot delete entity, must detach all policies first.")
    if await list_inline_policies(directory, owner.account, unique_id):
        raise DeleteConflict("Cannot delete entity, must delete policies first.")


async def put_inline_policy(
    change: DirectoryChange, account: Account, owner: Owner, name: str, document: str
) -> None:
    """Embed a policy, or replace the one of that name, which keeps its own case.

    Raises:
        MalformedPolicyDocument: the document is refused.
        LimitExceeded: all inline policies together would be too large.
    """
    kind = kind_of(owner)
    others = await list_inline_policies(change, owner.account, owner_id(owner))
    replaced = _named(others, name)
    size = policy_size(document) + sum(
        policy_size(policy.document) for policy in others if policy is not replaced
    )
    # Check the size first: only a document that is too large takes long to parse.
    require_inline_within(account, kind.inline_size, size, kind.noun, owner.name)
    checked_document(document, PolicyKind.IDENTITY)
    await policies.put_inline_policy(
        change,
        InlinePolicy(
            account=owner.account,
            owner_id=owner_id(owner),
            name=name if replaced is None else replaced.name,
            document=document,
        ),
    )


async def require_inline_policy(
    directory: DirectoryReader, owner: Owner, name: str
) -> InlinePolicy:
    """An inline policy by name.

    Raises:
        NoSuchEntity: the owner has none of that name.
    """
    there = await list_inline_policies(directory, owner.account, owner_id(owner))
    policy = _named(there, name)
    if policy is None:
        raise NoSuchEntity(
            f"The {kind_of(owner).noun} policy with name {name} cannot be found."
        )
    return policy


async def delete_inline_policy(
    change: DirectoryChange, owner: Owner, name: str
) -> None:
    """Remove an inline policy.

    Raises:
        NoSuchEntity: the owner has none of that name.
    """
    policy = await require_inline_policy(change, owner, name)
    await policies.delete_inline_policy(
        change, owner.account, owner_id(owner), policy.name
    )


def _named(there: Sequence[InlinePolicy], name: str) -> InlinePolicy | None:
    """The policy of a name, without regard to case; one in the same case comes first."""
    same = [policy for policy in there if fold_name(policy.name) == fold_name(name)]
    return next((p for p in same if p.name == name), same[0] if same else None)


async def attach_policy(
    change: DirectoryChange, account: Account, owner: Owner, policy_arn: str
) -> None:
    """Attach a managed policy; one that is attached already stays so.

    Raises:
        ValidationError: that is not a policy's ARN.
        NoSuchEntity: there is no such policy.
        PolicyNotAttachable: it is one of the policies of service-linked roles.
        LimitExceeded: the owner has as many policies as it may.
    """
    parse_policy_arn(policy_arn)
    if await find_managed_policy(change, owner.account, policy_arn) is None:
        raise NoSuchEntity(f"Policy {policy_arn} does not exist or is not attachable.")
    if policy_arn.startswith(SERVICE_ROLE_POLICIES):
        noun = kind_of(owner).noun.capitalize()
        raise PolicyNotAttachable(
            f"Cannot attach a Service Role Policy to a Customer {noun}."
        )
    attached = await list_attachments(change, owner.account, owner_id(owner))
    if policy_arn in attached:
        return
    require_within(account, kind_of(owner).attached, len(attached) + 1)
    await policies.attach_policy(change, owner.account, owner_id(owner), policy_arn)


async def detach_policy(change: DirectoryChange, owner: Owner, policy_arn: str) -> None:
    """Detach a managed policy.

    Raises:
        ValidationError: that is not a policy's ARN.
        NoSuchEntity: it is not attached.
    """
    parse_policy_arn(policy_arn)
    if not await policies.detach_policy(
        change, owner.account, owner_id(owner), policy_arn
    ):
        raise NoSuchEntity(f"Policy {policy_arn} was not found.")


async def checked_boundary(
    directory: DirectoryReader, account: AccountId, policy_arn: str
) -> str:
    """The ARN of a managed policy that may serve as a permissions boundary.

    Raises:
        InvalidInput: that is not a policy's ARN.
        NoSuchEntity: there is no such policy.
    """
    parse_policy_arn(policy_arn, InvalidInput)
    if await find_managed_policy(directory, account, policy_arn) is None:
        raise NoSuchEntity(
            f"Scope ARN: {policy_arn} does not exist or is not attachable."
        )
    return policy_arn
