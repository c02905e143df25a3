"""*Users*: the list, with credentials, and the form for a new user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from starlette.responses import Response

from broker.administration.buttons import read_tags
from broker.administration.deletion import remove_user
from broker.administration.listing import Deletion, Found, ListPage, Query, read_sorted
from broker.administration.new_password import new_password
from broker.administration.reading import (
    OLD_DAYS,
    PageReader,
    days_since,
    list_all,
)
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied, BrokerError
from broker.model.overview import UserOverview

USERS = "/console/users"
NEW = "/console/users/new"
HERE = "users"
_ROWS = 25
_GROUPS_SHOWN = 3
_CHOICES_MAX = 100


@dataclass(frozen=True, slots=True)
class UserRow:
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

    async def read(marker: str | None, size: int) -> tuple[Sequence[UserRow], str]:
        answer = await visit.perform(
            "signin",
            "ListUserOverviews",
            PathPrefix=path,
            NamePart=query.search,
            Marker=marker,
            MaxItems=size,
        )
        return [_row(one, visit.now) for one in answer["Users"]], answer["Marker"] or ""

    shared = {"old_days": OLD_DAYS, "shown_max": _GROUPS_SHOWN, "denied": ""}
    try:
        return replace(await read_sorted(visit, query, read, _ROWS), more=shared)
    except AccessDenied as error:
        # Without permission for the overview: the plain list.
        answer = await visit.iam(
            "ListUsers",
            PathPrefix=path,
            Marker=visit.text("marker") or None,
            MaxItems=_ROWS,
        )
        rows = [
            UserRow(one["UserName"], one["Path"], one["CreateDate"])
            for one in answer["Users"]
            if query.search.lower() in one["UserName"].lower()
        ]
        return Found(
            rows,
            answer.get("Marker") or "",
            sortable=False,
            more={**shared, "denied": error.words},
        )


def _activity(row: UserRow) -> datetime | None:
    return row.details.last_active_at if row.details else None


_LIST = ListPage(
    path=USERS,
    here=HERE,
    template="admin/users.html",
    read=_read,
    filters=("path",),
    by={
        "name": lambda row: row.name.lower(),
        "active": _activity,
        "mfa": lambda row: bool(row.details and row.details.has_mfa),
        "key": attrgetter("key_days"),
        "created": attrgetter("created_at"),
    },
    rows=_ROWS,
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
    """``/console/users/new``: the form; a POST creates the user."""
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
    """The results of the steps that follow creating a user."""

    def __init__(self, visit: Visit, user: str) -> None:
        self._visit = visit
        self.user = user
        self.failed: list[str] = []
        self.password = ""
        self.key: Mapping[str, Any] | None = None

    async def step(
        self, what: str, action: str, **given: object
    ) -> Mapping[str, Any] | None:
        """Do one step; the user exists by now, so a failure is noted, not raised."""
        try:
            return await self._visit.iam(action, **given)
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


def _row(one: UserOverview, now: datetime) -> UserRow:
    ages = [
        days_since(key.created_at, now)
        for key in one.keys
        if key.status.value == "Active"
    ]
    return UserRow(
        name=one.user.name,
        path=one.user.path,
        created_at=one.user.created_at,
        details=one,
        key_days=max(ages, default=None),
        groups_more=max(0, len(one.groups) - _GROUPS_SHOWN),
    )


PAGES = (
    _LIST.route(),
    PageRoute(NEW, HERE, _new, BOTH, long=True),
)
