"""What the policies of an entity cover: by service, and when each was last used.

*Last accessed* works for the ARN of a user, group, role or policy, *Permissions by
service* for a user, group or role.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.responses import Response

from broker.administration.policies import parse_stored
from broker.administration.policy_texts import read_texts
from broker.administration.reading import PageReader
from broker.console.pages.permissions import LayerView, layer_view
from broker.console.tables import cut_page
from broker.console.visit import BOTH, PageRoute, Visit, address, go
from broker.errors import AccessDenied, InvalidInput, ValidationError
from broker.model.arn import iam_arn

ACCESS = "/console/access"
_SERVICES_MAX = 1000
_ACTIONS_MAX = 8
_POLICIES_MAX = 4
_LABELS = {"user": "users", "group": "groups", "role": "roles", "policy": "policies"}

SUMMARY = "/console/summary"
_OWNERS = {
    "role": ("roles", "/console/roles/role"),
    "user": ("users", "/console/users/permissions"),
    "group": ("groups", "/console/groups/permissions"),
}


async def _page(visit: Visit) -> Response:
    arn = visit.form.require("arn")[:2048]
    kind, name = _subject(arn)
    visit.here = _LABELS[kind]
    if visit.posted:
        with visit.attempt():
            made = await visit.iam(
                "GenerateServiceLastAccessedDetails",
                Arn=arn,
                Granularity="ACTION_LEVEL",
            )
            return go(ACCESS, arn=arn, job=made["JobId"])
    job = visit.text("job")
    view: dict[str, Any] = {"report": None, "granting": {}, "pages": None}
    reader = PageReader(visit)
    if job and not visit.problem:
        report = await visit.iam(
            "GetServiceLastAccessedDetails", JobId=job, MaxItems=_SERVICES_MAX
        )
        page = cut_page(
            report["ServicesLastAccessed"], visit.text("page"), ACCESS, arn=arn, job=job
        )
        view["pages"], view["report"] = page, report
        if kind != "policy":
            view["granting"] = await _granting(reader, arn, page.rows)
    return await visit.show(
        "admin/last_accessed.html",
        arn=arn,
        kind=kind,
        name=name,
        refused=reader.refused,
        actions_max=_ACTIONS_MAX,
        policies_max=_POLICIES_MAX,
        **view,
    )


def _subject(arn: str) -> tuple[str, str]:
    kind, _, rest = arn.rpartition(":")[2].partition("/")
    if not arn.startswith("arn:") or kind not in _LABELS or not rest:
        raise InvalidInput(f"{arn} is not a user, group, role or policy.")
    return kind, rest.rpartition("/")[2]


async def _granting(
    reader: PageReader, arn: str, listed: Iterable[Mapping[str, Any]]
) -> dict[str, list[str]]:
    """The names of the policies that grant each service on a page of the report."""
    services = [entry["ServiceNamespace"] for entry in listed]
    if not services:
        return {}
    answer = await reader.iam(
        "ListPoliciesGrantingServiceAccess", Arn=arn, ServiceNamespaces=services
    )
    if answer is None:
        return {}
    return {
        entry["ServiceNamespace"]: [
            policy["PolicyName"] for policy in entry["Policies"]
        ]
        for entry in answer["PoliciesGrantingServiceAccess"]
    }


async def _summary(visit: Visit) -> Response:
    kind, name = visit.text("kind"), visit.text("name")[:128]
    if kind not in _OWNERS or not name:
        raise ValidationError("The kind (role, user or group) or the name is missing.")
    texts = await read_texts(visit, kind, name)
    if texts.refused:
        raise AccessDenied(texts.refused)
    layers = [_layer("Granted by its policies", texts.own)]
    if texts.boundary:
        layers.append(_layer("Limited by the permissions boundary", texts.boundary))
    visit.here, path = _OWNERS[kind]
    return await visit.show(
        "permissions.html",
        of=name,
        layers=layers,
        back=address(path, name=name),
        arn=iam_arn(visit.who.session.account, f"{kind}/{name}"),
    )


def _layer(title: str, texts: Mapping[str, str]) -> LayerView:
    parsed = ((name, parse_stored(text)) for name, text in texts.items())
    return layer_view(
        title, [(name, document) for name, document in parsed if document is not None]
    )


PAGES = (PageRoute(ACCESS, "", _page, BOTH), PageRoute(SUMMARY, "", _summary))
