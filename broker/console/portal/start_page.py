"""``/portal/{account}``: the start URL in a browser.

Source: AWS IAM Identity Center User Guide, "Using the AWS access portal".
"""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.authn.portal import PortalScheme
from broker.console.context import ConsoleContext
from broker.console.csrf import FIELD, csrf_token, is_own_form, require_same_origin
from broker.console.forms import read_form
from broker.console.portal.sign_ins import PORTAL, PortalSignIns
from broker.console.portal.visits import PortalVisits
from broker.console.request_info import refuse_prefetch
from broker.console.signin.account_page import require_place
from broker.errors import AccessDenied
from broker.model.request import Door
from broker.sessions.portal import OpenPortal

START = f"{PORTAL}/{{account}}"
SIGN_OUT = f"{PORTAL}/{{account}}/sign-out"


class StartPage:
    """The accounts and roles of who is signed in."""

    def __init__(
        self, context: ConsoleContext, sign_ins: PortalSignIns, visits: PortalVisits
    ) -> None:
        self._context = context
        self._sign_ins = sign_ins
        self._visits = visits

    async def show(self, request: Request) -> Response:
        """``GET /portal/{account}``."""
        refuse_prefetch(request)
        place = require_place(request)
        portal = await self._visits.find(request, place)
        if portal is None:
            return await self._visits.to_sign_in(
                request, place, START.format(account=place)
            )
        roles = await self._list(request, portal)
        page = self._context.pages.show(
            request,
            "portal_start.html",
            who=portal.resolved.principal,
            name=portal.session.name,
            accounts=roles,
            start_url=f"{self._context.deps.public_origin}{PORTAL}/{place}",
            sign_out=SIGN_OUT.format(account=place),
            csrf=csrf_token(portal.handle),
        )
        await self._sign_ins.remember(request, page, portal)
        return page

    async def sign_out(self, request: Request) -> Response:
        """``POST /portal/{account}/sign-out``."""
        place = require_place(request)
        form = await read_form(request)
        require_same_origin(request, self._context.deps.public_origin)
        open_ones = await self._sign_ins.list_open(request)
        given = form.find(FIELD)
        if open_ones and not any(is_own_form(given, one.handle) for one in open_ones):
            raise AccessDenied(
                "This form is out of date. Go back, reload the page and try again."
            )
        page = self._context.pages.show(
            request, "portal_signed_out.html", start=START.format(account=place)
        )
        await self._sign_ins.end(request, page)
        return page

    async def _list(self, request: Request, portal: OpenPortal) -> Any:  # noqa: ANN401  # the template's
        async def find(_now: datetime) -> OpenPortal:
            return portal

        found = await self._context.perform(
            request, Door.PORTAL, ("sso", "ListAssignments"), PortalScheme(find), dict
        )
        return found["Accounts"]
