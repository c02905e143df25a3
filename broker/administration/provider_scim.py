"""*SCIM* of a provider: its directory's address and tokens, people and groups."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from broker.actions.scim.administration import GROUPS_MAX, PEOPLE_MAX
from broker.administration import providers
from broker.administration.listing import read_part
from broker.administration.provider_page import require_arn
from broker.administration.providers import name_of
from broker.administration.token_form import read_token_form, typed
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ValidationError
from broker.identities.bearer_tokens import DAYS, DAYS_MAX

PATH = "/console/providers/scim"
_SERVICE = "broker"
_START_DIGITS = 7
_INACTIVE = "inactive"


async def _page(visit: Visit) -> Response:
    arn = require_arn(visit)
    made: Mapping[str, Any] | None = None
    if visit.posted:
        with visit.attempt(providers.describe_error):
            operation = _OPERATIONS.get(visit.text("do"))
            if operation is None:
                raise ValidationError("Unknown operation.")
            done = await operation(visit, arn)
            if isinstance(done, Response):
                return done
            made = done
    search, state = visit.text("q")[:128], visit.text("state")
    inactive_only = state == _INACTIVE
    start = _read_start(visit.text("start"))
    found = await visit.perform(
        "signin",
        "GetProvisioning",
        ProviderArn=arn,
        Start=start,
        UserName=search,
        InactiveOnly=inactive_only,
    )
    account = visit.who.session.account
    here = {"arn": arn, "q": search, "state": _INACTIVE if inactive_only else ""}
    more = start + PEOPLE_MAX < found["Total"]
    return await visit.show(
        "admin/provider_scim.html",
        provider=found["Provider"],
        name=name_of(arn),
        options=found["Options"],
        counts=found["Counts"],
        users=found["Users"],
        members=found["Members"],
        groups=found["Groups"],
        groups_max=GROUPS_MAX,
        total=found["Total"],
        tokens=await read_part(
            visit, "ListScimTokens", service=_SERVICE, ProviderArn=arn
        ),
        scim_address=f"{visit.deps.public_origin}/scim/v2/{account}",
        made=made,
        now=visit.now,
        days=DAYS,
        days_max=DAYS_MAX,
        values=typed(visit),
        search=search,
        inactive_only=inactive_only,
        states=[
            ("All", address(PATH, arn=arn, q=search), not inactive_only),
            (
                "Inactive",
                address(PATH, arn=arn, q=search, state=_INACTIVE),
                inactive_only,
            ),
        ],
        pages={
            "first": address(PATH, **here) if start else "",
            "next": address(PATH, **here, start=str(start + PEOPLE_MAX))
            if more
            else "",
        },
    )


def _read_start(text: str) -> int:
    """How many people come before the page's; 0 for any other text."""
    digits = text.isascii() and text.isdigit() and len(text) <= _START_DIGITS
    return int(text) if digits else 0


async def _make_token(visit: Visit, arn: str) -> Mapping[str, Any]:
    return await visit.perform(
        _SERVICE, "CreateScimToken", ProviderArn=arn, **read_token_form(visit)
    )


async def _revoke(visit: Visit, arn: str) -> Response:
    await visit.perform(
        _SERVICE, "DeleteScimToken", ProviderArn=arn, TokenId=visit.text("token")
    )
    return visit.done("Token revoked.", PATH, arn=arn)


_Operation = Callable[[Visit, str], Awaitable[Mapping[str, Any] | Response]]
_OPERATIONS: Mapping[str, _Operation] = {"make-token": _make_token, "revoke": _revoke}

PAGES = (PageRoute(PATH, providers.HERE, _page, BOTH),)
