"""*My permissions*: the session's own policies."""

from collections.abc import Sequence

from msgspec import Struct
from starlette.responses import Response

from broker.console.visit import PageRoute, Visit
from broker.policy import PolicyDocument, PolicyType, Statement
from broker.policy.catalogue import ServiceSummary, policy_summary

_ROWS_MAX = 60
_STATEMENTS_MAX = 20
"""Bounds that keep the page short however large the policies are."""

_TITLES = {
    PolicyType.IDENTITY: "Granted by your role",
    PolicyType.BOUNDARY: "Limited by the permissions boundary",
    PolicyType.SESSION: "Limited by the session policy",
}


class StatementView(Struct, frozen=True):
    """A statement and the name of its policy."""

    policy: str
    statement: Statement


class LayerView(Struct, frozen=True):
    """Policies that are evaluated together; layers after the first only restrict."""

    title: str
    rows: tuple[ServiceSummary, ...]
    rows_more: int
    statements: tuple[StatementView, ...]
    statements_more: int


async def _page(visit: Visit) -> Response:
    result = await visit.perform("signin", "GetOwnPermissions")
    return await visit.show(
        "permissions.html",
        layers=[
            layer_view(_TITLES[kind], match.policies)
            for kind, match in result["Layers"]
        ],
        controlled=result["Controlled"],
    )


def layer_view(title: str, policies: Sequence[tuple[str, PolicyDocument]]) -> LayerView:
    """What policies that are evaluated together say; each has its name."""
    rows = policy_summary(document for _, document in policies)
    statements = [
        StatementView(label, statement)
        for label, document in policies
        for statement in document.statements
    ]
    return LayerView(
        title=title,
        rows=rows[:_ROWS_MAX],
        rows_more=max(0, len(rows) - _ROWS_MAX),
        statements=tuple(statements[:_STATEMENTS_MAX]),
        statements_more=max(0, len(statements) - _STATEMENTS_MAX),
    )


PAGES = (PageRoute("/console/permissions", "permissions", _page),)
