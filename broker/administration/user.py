"""The pages of one user: summary, groups and tags."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from broker.administration.buttons import read_tags
from broker.administration.reading import PageReader
from broker.administration.users import HERE, group_names
from broker.console.visit import BOTH, PageRoute, Visit

USER = "/console/users/user"
GROUPS = "/console/users/groups"
TAGS = "/console/users/tags"
_CHOICES_MAX = 300


async def _summary(visit: Visit) -> Response:
    """``/console/users/user``: the summary; a POST changes the name or path."""
    name = visit.form.require("name")
    if visit.posted:
        with visit.attempt():
            new = visit.text("new_name")
            await visit.iam(
                "UpdateUser",
                UserName=name,
                NewUserName=new if new != name else None,
                NewPath=visit.text("new_path") or None,
            )
            return visit.done("Saved.", USER, name=new)
    user = await read_user(visit, name)
    reader = PageReader(visit)
    given = {"UserName": name}
    profile = await reader.iam("GetLoginProfile", **given)
    return await visit.show(
        "admin/user.html",
        user=user,
        tab="summary",
        new_name=visit.text("new_name") if visit.problem else user["UserName"],
        new_path=visit.text("new_path") if visit.problem else user["Path"],
        groups=await reader.list_all("ListGroupsForUser", "Groups", **given),
        keys=await reader.list_all("ListAccessKeys", "AccessKeyMetadata", **given),
        devices=await reader.list_all("ListMFADevices", "MFADevices", **given),
        profile=profile and profile["LoginProfile"],
        refused=reader.refused,
    )


async def _groups(visit: Visit) -> Response:
    """``/console/users/groups``: a POST adds or removes a membership."""
    name = visit.form.require("name")
    if visit.posted:
        verb = "RemoveUserFromGroup" if visit.text("do") == "out" else None
        with visit.attempt():
            await visit.iam(
                verb or "AddUserToGroup",
                UserName=name,
                GroupName=visit.text("group"),
            )
            return visit.done("Saved.", GROUPS, name=name)
    user = await read_user(visit, name)
    mine = await group_names(visit, name)
    reader = PageReader(visit)
    offered = [
        one["GroupName"]
        for one in await reader.list_all("ListGroups", "Groups")
        if one["GroupName"] not in mine
    ]
    return await visit.show(
        "admin/user_groups.html",
        user=user,
        tab="groups",
        groups=mine,
        offered=offered[:_CHOICES_MAX],
        refused=reader.refused,
    )


async def _tags(visit: Visit) -> Response:
    """``/console/users/tags``: a POST writes what was changed on the page."""
    name = visit.form.require("name")
    if visit.posted:
        with visit.attempt():
            await _change_tags(visit, name)
            return visit.done("Saved.", TAGS, name=name)
    user = await read_user(visit, name)
    shown = "\n".join(f"{tag['Key']}={tag['Value']}" for tag in user.get("Tags", ()))
    return await visit.show(
        "admin/user_tags.html",
        user=user,
        tab="tags",
        tag_text=visit.text("tags") if visit.problem else shown,
        shown=visit.text("shown") if visit.problem else shown,
    )


async def read_user(visit: Visit, name: str) -> Mapping[str, Any]:
    """Read a user with ``GetUser``, which returns the stored spelling of the name.

    Raises:
        BrokerError: There is none, or it may not be read.
    """
    user: Mapping[str, Any] = (await visit.iam("GetUser", UserName=name))["User"]
    return user


async def _change_tags(visit: Visit, name: str) -> None:
    """Write what differs from the tags that the page showed.

    Tags that others changed meanwhile stay as they are.

    Raises:
        BrokerError: The field is malformed, or the tags may not be changed.
    """
    tags = read_tags(visit.text("tags"))
    before = {tag["Key"]: tag["Value"] for tag in read_tags(visit.text("shown"))}
    keys = {tag["Key"].lower() for tag in tags}
    gone = [key for key in before if key.lower() not in keys]
    changed = [tag for tag in tags if before.get(tag["Key"]) != tag["Value"]]
    if gone:
        await visit.iam("UntagUser", UserName=name, TagKeys=gone)
    if changed:
        await visit.iam("TagUser", UserName=name, Tags=changed)


PAGES = (
    PageRoute(USER, HERE, _summary, BOTH),
    PageRoute(GROUPS, HERE, _groups, BOTH),
    PageRoute(TAGS, HERE, _tags, BOTH),
)
