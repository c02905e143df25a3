"""*My permissions* and *Try it*: the session's own policies, and what they allow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.catalogue import (
    ServiceSummary,
    find_action,
    policy_summary,
)
from broker.console.page_frame import PageFrame, Route
from broker.errors import ValidationError
from broker.policy import PolicySet, PolicyType, Statement

_OK = 200
_BAD_REQUEST = 400
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


class Permissions:
    """The two pages."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        return (
            ("/console/permissions", ["GET"], self.page),
            ("/console/try", ["GET", "POST"], self.try_it),
        )

    async def page(self, request: Request) -> Response:
        """``GET /console/permissions``."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        _, who = entered
        result = await self._frame.perform(
            request, who, ("signin", "GetOwnPermissions"), {}
        )
        return await self._frame.show(
            request,
            who,
            "permissions.html",
            "permissions",
            layers=[_layer(kind, found) for kind, found in result["Layers"]],
            controlled=result["Controlled"],
            shown_max=_SHOWN_MAX,
        )

    async def try_it(self, request: Request) -> Response:
        """``/console/try``: the form; a POST shows the decision."""
        entered = await self._frame.enter(request)
        if isinstance(entered, Response):
            return entered
        form, who = entered
        action = (form.find("action") or "").strip()
        resource = (form.find("resource") or "").strip()
        answer: Mapping[str, Any] | None = None
        problem = ""
        if request.method == "POST":
            given = {"ActionName": action, "ResourceArn": resource or "*"}
            try:
                answer = await self._frame.perform(
                    request, who, ("signin", "SimulateOwnAccess"), given
                )
            except ValidationError as error:
                problem = error.words
        return await self._frame.show(
            request,
            who,
            "try.html",
            "try",
            _BAD_REQUEST if problem else _OK,
            action=action[:_TYPED_MAX],
            resource=resource[:_TYPED_MAX],
            answer=answer,
            problem=problem,
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
