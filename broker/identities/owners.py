"""Users, roles and groups as owners of policies."""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.errors import DeleteConflict
from broker.identities.limits import Quota
from broker.model.entities import Group, Role, User
from broker.stores.directory.policies import list_attachments, list_inline_policies
from broker.stores.directory.port import DirectoryReader

Bounded = User | Role
"""What may have a permissions boundary."""

Owner = User | Role | Group


@dataclass(frozen=True, slots=True)
class OwnerKind:
    """How messages and quotas speak of one kind of owner."""

    noun: str
    attached: Quota
    inline_size: Quota


_KINDS: Mapping[type[Owner], OwnerKind] = {
    User: OwnerKind("user", Quota.POLICIES_PER_USER, Quota.USER_INLINE_SIZE),
    Role: OwnerKind("role", Quota.POLICIES_PER_ROLE, Quota.ROLE_INLINE_SIZE),
    Group: OwnerKind("group", Quota.POLICIES_PER_GROUP, Quota.GROUP_INLINE_SIZE),
}


def kind_of(owner: Owner) -> OwnerKind:
    """The kind that an owner is of."""
    return _KINDS[type(owner)]


def owner_id(owner: Owner) -> str:
    """The owner's unique id, by which everything it owns is kept."""
    match owner:
        case User():
            return owner.user_id
        case Role():
            return owner.role_id
        case Group():
            return owner.group_id


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
