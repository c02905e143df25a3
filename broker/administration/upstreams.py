"""*Upstreams*: the other STS endpoints that mint for roles of the account."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.listing import read_part
from broker.console.visit import PageRoute, Visit
from broker.kinds.upstream_definition import (
    UpstreamDefinition,
    UpstreamRejected,
    find_upstream_role,
    parse_upstream,
)

SERVICE = "broker"
SECTION = "upstreams"
LIST = "/console/upstreams"


class UpstreamView(Struct, frozen=True):
    """An upstream as pages show it."""

    name: str
    definition: UpstreamDefinition | None
    access_key_id: str
    updated_at: Any

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> "UpstreamView":
        """The view of one that an answer holds; no definition if it cannot be read."""
        definition = None
        with suppress(UpstreamRejected):
            definition = parse_upstream(results["Definition"])
        return cls(
            name=results["Name"],
            definition=definition,
            access_key_id=results.get("AccessKeyId", ""),
            updated_at=results["UpdateDate"],
        )


async def find_upstream_of(visit: Visit, role: str) -> tuple[str, str] | None:
    """The upstream of a role and the role there, for those who may list upstreams."""
    part = await read_part(visit, "ListUpstreams", service=SERVICE)
    if not part.found:
        return None
    views = map(UpstreamView.of, part.get("Upstreams"))
    return find_upstream_role(
        role,
        {view.name: view.definition for view in views if view.definition is not None},
    )


async def _page(visit: Visit) -> Response:
    upstreams = (await visit.perform(SERVICE, "ListUpstreams"))["Upstreams"]
    views = [UpstreamView.of(entry) for entry in upstreams]
    return await visit.show("admin/upstreams.html", upstreams=views)


PAGES = (PageRoute(LIST, SECTION, _page),)
