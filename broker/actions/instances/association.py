"""The instance profile that a machine has just now, and the role in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.machines import Instance, InstanceProfile
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, ROLE

if TYPE_CHECKING:
    from broker.model.types import broker as types

POLL_SECONDS = 2
"""How often a machine asks whether its profile changed, at least."""

_POLLS_PER_SECOND = 1000
"""Of all machines of an account: with more machines each asks less often."""

_ID_DIGITS = 17


@dataclass(frozen=True, slots=True)
class Association:
    """A machine with its instance profile and the role in that, if any."""

    instance: Instance
    profile: InstanceProfile | None
    role: Role | None

    @property
    def association_id(self) -> str:
        """Another one after every change that the machine must know of."""
        profile_id = self.profile.profile_id if self.profile else ""
        role = f"{self.role.role_id} {self.role.arn}" if self.role else ""
        text = f"{self.instance.arn} {profile_id} {role}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"iip-assoc-{digest[:_ID_DIGITS]}"


class Associations:
    """Looks them up in the worker's memory."""

    def __init__(self, fresh: FreshDirectory) -> None:
        self._fresh = fresh

    async def find(self, instance: Instance) -> Association:
        """The machine's association as it is now."""
        profile, role = None, None
        account = instance.account
        if instance.profile_id is not None:
            profile = await self._fresh.find(
                INSTANCE_PROFILE, account, instance.profile_id
            )
        if profile is not None and profile.role_id is not None:
            role = await self._fresh.find(ROLE, account, profile.role_id)
        return Association(instance, profile, role)

    async def shown(self, found: Association) -> types.InstanceAssociation:
        """What the machine receives."""
        instance = found.instance
        view: types.InstanceAssociation = {
            "InstanceId": instance.instance_id,
            "InstanceArn": instance.arn,
            "AssociationId": found.association_id,
            "PollSeconds": await self._poll_seconds(instance.account),
        }
        if found.profile is not None:
            view["InstanceProfileArn"] = found.profile.arn
            view["InstanceProfileId"] = found.profile.profile_id
        if found.role is not None:
            view["RoleName"] = found.role.name
            view["RoleArn"] = found.role.arn
        return view

    async def _poll_seconds(self, account: AccountId) -> int:
        count = await self._fresh.count(INSTANCE, account)
        return max(POLL_SECONDS, count // _POLLS_PER_SECOND)
