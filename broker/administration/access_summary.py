"""*Permissions by service* of a user, group or role, from all its policies."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from broker.administration.policies import parse_stored
from broker.administration.policy_texts import read_texts
from broker.console.visit import PageRoute, Visit, address
from broker.errors import AccessDenied, ValidationError
from broker.model.arn import iam_arn
from broker.policy.catalogue import ServiceSummary, policy_summary

PATH = "/console/summary"
_ROWS_MAX = 60
_PAGES = {
    "role": ("roles", "/console/roles/role"),
    "user": ("users", "/console/users/permissions"),
    "group": ("groups", "/console/groups/permissions"),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """Policies that are evaluated together; a second layer only restricts the first."""

    title: str
    policies: tuple[str, ...]
    rows: tuple[ServiceSummary, ...]
    more: int


async def _page(visit: Visit) -> Response:
    kind, name = visit.text("kind"), visit.text("name")[:128]
    if kind not in _PAGES or not name:
        raise ValidationError("The kind (role, user or group) or the name is missing.")
    texts = await read_texts(visit, kind, name)
    if texts.refused:
        raise AccessDenied(texts.refused)
    layers = [_layer("Granted by its policies", texts.own)]
    if texts.boundary:
        layers.append(_layer("Limited by the permissions boundary", texts.boundary))
    visit.here, path = _PAGES[kind]
    return await visit.show(
        "admin/access_summary.html",
        name=name,
        kind=kind,
        layers=layers,
        back=address(path, name=name),
        arn=iam_arn(visit.who.session.account, f"{kind}/{name}"),
    )


def _layer(title: str, texts: Mapping[str, str]) -> Layer:
    documents = [d for d in map(parse_stored, texts.values()) if d is not None]
    rows = policy_summary(documents)
    return Layer(title, tuple(texts), rows[:_ROWS_MAX], max(0, len(rows) - _ROWS_MAX))


PAGES = (PageRoute(PATH, "", _page),)
