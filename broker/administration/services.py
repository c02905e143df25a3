"""*Services*: the list of registered services, the page of one, and its decisions.

Policy editors and the simulator offer them beside AWS's, as the catalogue has those.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Any

from starlette.responses import Response

from broker.actions.signin.overviews import ServiceOverview
from broker.administration.buttons import Buttons, show_tokens, token_buttons
from broker.administration.listing import Found, ListPage, PagePart, Query, read_part
from broker.console.over_time import bucket_start, count_over_time, sum_by_name
from broker.console.pages.audit_filters import AUDIT
from broker.console.pages.service_views import (
    LIST_SERVICES,
    ServiceView,
    read_service_views,
    view_service,
)
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ValidationError
from broker.kinds.bearer_tokens import SERVICE_TOKENS
from broker.kinds.service_catalogue import service_entry
from broker.kinds.yaml_text import write_definition
from broker.model.audit import DECISION_MEASURES, AuditRecord, Outcome
from broker.policy.catalogue import ServiceEntry
from broker.protocols.enforcement.mapping import EXECUTE_API

HOURS = 24
SHOWN = 15
_READ = 100

_ASKED = ("broker:Authorize", "broker:DeriveSigningKey")
"""The actions of a question that led to no decision, and of a gateway that got no key."""

PASSED = frozenset({DECISION_MEASURES[Outcome.ALLOWED]})
REFUSED = frozenset(
    {DECISION_MEASURES[Outcome.DENIED], DECISION_MEASURES[Outcome.REFUSED]}
)

SERVICE = "broker"
"""The prefix of the actions that the pages perform."""

SOON = timedelta(days=14)
"""Before a token expires, so that nothing has to be refused."""

SECTION = "services"
LIST = "/console/services"
DETAIL = "/console/services/service"
_ROWS = 50
_DECISIONS, _TOKENS = "Decisions, 24 hours", "Tokens"


async def read_declared(visit: Visit) -> Mapping[str, ServiceEntry]:
    """Those that declare actions, by prefix; none if the caller may not list them.

    Raises:
        BrokerError: they cannot be read.
    """
    return {
        view.name: service_entry(view.compiled)
        for view in await read_service_views(visit)
        if view.compiled is not None and view.definition.actions
    }


async def read_overviews(visit: Visit) -> tuple[ServiceOverview, ...]:
    """The account's services and their tokens; none if they may not be listed.

    Raises:
        BrokerError: they cannot be read.
    """
    needed = {LIST_SERVICES, "broker:ListServiceTokens"}
    if await visit.frame.possible(visit.request, visit.who, needed) != needed:
        return ()
    part = await read_part(visit, "ListServiceOverviews", service="signin")
    return tuple(part.get("Services"))


async def read_activity(visit: Visit) -> PagePart:
    """The hourly counts of the last day, if the caller may read the audit log.

    Raises:
        BrokerError: The action failed for another reason.
    """
    return await read_part(
        visit,
        "GetActivity",
        service="signin",
        StartTime=bucket_start(visit.now - timedelta(hours=HOURS), 1),
        BucketHours=1,
    )


def count_by_service(part: PagePart) -> Mapping[str, tuple[int, int]]:
    """By the ARN of each service, how many decisions allowed and how many did not."""
    if part.found is None:
        return {}
    activity = part.found["Activity"]
    passed: Counter[str] = sum_by_name(activity, PASSED)
    refused: Counter[str] = sum_by_name(activity, REFUSED)
    return {arn: (passed[arn], refused[arn]) for arn in passed | refused}


async def read_decisions(visit: Visit, view: ServiceView) -> dict[str, Any]:
    """The counts of the last day, and the last decisions with their reasons.

    Raises:
        BrokerError: An action failed for another reason than missing permissions.
    """
    part = await read_activity(visit)
    if part.found is None:
        return {
            "activity": part,
            "counted": None,
            "decisions": (),
            "log": "",
            "hours": 0,
        }
    since = bucket_start(visit.now - timedelta(hours=HOURS), 1)
    counted = count_over_time(
        part.found["Activity"],
        max(since, view.service["CreateDate"]),
        visit.now,
        1,
        passed_as=PASSED,
        refused_as=REFUSED,
        name=view.service["Arn"],
    )
    decisions = [
        record
        for action in (f"{view.prefix}:*", *_ASKED)
        for record in await _records(visit, action)
        if _is_about(record, view)
    ]
    decisions.sort(key=lambda record: record.at, reverse=True)
    return {
        "activity": part,
        "counted": counted,
        "decisions": decisions[:SHOWN],
        "log": address(AUDIT, action=f"{view.prefix}:*"),
        "audit": AUDIT,
        "address": address,
        "hours": HOURS,
    }


async def _records(visit: Visit, action: str) -> Iterable[AuditRecord]:
    part = await read_part(
        visit, "LookupEvents", service="cloudtrail", Action=action, MaxResults=_READ
    )
    records: Iterable[AuditRecord] = part.get("Events")
    return records


def _is_about(record: AuditRecord, view: ServiceView) -> bool:
    """Whether a record is of this service: several may use execute-api."""
    if record.action in _ASKED:
        return bool(record.error_code) and view.service["Arn"] in record.resources
    if view.prefix != EXECUTE_API:
        return True
    return any(
        arn.split(":", 5)[-1].startswith(f"{view.name}/") for arn in record.resources
    )


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
    answer = await visit.perform(SERVICE, "GetService", ServiceName=name)
    view = view_service(visit, answer["Service"])
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
