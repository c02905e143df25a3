"""*Roles*: the list, with when each was last used."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from broker.administration.listing import ROWS, list_page, page_links
from broker.administration.policies import name_matches
from broker.console.visit import PageRoute, Visit
from broker.errors import AccessDenied

HERE = "roles"
LIST = "/console/roles"


@dataclass(frozen=True, slots=True)
class RoleRow:
    """A role in the list; ``used`` is None if it was never used or is not visible."""

    name: str
    path: str
    description: str
    created: datetime
    used: datetime | None


async def _list(visit: Visit) -> Response:
    search = visit.text("q")[:128]
    try:
        rows, marker = await _overviews(visit, search)
        with_use = True
    except AccessDenied:
        # Listing roles does not imply GetRole, which shows the last use.
        rows, marker = await _plain(visit, search)
        with_use = False
    pages = page_links(visit, LIST, marker, q=search)
    return await visit.show(
        "admin/roles.html",
        rows=rows,
        search=search,
        with_use=with_use,
        pages=pages,
    )


async def _overviews(visit: Visit, search: str) -> tuple[list[RoleRow], str]:
    result = await visit.perform(
        "signin",
        "ListRoleOverviews",
        NamePart=search,
        Marker=visit.text("marker") or None,
        MaxItems=ROWS,
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


async def _plain(visit: Visit, search: str) -> tuple[list[RoleRow], str]:
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


PAGES = (PageRoute(LIST, HERE, _list),)
