"""*Services*: the list of registered services, and the page of one."""

from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter

from starlette.responses import Response

from broker.administration.buttons import Buttons, show_tokens, token_buttons
from broker.administration.declared_services import read_overviews
from broker.administration.listing import Found, ListPage, PagePart, Query
from broker.administration.service_decisions import (
    count_by_service,
    read_activity,
    read_decisions,
)
from broker.console.pages.service_views import ServiceView, view_service
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ValidationError
from broker.kinds.bearer_tokens import SERVICE_TOKENS
from broker.kinds.template.yaml_text import write_definition
from broker.protocols.enforcement.mapping import EXECUTE_API

SERVICE = "broker"
"""The prefix of the actions that the pages perform."""

SOON = timedelta(days=14)
"""Before a token expires, so that nothing has to be refused."""

SECTION = "services"
LIST = "/console/services"
DETAIL = "/console/services/service"
_ROWS = 50
_DECISIONS, _TOKENS = "Decisions, 24 hours", "Tokens"


async def _read(visit: Visit, _query: Query) -> Found:
    listed = (await visit.perform(SERVICE, "ListServices"))["Services"]
    activity = await read_activity(visit) if listed else PagePart(None)
    overviews = await read_overviews(visit) if listed else ()
    return Found(
        [view_service(visit, service) for service in listed],
        more={
            "counts": count_by_service(activity),
            "counted": activity.found is not None,
            "overviews": {overview.service.name: overview for overview in overviews},
            "soon": visit.now + SOON,
            "execute_api": EXECUTE_API,
        },
    )


_LIST = ListPage(
    path=LIST,
    here=SECTION,
    template="admin/services.html",
    read=_read,
    searched=attrgetter("name"),
    by={"name": attrgetter("name"), "changed": lambda view: view.service["UpdateDate"]},
    rows=_ROWS,
)


async def _one(visit: Visit) -> Response:
    name = visit.form.require("name")[:128]
    if isinstance(made := await _BUTTONS.press(visit, name), Response):
        return made
    results = await visit.perform(SERVICE, "GetService", ServiceName=name)
    view = view_service(visit, results["Service"])
    return await visit.show(
        "admin/service.html",
        view=view,
        text=write_definition(view.service["Definition"]),
        routes=_routes(view),
        execute_api=EXECUTE_API,
        **await show_tokens(visit, SERVICE_TOKENS, made, name),
        **await read_decisions(visit, view),
    )


def _routes(view: ServiceView) -> Sequence[tuple[str, str, str, str]]:
    if view.compiled is None:
        return ()
    return [
        (", ".join(route.methods), route.path, route.action, resource)
        for route, resource in zip(
            view.definition.routes, view.compiled.route_resources(), strict=True
        )
    ]


async def _delete(visit: Visit, name: str) -> Response:
    if visit.text("sure") != name:
        raise ValidationError("Type the service's name to delete it.")
    await visit.perform(SERVICE, "DeleteService", ServiceName=name)
    return visit.done("Service deleted.", LIST)


_BUTTONS = Buttons(
    path=DETAIL,
    member="ServiceName",
    service=SERVICE,
    known={**token_buttons(SERVICE_TOKENS), "delete": _delete},
)

PAGES = (_LIST.route(), PageRoute(DETAIL, SECTION, _one, BOTH))
