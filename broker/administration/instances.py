"""*Instances*: the machines of the account, join tokens, and the page of one machine."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from broker.administration.buttons import Button, Buttons, kept
from broker.administration.listing import ListPage, read_part, whole_list
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ValidationError
from broker.kinds.bearer_tokens import JOIN_TOKENS

SERVICE = "broker"
SECTION = "instances"
LIST = "/console/instances"
DETAIL = "/console/instances/instance"
NEW = "/console/instances/join"
_SECONDS_DIGITS = 6
_MINUTE = 60

_LIST = ListPage(
    path=LIST,
    here=SECTION,
    template="admin/instances.html",
    read=whole_list("broker:ListInstances", "Instances"),
    searched=lambda entry: (
        f"{entry['InstanceId']}\n{entry.get('InstanceProfileArn', '')}"
    ),
)
_BUTTONS = Buttons(
    path=DETAIL,
    query="id",
    member="InstanceId",
    service=SERVICE,
    known={
        "associate": Button(
            "AssociateInstanceProfile",
            {"InstanceProfileName": lambda visit: visit.form.require("profile")[:128]},
            "The machine has a new instance profile.",
        ),
        "detach": Button(
            "DisassociateInstanceProfile",
            done="The machine no longer has an instance profile.",
        ),
        "end": Button("EndInstance", done="Instance ended.", to=LIST),
    },
)


async def _list(visit: Visit) -> Response:
    if visit.posted:
        with visit.attempt():
            await visit.perform(SERVICE, "DeleteJoinToken", TokenId=visit.text("token"))
            return visit.done("Join token deleted.", LIST)
    tokens = await read_part(visit, "ListJoinTokens", service=SERVICE)
    return await _LIST.answer(
        visit,
        tokens=tokens,
        open_tokens=[
            token
            for token in tokens.get("JoinTokens")
            if "InstanceId" not in token and token["ExpirationDate"] > visit.now
        ],
    )


async def _join(visit: Visit) -> Response:
    made: Mapping[str, Any] | None = None
    if visit.posted:
        with visit.attempt():
            made = await visit.perform(
                SERVICE,
                "CreateJoinToken",
                InstanceProfileName=visit.form.require("profile")[:128],
                DurationSeconds=_MINUTE * _minutes(visit.text("minutes")),
                Addresses=visit.text("addresses").replace(",", " ").split() or None,
            )
    return await visit.show(
        "admin/instance_join.html",
        profiles=await read_part(visit, "ListInstanceProfiles"),
        made=made,
        origin=visit.deps.public_origin,
        region=visit.region,
        minutes=JOIN_TOKENS.default // _MINUTE,
        minutes_max=JOIN_TOKENS.most // _MINUTE,
        values=kept(visit, "profile", "minutes", "addresses"),
    )


def _minutes(text: str) -> int:
    if not text:
        return JOIN_TOKENS.default // _MINUTE
    if not (text.isascii() and text.isdigit() and len(text) <= _SECONDS_DIGITS):
        raise ValidationError(
            f"A join token is valid for {JOIN_TOKENS.least // _MINUTE} to"
            f" {JOIN_TOKENS.most // _MINUTE} minutes."
        )
    return int(text)


async def _one(visit: Visit) -> Response:
    name = visit.form.require("id")[:64]
    if isinstance(done := await _BUTTONS.press(visit, name), Response):
        return done
    answer = await visit.perform(SERVICE, "GetInstance", InstanceId=name)
    return await visit.show(
        "admin/instance.html",
        instance=answer["Instance"],
        profiles=await read_part(visit, "ListInstanceProfiles"),
    )


PAGES = (
    PageRoute(LIST, SECTION, _list, BOTH),
    PageRoute(NEW, SECTION, _join, BOTH),
    PageRoute(DETAIL, SECTION, _one, BOTH),
)
