"""*Groups*: list, create, change members and rename."""

from operator import itemgetter

from starlette.responses import Response

from broker.administration.buttons import Button, Buttons, typed
from broker.administration.deletion import remove_group
from broker.administration.listing import Deletion, ListPage, whole_list
from broker.administration.reading import list_all
from broker.console.tables import cut_page
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ValidationError

GROUPS = "/console/groups"
NEW = "/console/groups/new"
GROUP = "/console/groups/group"
SECTION = "groups"
_NAME_MAX = 128

_LIST = ListPage(
    path=GROUPS,
    here=SECTION,
    template="admin/groups.html",
    read=whole_list("ListGroups", "Groups"),
    searched=lambda group: f"{group['Path']}{group['GroupName']}",
    by={
        "name": lambda group: group["GroupName"].lower(),
        "path": lambda group: (group["Path"], group["GroupName"].lower()),
        "created": itemgetter("CreateDate"),
    },
    deletion=Deletion(
        "group",
        "GroupName",
        (
            "Members lose the permissions of these groups at once. The users stay.",
            "Inline policies of the groups are deleted; managed policies are detached.",
            "This cannot be undone.",
        ),
        remove_group,
    ),
)


async def _new(visit: Visit) -> Response:
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
    name = visit.form.require("name")
    if isinstance(done := await _BUTTONS.press(visit, name), Response):
        return done
    group = (await visit.iam("GetGroup", GroupName=name, MaxItems=1))["Group"]
    members = await list_all(visit, "GetGroup", "Users", GroupName=name)
    page = cut_page(members, visit.text("page"), GROUP, name=group["GroupName"])
    renaming = visit.problem and visit.text("do") == "rename"
    return await visit.show(
        "admin/group.html",
        group=group,
        pages=page,
        new_members=visit.text("users")[:2048] if visit.problem else "",
        new_name=visit.text("new_name") if renaming else group["GroupName"],
        new_path=visit.text("new_path") if renaming else group["Path"],
    )


async def _add(visit: Visit, name: str) -> None:
    names = visit.text("users").replace(",", " ").split()
    if not names:
        raise ValidationError("Enter the names of the users to add.")
    for user in names:
        await visit.iam("AddUserToGroup", GroupName=name, UserName=user)


async def _rename(visit: Visit, name: str) -> Response:
    new = visit.text("new_name")
    await visit.iam(
        "UpdateGroup",
        GroupName=name,
        NewGroupName=new if new != name else None,
        NewPath=visit.text("new_path") or None,
    )
    return visit.done("Saved.", GROUP, name=new)


_BUTTONS = Buttons(
    makes={"add": "users"},
    path=GROUP,
    member="GroupName",
    known={
        "add": _add,
        "out": Button("RemoveUserFromGroup", {"UserName": typed("user")}),
        "rename": _rename,
    },
)

PAGES = (
    _LIST.route(),
    PageRoute(NEW, SECTION, _new, BOTH),
    PageRoute(GROUP, SECTION, _group, BOTH),
)
