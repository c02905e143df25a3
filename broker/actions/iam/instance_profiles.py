"""Instance profiles: their making, the role inside, lists and deletion."""

from typing import Any

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import ActionTarget, change, read
from broker.actions.iam.paging import page_request, stored_page, truncation
from broker.actions.iam.passing import passing
from broker.identities import instance_profiles
from broker.identities.accounts import require_account
from broker.identities.roles import require_role
from broker.identities.tags import KeyCase, checked_tags
from broker.identities.trust import shown_trust_policies
from broker.model.arn import iam_arn
from broker.model.machines import InstanceProfile
from broker.model.request import Given
from broker.stores.directory.kinds import INSTANCE_PROFILE

_MACHINES = "ec2.amazonaws.com"


async def instance_profile(given: Given, call: Call) -> ActionTarget:
    """The instance profile ``InstanceProfileName``."""
    name = given["InstanceProfileName"]
    found = await call.directory.named(INSTANCE_PROFILE, call.account, name)
    shown = f"instance profile {name}"
    if found is None:
        arn = iam_arn(call.account, f"instance-profile/{name}")
        return ActionTarget(arn, shown=shown)
    return ActionTarget(found.arn, on.resource_tags(found.tags), shown=shown)


async def _create(given: Given, call: Call) -> dict[str, Any]:
    profile = await instance_profiles.create_instance_profile(
        call.change,
        await require_account(call.change, call.account),
        name=given["InstanceProfileName"],
        path=given.get("Path", "/"),
        tags=checked_tags(views.given_tags(given.get("Tags", ())), KeyCase.SENSITIVE),
        now=call.now,
    )
    return {"InstanceProfile": await _view(profile, call, tags=bool(profile.tags))}


async def _get(given: Given, call: Call) -> dict[str, Any]:
    profile = await _require(given, call)
    # With an empty list as well: as recorded, unlike users and roles.
    return {"InstanceProfile": await _view(profile, call, tags=True)}


async def _list_all(given: Given, call: Call) -> dict[str, Any]:
    page = await stored_page(
        call.directory.page_of(
            INSTANCE_PROFILE,
            call.account,
            page_request(given),
            under=given.get("PathPrefix", "/"),
        )
    )
    return {
        "InstanceProfiles": [await _view(profile, call) for profile in page.items],
        **truncation(page),
    }


async def _list_for_role(given: Given, call: Call) -> dict[str, Any]:
    role = await require_role(call.directory, call.account, given["RoleName"])
    page = await stored_page(
        call.directory.page_of(
            INSTANCE_PROFILE, call.account, page_request(given), role_id=role.role_id
        )
    )
    return {
        "InstanceProfiles": [await _view(profile, call) for profile in page.items],
        **truncation(page),
    }


async def _delete(given: Given, call: Call) -> None:
    profile = await _require(given, call)
    await instance_profiles.delete_instance_profile(call.change, profile)


async def _add_role(given: Given, call: Call) -> None:
    profile = await _require(given, call)
    role = await require_role(call.change, call.account, given["RoleName"])
    await instance_profiles.add_role(call.change, profile, role)


async def _remove_role(given: Given, call: Call) -> None:
    profile = await _require(given, call)
    role = await require_role(call.change, call.account, given["RoleName"])
    await instance_profiles.remove_role(call.change, profile, role)


async def _require(given: Given, call: Call) -> InstanceProfile:
    return await instance_profiles.require_instance_profile(
        call.directory, call.account, given["InstanceProfileName"]
    )


async def _view(
    profile: InstanceProfile, call: Call, *, tags: bool = False
) -> dict[str, Any]:
    roles = []
    if profile.role_id is not None:
        role = await call.directory.find_role_by_id(call.account, profile.role_id)
        if role is not None:
            (shown,) = await shown_trust_policies(call.directory, [role.trust_policy])
            roles.append(views.contained_role(role, shown))
    view: dict[str, Any] = {**views.instance_profile(profile, roles)}
    if tags:
        view["Tags"] = views.tag_list(profile.tags)
    return view


INSTANCE_PROFILES = (
    change(
        "CreateInstanceProfile",
        _create,
        on.new("instance-profile", "InstanceProfileName"),
    ),
    read("GetInstanceProfile", _get, instance_profile),
    read("ListInstanceProfiles", _list_all, on.all_of("instance-profile")),
    read("ListInstanceProfilesForRole", _list_for_role, on.role),
    passing(
        change("AddRoleToInstanceProfile", _add_role, instance_profile),
        on.role,
        _MACHINES,
    ),
    change("RemoveRoleFromInstanceProfile", _remove_role, instance_profile),
    change("DeleteInstanceProfile", _delete, instance_profile),
)
