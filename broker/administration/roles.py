"""*Roles*: the list, with when each was last used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from broker.administration.bulk_deletion import BulkDeletion
from broker.administration.listing import (
    ROWS,
    SORTED_MAX,
    list_page,
    page_links,
    sorted_page,
)
from broker.administration.policies import name_matches
from broker.administration.role_deletion import delete_role
from broker.console.tables import Sorting
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied

HERE = "roles"
LIST = "/console/roles"
_READ = 100


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role in the list; ``used`` is None if it was never used or is not visible."""

    name: str
    path: str
    description: str
    created: datetime
    used: datetime | None


async def _list(visit: Visit) -> Response:
    if visit.posted:
        return await _DELETION.answer(visit)
    search = visit.text("q")[:128]
    sorting = Sorting.read(visit.text("sort"), LIST, _BY, "name", q=search)
    cut = False
    try:
        rows, marker, cut = await _ordered(visit, search, sorting)
        with_use = True
    except AccessDenied:
        # Listing roles does not imply GetRole, which shows the last use.
        rows, marker = await _plain(visit, search)
        with_use = False
    return await visit.show(
        "admin/roles.html",
        rows=rows,
        search=search,
        with_use=with_use,
        sorting=sorting if with_use else None,
        cut=SORTED_MAX if cut else 0,
        pages=page_links(visit, LIST, marker, q=search, sort=sorting.text),
    )


_BY: Mapping[str, Callable[[RoleRow], Any]] = {
    "name": lambda row: row.name.lower(),
    "used": lambda row: row.used,
    "created": lambda row: row.created,
}


async def _ordered(
    visit: Visit, search: str, sorting: Sorting
) -> tuple[Sequence[RoleRow], str, bool]:
    if sorting.text == "name":
        rows, marker = await _overviews(
            visit, search, visit.text("marker") or None, ROWS
        )
        return rows, marker, False

    async def read(marker: str | None) -> tuple[Sequence[RoleRow], str]:
        return await _overviews(visit, search, marker, _READ)

    return await sorted_page(visit, sorting, _BY, read, ROWS)


async def _overviews(
    visit: Visit, search: str, marker: str | None, size: int
) -> tuple[Sequence[RoleRow], str]:
    result = await visit.perform(
        "signin",
        "ListRoleOverviews",
        NamePart=search,
        Marker=marker,
        MaxItems=size,
    )
    rows = [
        RoleRow(
            role.name,
            role.path,
            role.description or "",
            role.created_at,
            used.get("LastUsedDate"),
        )
        for role, used in result["Roles"]
    ]
    return rows, result["Marker"] or ""


async def _plain(visit: Visit, search: str) -> tuple[Sequence[RoleRow], str]:
    matches = name_matches(search, "RoleName", "Description") if search else None
    listed = await list_page(visit, "ListRoles", "Roles", matches)
    return [_row(role) for role in listed.rows], listed.marker


def _row(role: Mapping[str, Any]) -> RoleRow:
    return RoleRow(
        role["RoleName"],
        role["Path"],
        role.get("Description", ""),
        role["CreateDate"],
        None,
    )


_DELETION = BulkDeletion(
    "role",
    LIST,
    (
        (
            "Each role goes with its inline policies; managed policies are detached, and it"
            " is taken out of its instance profiles."
        ),
        "Sessions of these roles end at once.",
        (
            "Trust policies and resource policies that name the roles stay, and stop"
            " matching: a new role of the same name is another one."
        ),
        "This cannot be undone.",
    ),
    delete_role,
)

PAGES = (PageRoute(LIST, HERE, _list, BOTH),)
