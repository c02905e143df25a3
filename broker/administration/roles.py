"""*Roles*: the list, with when each was last used."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from broker.administration.deletion import remove_role
from broker.administration.listing import (
    ROWS,
    Deletion,
    Found,
    ListPage,
    Query,
    read_page,
    read_sorted,
)
from broker.console.visit import Visit
from broker.errors import AccessDenied

HERE = "roles"
LIST = "/console/roles"

_Role = Mapping[str, Any]


async def _read(visit: Visit, query: Query) -> Found:
    async def read(marker: str | None, size: int) -> tuple[Sequence[_Role], str]:
        result = await visit.perform(
            "signin",
            "ListRoleOverviews",
            NamePart=query.search,
            Marker=marker,
            MaxItems=size,
        )
        rows = [
            {
                "RoleName": role.name,
                "Path": role.path,
                "Description": role.description or "",
                "CreateDate": role.created_at,
                **used,
            }
            for role, used in result["Roles"]
        ]
        return rows, result["Marker"] or ""

    try:
        return await read_sorted(visit, query, read, ROWS)
    except AccessDenied:
        # Listing roles does not imply GetRole, which shows the last use.
        found = await read_page(visit, query, ("iam", "ListRoles", "Roles"))
        return Found(found.rows, found.marker, sortable=False)


_LIST = ListPage(
    path=LIST,
    here=HERE,
    template="admin/roles.html",
    read=_read,
    searched=lambda role: f"{role['RoleName']}\n{role.get('Description', '')}",
    by={
        "name": lambda role: role["RoleName"].lower(),
        "used": lambda role: role.get("LastUsedDate"),
        "created": itemgetter("CreateDate"),
    },
    deletion=Deletion(
        "role",
        "RoleName",
        (
            (
                "Each role goes with its inline policies; managed policies are detached,"
                " and it is taken out of its instance profiles."
            ),
            "Sessions of these roles end at once.",
            (
                "Trust policies and resource policies that name the roles stay, and stop"
                " matching: a new role of the same name is another one."
            ),
            "This cannot be undone.",
        ),
        remove_role,
    ),
)

PAGES = (_LIST.route(),)
