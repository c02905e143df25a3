"""Groups of a directory: their members' roles follow at the next sign-in.

People who are taken out of a group that gives roles have to sign in again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from broker.actions.action import Call
from broker.actions.scim import declare
from broker.kinds import provisioning
from broker.model.provisioned import Membership, ProvisionedGroup
from broker.model.request import Params
from broker.protocols.scim.answers import show_group, show_list
from broker.protocols.scim.requests import (
    MEMBERS_MAX,
    GroupPatch,
    Listing,
    MemberChanges,
    apply_group_patch,
)
from broker.protocols.scim.resources import Group, ScimRejected
from broker.stores.directory.kinds import PROVISIONED_GROUP
from broker.stores.directory.provisioning import (
    list_provisioned_groups,
    list_provisioned_memberships,
    remove_provisioned_members,
)

_MEMBERS_READ = 10_000
_REASON = "the person was removed from a group"


async def _create(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await declare.get_terms(params, call)
    wanted: Group = params[declare.RESOURCE]
    group = await provisioning.create_group(
        call.change,
        terms.directory,
        name=wanted.display_name or "",
        external_id=wanted.external_id or "",
        now=call.now,
    )
    await provisioning.add_members(call.change, terms.directory, group, _ids(wanted))
    declare.note(call, Id=group.group_id, DisplayName=group.name)
    return await _one(params, call, group)


async def _get(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await declare.get_terms(params, call)
    group = await provisioning.require_group(
        call.directory, terms.directory, params[declare.ID]
    )
    return await _one(params, call, group)


async def _list(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await declare.get_terms(params, call)
    listing: Listing = params[declare.LISTING]
    groups, total = await list_provisioned_groups(call.directory, terms.query(listing))
    members: dict[str, list[Membership]] = {}
    if groups and listing.shows("members"):
        ids = [group.group_id for group in groups]
        for membership in await declare.list_memberships(call, group_ids=ids):
            members.setdefault(membership.group_id, []).append(membership)
    resources = [
        show_group(
            group, members.get(group.group_id, ()), params[declare.BASE], listing
        )
        for group in groups
    ]
    return {declare.SHOWN: show_list(resources, total, listing.start)}


async def _put(params: Params, call: Call) -> Mapping[str, Any]:
    wanted: Group = params[declare.RESOURCE]
    steps = MemberChanges(steps=((_ids(wanted), None),))
    return await _change(params, call, wanted, steps)


async def _patch(params: Params, call: Call) -> Mapping[str, Any]:
    patch: GroupPatch = params[declare.PATCH]
    return await _change(params, call, patch, patch.members)


async def _delete(params: Params, call: Call) -> None:
    terms = await declare.get_terms(params, call)
    group = await provisioning.require_group(
        call.change, terms.directory, params[declare.ID]
    )
    declare.check_version(params, group.version)
    declare.note(call, DisplayName=group.name)
    label = terms.group_label(group.name, group.external_id)
    if terms.names_roles(label):
        await _end_members(terms, call, group, keep=())
    await call.change.remove(PROVISIONED_GROUP, group)


async def _change(
    params: Params, call: Call, wanted: Group | GroupPatch, changes: MemberChanges
) -> Mapping[str, Any]:
    terms = await declare.get_terms(params, call)
    before = await provisioning.require_group(
        call.change, terms.directory, params[declare.ID]
    )
    declare.check_version(params, before.version)
    named = wanted if isinstance(wanted, Group) else _patched(before, wanted)
    after = await provisioning.update_group(
        call.change,
        before,
        name=named.display_name or "",
        external_id=named.external_id or "",
        now=call.now,
    )
    declare.note(call, DisplayName=after.name)
    old = terms.group_label(before.name, before.external_id)
    if old != terms.group_label(after.name, after.external_id) and (
        terms.names_roles(old)
    ):
        await _end_members(terms, call, before, keep=())
    for added, removed in changes.steps:
        await _take_out(terms, call, before, removed, keep=added)
        await provisioning.add_members(call.change, terms.directory, after, added)
    return await _one(params, call, after)


async def _take_out(
    terms: declare.Terms,
    call: Call,
    group: ProvisionedGroup,
    removed: tuple[str, ...] | None,
    *,
    keep: tuple[str, ...],
) -> None:
    """Remove these members, or all that are not to be kept (None)."""
    gives_roles = terms.names_roles(terms.group_label(group.name, group.external_id))
    if removed is None:
        kept = frozenset(keep)
        if gives_roles:
            await _end_members(terms, call, group, keep=keep)
        while gone := [
            membership.user_id
            for membership in await provisioning.members_of(
                call.change, group, limit=_MEMBERS_READ
            )
            if membership.user_id not in kept
        ]:
            await remove_provisioned_members(call.change, group, gone)
        return
    if gives_roles and removed:
        there = {
            membership.user_id
            for membership in await list_provisioned_memberships(
                call.change,
                call.account,
                group_ids=(group.group_id,),
                user_ids=removed,
                limit=MEMBERS_MAX,
            )
        }
        await declare.end_sessions_of(call, sorted(there), _REASON)
    await remove_provisioned_members(call.change, group, removed)


async def _end_members(
    terms: declare.Terms, call: Call, group: ProvisionedGroup, *, keep: tuple[str, ...]
) -> None:
    """Have all members sign in again, except those that are kept."""
    members = await provisioning.members_of(
        call.change, group, limit=MEMBERS_MAX + len(keep) + 1
    )
    kept = frozenset(keep)
    leaving = [
        membership.user_id for membership in members if membership.user_id not in kept
    ]
    if len(leaving) > MEMBERS_MAX:
        await declare.end_all_sessions(terms, call)
        return
    await declare.end_sessions_of(call, leaving, _REASON)


def _patched(before: ProvisionedGroup, wanted: GroupPatch) -> Group:
    group = Group(display_name=before.name, external_id=before.external_id or None)
    if wanted.patch is None:
        return group
    try:
        return apply_group_patch(wanted.patch, group)
    except ScimRejected as rejected:
        raise declare.ScimRefused(rejected) from None


async def _one(
    params: Params, call: Call, group: ProvisionedGroup
) -> Mapping[str, Any]:
    listing: Listing = params.get(declare.LISTING, declare.WHOLE)
    members: Sequence[Membership] = ()
    if listing.shows("members"):
        members = await provisioning.members_of(
            call.directory, group, limit=_MEMBERS_READ
        )
    return declare.shown(
        show_group(group, members, params[declare.BASE], listing), group.version
    )


def _ids(group: Group) -> tuple[str, ...]:
    members = group.members or ()
    return tuple(dict.fromkeys(member.value for member in members if member.value))


CREATE = declare.change("CreateGroup", _create)
GET = declare.read("GetGroup", _get)
LIST = declare.read("ListGroups", _list)
PUT = declare.change("PutGroup", _put)
PATCH_ONE = declare.change("PatchGroup", _patch)
DELETE = declare.change("DeleteGroup", _delete)
