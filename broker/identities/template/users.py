"""``Users``: the properties of ``AWS::IAM::User``.

Access keys are secrets: they are made by calls and left alone here, but those of a
user that ``--prune`` deletes go with it.
"""

from dataclasses import replace

from broker.identities import users
from broker.identities.template.kind import Kind, Reading, Work, without_empty
from broker.identities.template.owned import (
    OwnerSpec,
    checked_boundary_of,
    load_owned,
    read_owned,
    show_owned,
    spare_owned,
    write_owned,
)
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.page import PageRequest
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000


def _parse(properties: Properties, _reading: Reading) -> OwnerSpec:
    return read_owned(properties, "UserName")


async def _load(directory: DirectoryReader, account: AccountId) -> list[OwnerSpec]:
    specs: list[OwnerSpec] = []
    request = PageRequest(None, _PAGE)
    while True:
        page = await directory.list_users(account, "/", request)
        specs += [await load_owned(directory, user) for user in page.items]
        if page.marker is None:
            return specs
        request = PageRequest(page.marker, _PAGE)


async def _create(work: Work, spec: OwnerSpec) -> None:
    user = await users.create_user(
        work.change,
        work.account,
        name=spec.name,
        path=spec.path,
        boundary_arn=spec.boundary_arn,
        tags=spec.tags,
        now=work.now,
    )
    await write_owned(work, user, None, spec)


async def _update(work: Work, before: OwnerSpec, after: OwnerSpec) -> None:
    user = await users.require_user(work.change, work.account.account_id, before.name)
    user = await users.rename_user(work.change, user, name=after.name, path=after.path)
    user = replace(
        user, tags=after.tags, boundary_arn=await checked_boundary_of(work, after)
    )
    await work.change.update_user(user)
    await write_owned(work, user, before, after)


async def _delete(work: Work, spec: OwnerSpec) -> None:
    user = await users.require_user(work.change, work.account.account_id, spec.name)
    await write_owned(work, user, spec, replace(spec, policies={}, attached=()))
    for key in await work.change.list_access_keys(user.account, user.user_id):
        await work.change.delete_access_key(key)
    await users.delete_user(work.change, user)


def _show(spec: OwnerSpec) -> dict[str, object]:
    return without_empty(show_owned(spec, "UserName"))


USERS: Kind[OwnerSpec] = Kind(
    section="Users",
    noun="user",
    key=lambda spec: spec.name.lower(),
    label=lambda spec: spec.name,
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
    spare=spare_owned,
)
