"""The operations that users, roles and groups share, named after one of them.

Inline policies and attached managed policies work the same for all, permissions
boundaries for users and roles: a row of `OWNERS` and one handler a piece.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.actions.action import Call
from broker.actions.iam import targets
from broker.actions.iam.declare import Keys, Target
from broker.identities.groups import require_group
from broker.identities.owners import Owner
from broker.identities.roles import require_role
from broker.identities.users import require_user
from broker.model.account import AccountId
from broker.model.entities import Role, User
from broker.model.request import Given
from broker.stores.directory import kinds
from broker.stores.directory.port import DirectoryChange, DirectoryReader

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OwnerOperations:
    """How operations name one kind of owner, and how it is found."""

    noun: str
    parameter: str
    target: Target
    require: Callable[[DirectoryReader, AccountId, str], Awaitable[Owner]]
    held: tuple[Keys, ...] = (targets.boundary_held,)
    """Condition keys of what the owner has already."""

    async def read(self, given: Given, call: Call) -> Owner:
        """The owner that a reading request names."""
        return await self.require(call.directory, call.account, given[self.parameter])

    async def changing(self, given: Given, call: Call) -> Owner:
        """The owner that a changing request names, inside the transaction."""
        return await self.require(call.change, call.account, given[self.parameter])


ROLE = OwnerOperations("Role", "RoleName", targets.role, require_role)
USER = OwnerOperations("User", "UserName", targets.user, require_user)
GROUP = OwnerOperations("Group", "GroupName", targets.group, require_group, ())
OWNERS = (ROLE, USER, GROUP)
BOUNDED = (ROLE, USER)


async def set_boundary(
    change: DirectoryChange, owner: Owner, boundary_arn: str | None
) -> None:
    """Write an owner's permissions boundary, or that it has none."""
    if isinstance(owner, User):
        await change.update(kinds.USER, replace(owner, boundary_arn=boundary_arn))
    elif isinstance(owner, Role):
        await change.update(kinds.ROLE, replace(owner, boundary_arn=boundary_arn))
