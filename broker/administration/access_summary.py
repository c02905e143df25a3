"""*Permissions by service* of a user, group or role, from all its policies."""

from collections.abc import Mapping

from starlette.responses import Response

from broker.administration.policies import parse_stored
from broker.administration.policy_texts import read_texts
from broker.console.pages.permissions import LayerView, layer_view
from broker.console.visit import PageRoute, Visit, address
from broker.errors import AccessDenied, ValidationError
from broker.model.arn import iam_arn

PATH = "/console/summary"
_PAGES = {
    "role": ("roles", "/console/roles/role"),
    "user": ("users", "/console/users/permissions"),
    "group": ("groups", "/console/groups/permissions"),
}


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


PAGES = (PageRoute(PATH, "", _page),)
