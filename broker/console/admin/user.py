"""One user: what there is to know, the name and path, the groups, the tags."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from broker.console.admin.reading import PageReader, tag_lines
from broker.console.admin.tag_lines import read_tags
from broker.console.admin.users import HERE, group_names
from broker.console.admin.visit import OK, Visit, go, visited, words
from broker.console.page_frame import PageFrame, Route
from broker.errors import BrokerError

USER = "/console/users/user"
GROUPS = "/console/users/groups"
TAGS = "/console/users/tags"
_CHOICES_MAX = 300


class UserPages:
    """The pages of one user that are about the user as such."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Where the pages are."""
        return (
            (USER, ["GET", "POST"], visited(self._frame, HERE, self.summary)),
            (GROUPS, ["GET", "POST"], visited(self._frame, HERE, self.groups)),
            (TAGS, ["GET", "POST"], visited(self._frame, HERE, self.tags)),
        )

    async def summary(self, visit: Visit) -> Response:
        """``/console/users/user``: the facts; POST gives another name or path."""
        name, problem, status = visit.form.require("name"), "", OK
        if visit.posted:
            try:
                new = visit.text("new_name")
                await visit.iam(
                    "UpdateUser",
                    UserName=name,
                    NewUserName=new if new != name else None,
                    NewPath=visit.text("new_path") or None,
                )
                return go(USER, name=new)
            except BrokerError as error:
                problem, status = words(error), error.status
        user = await read_user(visit, name)
        partly = PageReader(visit)
        given = {"UserName": name}
        profile = await partly.iam("GetLoginProfile", **given)
        return await visit.show(
            "admin/user.html",
            HERE,
            status,
            user=user,
            tab="summary",
            problem=problem,
            new_name=visit.text("new_name") if problem else user["UserName"],
            new_path=visit.text("new_path") if problem else user["Path"],
            groups=await partly.list_all("ListGroupsForUser", "Groups", **given),
            keys=await partly.list_all("ListAccessKeys", "AccessKeyMetadata", **given),
            devices=await partly.list_all("ListMFADevices", "MFADevices", **given),
            profile=profile and profile["LoginProfile"],
            refused=partly.refused,
        )

    async def groups(self, visit: Visit) -> Response:
        """``/console/users/groups``: POST adds the user to one, or takes it out."""
        name, problem, status = visit.form.require("name"), "", OK
        if visit.posted:
            verb = "RemoveUserFromGroup" if visit.text("do") == "out" else None
            try:
                await visit.iam(
                    verb or "AddUserToGroup",
                    UserName=name,
                    GroupName=visit.text("group"),
                )
                return go(GROUPS, name=name)
            except BrokerError as error:
                problem, status = words(error), error.status
        user = await read_user(visit, name)
        mine = await group_names(visit, name)
        partly = PageReader(visit)
        offered = [
            one["GroupName"]
            for one in await partly.list_all("ListGroups", "Groups")
            if one["GroupName"] not in mine
        ]
        return await visit.show(
            "admin/user_groups.html",
            HERE,
            status,
            user=user,
            tab="groups",
            problem=problem,
            groups=mine,
            offered=offered[:_CHOICES_MAX],
            refused=partly.refused,
        )

    async def tags(self, visit: Visit) -> Response:
        """``/console/users/tags``: POST makes the tags those that were typed."""
        name, problem, status = visit.form.require("name"), "", OK
        user = await read_user(visit, name)
        kept = list(user.get("Tags", ()))
        if visit.posted:
            try:
                await replace_tags(visit, name, kept)
                return go(TAGS, name=name)
            except BrokerError as error:
                problem, status = words(error), error.status
        return await visit.show(
            "admin/user_tags.html",
            HERE,
            status,
            user=user,
            tab="tags",
            problem=problem,
            typed=visit.text("tags") if problem else tag_lines(kept),
        )


async def read_user(visit: Visit, name: str) -> Mapping[str, Any]:
    """The user as ``GetUser`` shows it, under its own spelling.

    Raises:
        BrokerError: there is none, or one may not read it.
    """
    user: Mapping[str, Any] = (await visit.iam("GetUser", UserName=name))["User"]
    return user


async def replace_tags(visit: Visit, name: str, kept: list[dict[str, str]]) -> None:
    """Make a user's tags those that were typed; what did not change is not touched.

    Raises:
        BrokerError: what was typed is no tags, or they may not be changed.
    """
    typed = read_tags(visit.form.find("tags") or "")
    before = {tag["Key"]: tag["Value"] for tag in kept}
    keys = {tag["Key"].lower() for tag in typed}
    gone = [key for key in before if key.lower() not in keys]
    changed = [tag for tag in typed if before.get(tag["Key"]) != tag["Value"]]
    if gone:
        await visit.iam("UntagUser", UserName=name, TagKeys=gone)
    if changed:
        await visit.iam("TagUser", UserName=name, Tags=changed)
