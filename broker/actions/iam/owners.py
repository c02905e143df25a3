"""The operations that users and roles share, named after the one or the other.

Inline policies, attached managed policies and permissions boundaries work the same
for both: a row of `OWNERS` and one handler a piece.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.actions.action import Call, Given
from broker.actions.iam import targets
from broker.actions.iam.declare import Target
from broker.identities.owners import Owner
from broker.identities.roles import require_role
from broker.identities.users import require_user
from broker.model.account import AccountId
from broker.model.entities import User
from broker.stores.directory.port import DirectoryChange, DirectoryReader

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OwnerOperations:
    """How operations name one kind of owner, and how it is found."""

    noun: str
    parameter: str
    target: Target
    require: Callable[[DirectoryReader, AccountId, str], Awaitable[Owner]]

    async def read(self, given: Given, call: Call) -> Owner:
        """The owner that a reading request names."""
        return await self.require(call.directory, call.account, given[self.parameter])

    async def changing(self, given: Given, call: Call) -> Owner:
        """The owner that a changing request names, inside the transaction."""
        return await self.require(call.change, call.account, given[self.parameter])


ROLE = OwnerOperations("Role", "RoleName", targets.role, require_role)
USER = OwnerOperations("User", "UserName", targets.user, require_user)
OWNERS = (ROLE, USER)


async def set_boundary(
    change: DirectoryChange, owner: Owner, boundary_arn: str | None
) -> None:
    """Write an owner's permissions boundary, or that it has none."""
    if isinstance(owner, User):
        await change.update_user(replace(owner, boundary_arn=boundary_arn))
    else:
        await change.update_role(replace(owner, boundary_arn=boundary_arn))
