"""Instance profiles: their making, the role inside, lists and deletion."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import Target, change, read
from broker.actions.iam.plain import Answer, Plain
from broker.kinds import instances
from broker.kinds.documents import shown_trust_policies
from broker.kinds.roles import require_role
from broker.model.machines import InstanceProfile
from broker.model.request import Given
from broker.permit.need import Need
from broker.stores.directory.kinds import ROLE


def passing(action: Action, role: Target, service: str) -> Action:
    """The action, which then also needs permission to pass ``role`` to a service."""

    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        own = await action.needs(given, call)
        passed = await role(given, call)
        return (
            *own,
            Need(
                action="iam:PassRole",
                resource=passed.arn,
                account=call.account,
                context={**passed.context, "iam:passedtoservice": (service,)},
            ),
        )

    return replace(action, needs=needs)


_MACHINES = "ec2.amazonaws.com"


async def _view(found: InstanceProfile, call: Call) -> dict[str, Any]:
    roles = []
    if found.role_id is not None:
        role = await call.directory.find(ROLE, call.account, found.role_id)
        if role is not None:
            (shown,) = await shown_trust_policies(call.directory, [role.trust_policy])
            roles.append(views.contained_role(role, shown))
    return {**instances.instance_profile_view(found, roles)}


async def _views(found: Sequence[InstanceProfile], call: Call) -> list[dict[str, Any]]:
    return [await _view(one, call) for one in found]


async def _list_for_role(given: Given, call: Call) -> Answer:
    role = await require_role(call.directory, call.account, given["RoleName"])
    return await _PLAIN.list_all(given, call, role_id=role.role_id)


async def _add_role(given: Given, call: Call) -> None:
    profile = await _PLAIN.find(given, call)
    role = await require_role(call.change, call.account, given["RoleName"])
    await instances.add_role(call.change, profile, role)


async def _remove_role(given: Given, call: Call) -> None:
    profile = await _PLAIN.find(given, call)
    role = await require_role(call.change, call.account, given["RoleName"])
    await instances.remove_role(call.change, profile, role)


_PLAIN = Plain(instances.INSTANCE_PROFILES, _views)
_ON = on.named(instances.INSTANCE_PROFILES)

INSTANCE_PROFILES = (
    change(
        "CreateInstanceProfile",
        _PLAIN.create,
        on.new("instance-profile", "InstanceProfileName"),
    ),
    read("GetInstanceProfile", _PLAIN.get, _ON),
    read("ListInstanceProfiles", _PLAIN.list_all, on.all_of("instance-profile")),
    read("ListInstanceProfilesForRole", _list_for_role, on.role),
    passing(change("AddRoleToInstanceProfile", _add_role, _ON), on.role, _MACHINES),
    change("RemoveRoleFromInstanceProfile", _remove_role, _ON),
    change("DeleteInstanceProfile", _PLAIN.delete, _ON),
)
