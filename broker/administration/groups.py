"""*Groups*: list, create, change members, rename and delete."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from broker.administration.bulk_deletion import BulkDeletion
from broker.administration.listing import cut_page, page_links
from broker.administration.reading import list_all
from broker.console.tables import Sorting
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import BrokerError, DeleteConflict, ValidationError

GROUPS = "/console/groups"
NEW = "/console/groups/new"
GROUP = "/console/groups/group"
DELETE = "/console/groups/delete"
HERE = "groups"
_ROWS = 25
_NAME_MAX = 128
_NAMED_MAX = 100
_AT_ONCE = 200
"""Members that one request removes, to bound its duration."""


async def _page(visit: Visit) -> Response:
    """``GET /console/groups``; an account has few enough to filter them here."""
    if visit.posted:
        return await _DELETION.answer(visit)
    search = visit.text("q")[:_NAME_MAX]
    sorting = Sorting.read(visit.text("sort"), GROUPS, _BY, "name", q=search)
    groups = [
        group
        for group in await list_all(visit, "ListGroups", "Groups")
        if search.lower() in f"{group['Path']}{group['GroupName']}".lower()
    ]
    shown, marker = cut_page(visit, sorting.order(groups, _BY), _ROWS)
    return await visit.show(
        "admin/groups.html",
        groups=shown,
        search=search,
        sorting=sorting,
        pages=page_links(visit, GROUPS, marker, q=search, sort=sorting.text),
    )


_BY: Mapping[str, Callable[[Any], Any]] = {
    "name": lambda group: group["GroupName"].lower(),
    "path": lambda group: (group["Path"], group["GroupName"].lower()),
    "created": lambda group: group["CreateDate"],
}


async def _new(visit: Visit) -> Response:
    """``/console/groups/new``: the form; a POST creates the group."""
    if visit.posted:
        with visit.attempt():
            made = await visit.iam(
                "CreateGroup",
                GroupName=visit.text("name"),
                Path=visit.text("path") or None,
            )
            created = made["Group"]["GroupName"]
            return visit.done(f"Group {created} created.", GROUP, name=created)
    return await visit.show(
        "admin/group_new.html",
        name=visit.text("name")[:_NAME_MAX],
        path=visit.text("path")[:512],
    )


async def _group(visit: Visit) -> Response:
    """``/console/groups/group``: the members; a POST changes them or the name."""
    name = visit.form.require("name")
    if visit.posted:
        with visit.attempt():
            return await _change(visit, name)
    answer = await visit.iam(
        "GetGroup",
        GroupName=name,
        MaxItems=_ROWS,
        Marker=visit.text("marker") or None,
    )
    group, marker = answer["Group"], answer.get("Marker", "")
    renaming = visit.problem and visit.text("do") == "rename"
    return await visit.show(
        "admin/group.html",
        group=group,
        tab="members",
        members=answer["Users"],
        pages=page_links(visit, GROUP, marker, name=group["GroupName"]),
        new_members=visit.text("users")[:2048] if visit.problem else "",
        new_name=visit.text("new_name") if renaming else group["GroupName"],
        new_path=visit.text("new_path") if renaming else group["Path"],
    )


async def _delete(visit: Visit) -> Response:
    """``/console/groups/delete``: GET asks for confirmation, POST deletes."""
    name = visit.form.require("name")
    group = (await visit.iam("GetGroup", GroupName=name, MaxItems=1))["Group"]
    members = await list_all(visit, "GetGroup", "Users", GroupName=name)
    attached, inline = await _policies(visit, name)
    if visit.posted:
        with visit.attempt(_describe):
            if visit.text("sure") != group["GroupName"]:
                raise ValidationError("Type the group's name to delete it.")
            await _empty(visit, name, members, attached, inline)
            return visit.done(f"Group {name} deleted.", GROUPS)
    return await visit.show(
        "admin/group_delete.html",
        group=group,
        members=[one["UserName"] for one in members[:_NAMED_MAX]],
        members_more=max(0, len(members) - _NAMED_MAX),
        attached=[one["PolicyName"] for one in attached],
        inline=inline,
    )


async def _delete_group(visit: Visit, name: str) -> None:
    members = await list_all(visit, "GetGroup", "Users", GroupName=name)
    await _empty(visit, name, members, *await _policies(visit, name))


async def _empty(
    visit: Visit,
    name: str,
    members: Sequence[Any],
    attached: Sequence[Any],
    inline: Sequence[Any],
) -> None:
    """Empty a group and delete it.

    Raises:
        ValidationError: It has more members than one request removes.
    """
    for one in members[:_AT_ONCE]:
        await visit.iam("RemoveUserFromGroup", GroupName=name, UserName=one["UserName"])
    if len(members) > _AT_ONCE:
        raise ValidationError(
            f"{_AT_ONCE} members were removed. Delete again to continue."
        )
    for one in attached:
        await visit.iam("DetachGroupPolicy", GroupName=name, PolicyArn=one["PolicyArn"])
    for policy in inline:
        await visit.iam("DeleteGroupPolicy", GroupName=name, PolicyName=policy)
    await visit.iam("DeleteGroup", GroupName=name)


async def _policies(visit: Visit, name: str) -> tuple[list[Any], list[Any]]:
    return (
        await list_all(
            visit, "ListAttachedGroupPolicies", "AttachedPolicies", GroupName=name
        ),
        await list_all(visit, "ListGroupPolicies", "PolicyNames", GroupName=name),
    )


async def _change(visit: Visit, name: str) -> Response:
    match visit.text("do"):
        case "add":
            names = visit.text("users").replace(",", " ").split()
            if not names:
                raise ValidationError("Enter the names of the users to add.")
            for user in names:
                await visit.iam("AddUserToGroup", GroupName=name, UserName=user)
        case "out":
            await visit.iam(
                "RemoveUserFromGroup", GroupName=name, UserName=visit.text("user")
            )
        case "rename":
            new = visit.text("new_name")
            await visit.iam(
                "UpdateGroup",
                GroupName=name,
                NewGroupName=new if new != name else None,
                NewPath=visit.text("new_path") or None,
            )
            return visit.done("Saved.", GROUP, name=new)
        case _:
            raise ValidationError("Unknown operation.")
    return visit.done("Saved.", GROUP, name=name)


def _describe(error: BrokerError) -> str:
    """Why a group was not deleted; a conflict means that the page is out of date."""
    reload = " Reload this page." if isinstance(error, DeleteConflict) else ""
    return f"{error.words}{reload}"


_DELETION = BulkDeletion(
    "group",
    GROUPS,
    (
        "Members lose what these groups give them, at once. The users stay.",
        "Inline policies of the groups are deleted; managed policies are detached.",
        "This cannot be undone.",
    ),
    _delete_group,
)

PAGES = (
    PageRoute(GROUPS, HERE, _page, BOTH),
    PageRoute(NEW, HERE, _new, BOTH),
    PageRoute(GROUP, HERE, _group, BOTH),
    PageRoute(DELETE, HERE, _delete, BOTH),
)
