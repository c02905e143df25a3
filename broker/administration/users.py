"""*Users*: the list, the form for a new user, and the pages of one."""

from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.buttons import read_tags
from broker.administration.deletion import remove_user
from broker.administration.listing import READ_MAX, Deletion, Found, ListPage, Query
from broker.administration.reading import OLD_DAYS, PageReader, days_since, list_all
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied, BrokerError
from broker.kinds.passwords import new_password
from broker.model.overview import UserOverview

USERS = "/console/users"
NEW = "/console/users/new"
SECTION = "users"
_GROUPS_SHOWN = 3
_CHOICES_MAX = 100

USER = "/console/users/user"
_GROUPS = "/console/users/groups"
TAGS = "/console/users/tags"
_OFFERED_MAX = 300


class UserRow(Struct, frozen=True):
    """A user in the list; ``details`` is None if the viewer may not see them."""

    name: str
    path: str
    created_at: datetime
    details: UserOverview | None = None
    key_days: int | None = None
    """The age of the oldest active key, in days."""

    groups_more: int = 0


async def _read(visit: Visit, query: Query) -> Found:
    path = query.filters["path"] or "/"
    more = {"old_days": OLD_DAYS, "shown_max": _GROUPS_SHOWN, "denied": ""}
    try:
        answer = await visit.perform(
            "signin",
            "ListUserOverviews",
            PathPrefix=path,
            NamePart=query.search,
            MaxItems=READ_MAX,
        )
    except AccessDenied as error:
        # Without permission for the overview: the plain list.
        rows = [
            UserRow(user["UserName"], user["Path"], user["CreateDate"])
            for user in await list_all(visit, "ListUsers", "Users", PathPrefix=path)
        ]
        more["denied"] = error.words
        return Found(rows, sortable=False, more=more)
    rows = [_row(user, visit.now) for user in answer["Users"]]
    return Found(rows, cut=answer["Marker"] is not None, more=more)


def _activity(row: UserRow) -> datetime | None:
    return row.details.last_active_at if row.details else None


_LIST = ListPage(
    path=USERS,
    here=SECTION,
    template="admin/users.html",
    read=_read,
    searched=attrgetter("name"),
    filters=("path",),
    by={
        "name": lambda row: row.name.lower(),
        "active": _activity,
        "mfa": lambda row: bool(row.details and row.details.has_mfa),
        "key": attrgetter("key_days"),
        "path": lambda row: (row.path, row.name.lower()),
        "created": attrgetter("created_at"),
    },
    deletion=Deletion(
        "user",
        "name",
        (
            (
                "Passwords, access keys, MFA devices, certificates and SSH keys of these"
                " users are deleted, and requests signed with them are refused at once."
            ),
            "Their inline policies are deleted; managed policies and groups stay.",
            "Their sessions end at once.",
            "This cannot be undone.",
        ),
        remove_user,
    ),
)


async def _new(visit: Visit) -> Response:
    if visit.posted:
        with visit.attempt():
            return await _create(visit)
    reader = PageReader(visit)
    groups = await reader.list_all("ListGroups", "Groups")
    return await visit.show(
        "admin/user_new.html",
        refused=reader.refused,
        groups=[group["GroupName"] for group in groups[:_CHOICES_MAX]],
        groups_more=max(0, len(groups) - _CHOICES_MAX),
        chosen=visit.form.values("group"),
        values={
            name: visit.text(name)[:2048]
            for name in ("name", "path", "tags", "console")
        },
        reset=visit.is_checked("reset") or not visit.posted,
        key=visit.is_checked("key"),
    )


async def _create(visit: Visit) -> Response:
    tags = read_tags(visit.form.find("tags") or "")
    password = visit.form.find("password") or ""
    made = await visit.iam(
        "CreateUser",
        UserName=visit.text("name"),
        Path=visit.text("path") or None,
        Tags=tags or None,
    )
    user = made["User"]["UserName"]
    result = _NewUser(visit, user)
    for group in visit.form.values("group"):
        await result.step(
            f"the group {group}", "AddUserToGroup", GroupName=group, UserName=user
        )
    if visit.text("console") == "generate":
        password = new_password(await read_minimum_length(visit))
    if visit.text("console") in {"generate", "own"}:
        profile = await result.step(
            "the password",
            "CreateLoginProfile",
            UserName=user,
            Password=password,
            PasswordResetRequired=visit.is_checked("reset"),
        )
        if profile is not None and visit.text("console") == "generate":
            result.password = password
    if visit.is_checked("key"):
        key = await result.step("the access key", "CreateAccessKey", UserName=user)
        result.key = None if key is None else key["AccessKey"]
    return await visit.show(
        "admin/user_made.html",
        user=user,
        made=result,
        has_password=visit.text("console") in {"generate", "own"},
        origin=visit.deps.public_origin,
    )


class _NewUser:
    def __init__(self, visit: Visit, user: str) -> None:
        self._visit = visit
        self.user = user
        self.failed: list[str] = []
        self.password = ""
        self.key: Mapping[str, Any] | None = None

    async def step(
        self, what: str, action: str, **params: object
    ) -> Mapping[str, Any] | None:
        """Do one step; the user exists by now, so a failure is noted, not raised."""
        try:
            return await self._visit.iam(action, **params)
        except BrokerError as error:
            self.failed.append(f"{what}: {error.words}")
            return None


async def read_minimum_length(visit: Visit) -> int:
    """The password policy's minimum length; 0 if there is none or it is not visible."""
    policy = await PageReader(visit).iam("GetAccountPasswordPolicy")
    return 0 if policy is None else policy["PasswordPolicy"]["MinimumPasswordLength"]


async def group_names(visit: Visit, user: str) -> list[str]:
    """The names of a user's groups."""
    groups = await list_all(visit, "ListGroupsForUser", "Groups", UserName=user)
    return [group["GroupName"] for group in groups]


def _row(overview: UserOverview, now: datetime) -> UserRow:
    ages = [
        days_since(key.created_at, now)
        for key in overview.keys
        if key.status.value == "Active"
    ]
    return UserRow(
        name=overview.user.name,
        path=overview.user.path,
        created_at=overview.user.created_at,
        details=overview,
        key_days=max(ages, default=None),
        groups_more=max(0, len(overview.groups) - _GROUPS_SHOWN),
    )


async def _summary(visit: Visit) -> Response:
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
    params = {"UserName": name}
    profile = await reader.iam("GetLoginProfile", **params)
    return await visit.show(
        "admin/user.html",
        user=user,
        new_name=visit.text("new_name") if visit.problem else user["UserName"],
        new_path=visit.text("new_path") if visit.problem else user["Path"],
        groups=await reader.list_all("ListGroupsForUser", "Groups", **params),
        keys=await reader.list_all("ListAccessKeys", "AccessKeyMetadata", **params),
        devices=await reader.list_all("ListMFADevices", "MFADevices", **params),
        profile=profile and profile["LoginProfile"],
        refused=reader.refused,
    )


async def _groups(visit: Visit) -> Response:
    name = visit.form.require("name")
    if visit.posted:
        verb = "RemoveUserFromGroup" if visit.text("do") == "out" else None
        with visit.attempt():
            await visit.iam(
                verb or "AddUserToGroup", UserName=name, GroupName=visit.text("group")
            )
            new = "" if verb else visit.text("group")
            return visit.done("Saved.", _GROUPS, new, name=name)
    user = await read_user(visit, name)
    mine = await group_names(visit, name)
    reader = PageReader(visit)
    offered = [
        group["GroupName"]
        for group in await reader.list_all("ListGroups", "Groups")
        if group["GroupName"] not in mine
    ]
    return await visit.show(
        "admin/user_groups.html",
        user=user,
        groups=mine,
        offered=offered[:_OFFERED_MAX],
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
    text = "\n".join(f"{tag['Key']}={tag['Value']}" for tag in user.get("Tags", ()))
    return await visit.show(
        "admin/user_tags.html",
        user=user,
        tag_text=visit.text("tags") if visit.problem else text,
        shown=visit.text("shown") if visit.problem else text,
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
    _LIST.route(),
    PageRoute(NEW, SECTION, _new, BOTH, long=True),
    PageRoute(USER, SECTION, _summary, BOTH),
    PageRoute(_GROUPS, SECTION, _groups, BOTH),
    PageRoute(TAGS, SECTION, _tags, BOTH),
)
