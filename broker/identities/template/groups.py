"""``Groups``: the properties of ``AWS::IAM::Group``; users say which they are in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from broker.identities import groups
from broker.identities import kind as rules
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
)
from broker.identities.template.owned import (
    OwnerSpec,
    adopt_names,
    keep_owned,
    load_owned,
    read_policies,
    show_owned,
    write_owned,
)
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.entities import Group
from broker.model.page import read_pages
from broker.stores.directory.kinds import GROUP
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000


def _parse(properties: Properties, _reading: AccountReading) -> OwnerSpec:
    """Neither tags nor a permissions boundary: groups have none."""
    return OwnerSpec(
        name=properties.name("GroupName"),
        path=properties.path_text(),
        policies=read_policies(properties),
        attached=tuple(sorted(set(properties.texts("ManagedPolicyArns")))),
        boundary_arn=None,
        tags={},
    )


async def _pages(
    directory: DirectoryReader, account: AccountId
) -> AsyncIterator[list[OwnerSpec]]:
    async for page in read_pages(partial(directory.page_of, GROUP, account), _PAGE):
        yield await load_owned(directory, account, page)


async def _create(work: AccountWork, spec: OwnerSpec) -> None:
    given = {"GroupName": spec.name, "Path": spec.path}
    group = await rules.create(groups.GROUPS, given, work.at())
    await write_owned(work, group, None, spec)


async def _update(work: AccountWork, before: OwnerSpec, after: OwnerSpec) -> None:
    given = {"NewGroupName": after.name, "NewPath": after.path}
    group = await groups.GROUPS.change(await _require(work, before), given, work.at())
    await rules.update(groups.GROUPS, group, work.at())
    await write_owned(work, group, before, after)


async def _delete(work: AccountWork, spec: OwnerSpec) -> None:
    group = await _require(work, spec)
    await write_owned(work, group, spec, replace(spec, policies={}, attached=()))
    await groups.check_removal(group, work.change)
    await work.change.remove(groups.GROUPS.kind, group)


async def _require(work: AccountWork, spec: OwnerSpec) -> Group:
    return await groups.require_group(work.change, work.account.account_id, spec.name)


def _show(spec: OwnerSpec) -> dict[str, object]:
    return show_owned(spec, "GroupName")


GROUPS: EntityKind[OwnerSpec] = EntityKind(
    section="Groups",
    noun="group",
    parse=_parse,
    pages=_pages,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
    keep_unlisted=keep_owned,
    adopt=adopt_names,
)
