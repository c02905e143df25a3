"""Users of a directory: deactivated people lose all access at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from scim2_models import PatchOp

from broker.actions.action import Call
from broker.actions.scim.declare import (
    BASE,
    ID,
    LISTING,
    PATCH,
    RESOURCE,
    SHOWN,
    WHOLE,
    ScimRefused,
    Terms,
    change,
    check_version,
    end_person,
    end_sessions_of,
    get_terms,
    list_memberships,
    note,
    read,
    shown,
)
from broker.kinds import provisioning
from broker.kinds.provisioning import UserFields
from broker.model.provisioned import Membership, ProvisionedUser
from broker.model.request import Params
from broker.protocols.scim.answers import dump_user, load_user, show_list, show_user
from broker.protocols.scim.requests import Listing, apply_user_patch
from broker.protocols.scim.resources import ScimRejected, User
from broker.sessions.lineage import person_target
from broker.sessions.revoke import SETTLING, revoke_for_good
from broker.stores.directory.provisioning import list_provisioned_users


async def _create(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await get_terms(params, call)
    user = await provisioning.create_user(
        call.change,
        terms.directory,
        _fields(params[RESOURCE]),
        now=call.now,
        not_before=call.now + SETTLING,
    )
    note(call, Id=user.user_id, UserName=user.user_name, Active=user.active)
    if not user.active:
        await end_person(terms, call, user)
    return await _one(params, call, user)


async def _get(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await get_terms(params, call)
    user = await provisioning.require_user(call.directory, terms.directory, params[ID])
    return await _one(params, call, user)


async def _list(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await get_terms(params, call)
    listing: Listing = params[LISTING]
    users, total = await list_provisioned_users(call.directory, terms.query(listing))
    groups: dict[str, list[Membership]] = {}
    if users and listing.shows("groups"):
        ids = [user.user_id for user in users]
        for membership in await list_memberships(call, user_ids=ids):
            groups.setdefault(membership.user_id, []).append(membership)
    resources = [
        show_user(user, groups.get(user.user_id, ()), params[BASE], listing)
        for user in users
    ]
    return {SHOWN: show_list(resources, total, listing.start)}


async def _put(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await get_terms(params, call)
    before = await provisioning.require_user(call.change, terms.directory, params[ID])
    check_version(params, before.version)
    return await _update(params, call, terms, before, params[RESOURCE])


async def _patch(params: Params, call: Call) -> Mapping[str, Any]:
    terms = await get_terms(params, call)
    before = await provisioning.require_user(call.change, terms.directory, params[ID])
    check_version(params, before.version)
    patch: PatchOp[User] = params[PATCH]
    user = load_user(before)
    user.active = before.active
    try:
        user = apply_user_patch(patch, user)
    except ScimRejected as rejected:
        raise ScimRefused(rejected) from None
    return await _update(params, call, terms, before, user)


async def _delete(params: Params, call: Call) -> None:
    terms = await get_terms(params, call)
    user = await provisioning.require_user(call.change, terms.directory, params[ID])
    check_version(params, user.version)
    note(call, UserName=user.user_name)
    await end_person(terms, call, user)
    # The id is never reused.
    await revoke_for_good(
        call.change,
        account=call.account,
        target=person_target(user.user_id),
        now=call.now,
        reason="the person was deleted from the directory",
    )
    await provisioning.delete_user(
        call.change, user, now=call.now, not_before=call.now + SETTLING
    )


async def _update(
    params: Params, call: Call, terms: Terms, before: ProvisionedUser, wanted: User
) -> Mapping[str, Any]:
    after = await provisioning.update_user(
        call.change,
        terms.directory,
        before,
        _fields(wanted),
        now=call.now,
        not_before=call.now + SETTLING,
    )
    note(call, UserName=after.user_name, Active=after.active)
    subject_of = terms.options.subject_of
    if not after.active:
        await end_person(terms, call, after)
    if subject_of(after) != subject_of(before):
        # The next one with the old name is another person.
        await end_person(terms, call, replace(before, user_id=""))
        await end_sessions_of(call, (before.user_id,), "the person has another name")
    return await _one(params, call, after)


async def _one(params: Params, call: Call, user: ProvisionedUser) -> Mapping[str, Any]:
    listing: Listing = params.get(LISTING, WHOLE)
    groups: Sequence[Membership] = ()
    if listing.shows("groups"):
        groups = await list_memberships(call, user_ids=(user.user_id,))
    return shown(show_user(user, groups, params[BASE], listing), user.version)


def _fields(user: User) -> UserFields:
    return UserFields(
        user_name=user.user_name or "",
        external_id=user.external_id or "",
        email=user.address,
        active=user.active,
        document=dump_user(user),
    )


CREATE = change("CreateUser", _create)
GET = read("GetUser", _get)
LIST = read("ListUsers", _list)
PUT = change("PutUser", _put)
PATCH_ONE = change("PatchUser", _patch)
DELETE = change("DeleteUser", _delete)
