"""*SCIM* of a provider: its directory's address and tokens, people and groups."""

from starlette.responses import Response

from broker.actions.scim.administration import GROUPS_MAX, PEOPLE_MAX
from broker.administration import providers
from broker.administration.buttons import Buttons, show_tokens, token_buttons
from broker.administration.provider_page import require_arn
from broker.administration.providers import name_of
from broker.console.tables import page_number, place_page
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.kinds.bearer_tokens import SCIM_TOKENS

PATH = "/console/providers/scim"
_INACTIVE = "inactive"


async def _page(visit: Visit) -> Response:
    arn = require_arn(visit)
    if isinstance(made := await _BUTTONS.press(visit, arn), Response):
        return made
    search, state = visit.text("q")[:128], visit.text("state")
    inactive_only = state == _INACTIVE
    number = page_number(visit.text("page"))
    results = await visit.perform(
        "signin",
        "GetProvisioning",
        ProviderArn=arn,
        Start=number * PEOPLE_MAX,
        UserName=search,
        InactiveOnly=inactive_only,
    )
    account = visit.who.session.account
    here = {"arn": arn, "q": search, "state": _INACTIVE if inactive_only else ""}
    page = place_page(
        results["Users"], results["Total"], number, PATH, PEOPLE_MAX, **here
    )
    return await visit.show(
        "admin/provider_scim.html",
        provider=results["Provider"],
        name=name_of(arn),
        options=results["Options"],
        counts=results["Counts"],
        members=results["Members"],
        groups=results["Groups"],
        groups_max=GROUPS_MAX,
        scim_address=f"{visit.deps.public_origin}/scim/v2/{account}",
        **await show_tokens(visit, SCIM_TOKENS, made, arn),
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
        pages=page,
    )


_BUTTONS = Buttons(
    path=PATH,
    query="arn",
    member="ProviderArn",
    service="broker",
    known=token_buttons(SCIM_TOKENS),
)

PAGES = (PageRoute(PATH, providers.SECTION, _page, BOTH),)
