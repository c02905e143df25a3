"""*My permissions* and *Try it*: the session's own policies, and what they allow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.catalogue import (
    ServiceSummary,
    find_action,
    policy_summary,
)
from broker.console.visit import BOTH, PageRoute, Visit
from broker.policy import PolicySet, PolicyType, Statement

_TYPED_MAX = 2048
_ROWS_MAX = 30
_STATEMENTS_MAX = 20
_SHOWN_MAX = 4
"""Bounds that keep the page short however large the policies are."""

_TITLES = {
    PolicyType.IDENTITY: "Granted by your role",
    PolicyType.BOUNDARY: "Limited by the permissions boundary",
    PolicyType.SESSION: "Limited by the session policy",
}


@dataclass(frozen=True, slots=True)
class StatementView:
    """A statement and the name of its policy."""

    policy: str
    statement: Statement


@dataclass(frozen=True, slots=True)
class LayerView:
    """Policies that are evaluated together; layers after the first only restrict."""

    title: str
    rows: tuple[ServiceSummary, ...]
    rows_more: int
    statements: tuple[StatementView, ...]
    statements_more: int


async def _page(visit: Visit) -> Response:
    """``GET /console/permissions``."""
    result = await visit.perform("signin", "GetOwnPermissions")
    return await visit.show(
        "permissions.html",
        layers=[_layer(kind, found) for kind, found in result["Layers"]],
        controlled=result["Controlled"],
        shown_max=_SHOWN_MAX,
    )


async def _try_it(visit: Visit) -> Response:
    """``/console/try``: the form; a POST shows the decision."""
    action, resource = visit.text("action"), visit.text("resource")
    answer: Mapping[str, Any] | None = None
    if visit.posted:
        with visit.attempt():
            answer = await visit.perform(
                "signin",
                "SimulateOwnAccess",
                ActionName=action,
                ResourceArn=resource or "*",
            )
    return await visit.show(
        "try.html",
        action=action[:_TYPED_MAX],
        resource=resource[:_TYPED_MAX],
        answer=answer,
        known=find_action(action) is not None,
    )


def _layer(kind: PolicyType, found: PolicySet) -> LayerView:
    rows = policy_summary(document for _, document in found.policies)
    statements = [
        StatementView(label, statement)
        for label, document in found.policies
        for statement in document.statements
    ]
    return LayerView(
        title=_TITLES[kind],
        rows=rows[:_ROWS_MAX],
        rows_more=max(0, len(rows) - _ROWS_MAX),
        statements=tuple(statements[:_STATEMENTS_MAX]),
        statements_more=max(0, len(statements) - _STATEMENTS_MAX),
    )


PAGES = (
    PageRoute("/console/permissions", "permissions", _page),
    PageRoute("/console/try", "try", _try_it, BOTH),
)
