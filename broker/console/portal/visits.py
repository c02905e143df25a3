"""Visits to the portal's pages: who came, to which place; or where to sign in."""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from broker.actions.portal.role_choices import AccountNames
from broker.actions.portal.start_urls import profile_start_url
from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.csrf import csrf_token
from broker.console.forms import Form, read_form
from broker.console.portal.places import PLACE, PORTAL, PortalPlaces, place_of
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.rendering import Handler, page_status, see_other
from broker.console.request_info import (
    note,
    raw_request,
    refuse_prefetch,
    require_place,
    source_address,
)
from broker.console.sign_in_options import SignInOption, SignInOptions
from broker.errors import AccessDenied, BrokerError, ServiceUnavailable, ValidationError
from broker.model.account import AccountId
from broker.sessions.portal import OpenPortal

_ROLE = re.compile(
    r"arn:aws:iam::([0-9]{12}):role/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,64})", re.ASCII
)


class PortalVisit(Struct, frozen=True):
    """A request for a page of the portal, by somebody who is signed in to it.

    ``place`` is what the address names: an account's number or alias, or an
    organisation.
    """

    request: Request
    place: str
    form: Form
    portal: OpenPortal

    @property
    def start(self) -> str:
        """The path of the start page."""
        return f"{PORTAL}/{self.place}"


Page = Callable[[PortalVisit], Awaitable[Response]]


class RoleName(Struct, frozen=True):
    """A role that a page names."""

    arn: str
    account: AccountId
    name: str


def read_role(form: Form) -> RoleName:
    """The role of the field ``role``; it need not exist.

    Raises:
        ValidationError: it is not a role's ARN.
    """
    arn = form.require("role")
    match = _ROLE.fullmatch(arn)
    if match is None:
        raise ValidationError("There is no such role.")
    return RoleName(arn, AccountId(match[1]), match[2])


class PortalVisits:
    """Matches the browser's sign-in with the place of a start URL."""

    def __init__(self, context: ConsoleContext, sign_ins: PortalSignIns) -> None:
        self._context = context
        self._sign_ins = sign_ins
        self._places = PortalPlaces(context)
        self._options = SignInOptions(context)
        self._begin_limits = context.begin_limits
        self._names = AccountNames(context.deps.fresh, context.deps.organisations)

    async def find(self, request: Request, place: str) -> OpenPortal | None:
        """The browser's sign-in to this place: an account or an organisation.

        An IAM user who is signed in to the console is signed in here, too.
        """
        portal_place = await self._places.find(place)
        if portal_place is None:
            return None
        portal = await self._sign_ins.find(request)
        if portal is not None and portal_place.is_reached_by(portal):
            return portal
        return await self._sign_ins.open_for_user(request, portal_place)

    def page(self, page: Page) -> Handler:
        """A page below a start URL, for a person who is signed in; refusals are pages, too."""

        async def answer(request: Request) -> Response:
            refuse_prefetch(request)
            visit = await self._enter(request)
            if isinstance(visit, Response):
                return visit
            try:
                return await page(visit)
            except ServiceUnavailable:
                raise
            except BrokerError as error:
                note(request, error_code=error.code)
                return await self.show(
                    visit,
                    "portal_refused.html",
                    page_status(error),
                    code=error.code,
                    message=error.words,
                    is_denied=isinstance(error, AccessDenied),
                )

        return answer

    async def _enter(self, request: Request) -> PortalVisit | Response:
        """The visit; without a sign-in, where to sign in.

        Raises:
            AccessDenied: a form is of another site or another sign-in.
        """
        place = require_place(request)
        form = await read_form(request)
        portal = await self.find(request, place)
        if portal is None:
            destination = f"{PORTAL}/{place}"
            # A page of ours knows with which provider the person is signed in there.
            provider_id = form.find("with")
            provider = provider_id and await self._options.find(place, provider_id)
            if provider:
                begin = SignInOption.of(provider).url
                url = f"{begin}?{urlencode({'Destination': destination})}"
                return see_other(url)
            return await self.to_sign_in(request, place, destination)
        if request.method == "POST":
            self._context.require_csrf(request, form, portal.handle)
        return PortalVisit(request, place, form, portal)

    async def show(
        self, visit: PortalVisit, template: str, status: int = 200, **context: object
    ) -> Response:
        """A page in the portal's frame."""
        deps = self._context.deps
        portal, flash = visit.portal, self._context.flash
        left = (portal.ends_at - deps.clock.now()).total_seconds()
        page = self._context.pages.show(
            visit.request,
            template,
            status,
            place=visit.place,
            place_name=await self._name_of_place(visit),
            name=portal.session.name,
            provider_label=portal.session.provider_arn
            and await self._options.label_of(portal.session.provider_arn),
            ends_at=portal.ends_at,
            seconds_left=max(0, int(left)),
            origin=deps.public_origin,
            start_url=profile_start_url(deps.public_origin, visit.place),
            region=deps.endpoints.find_region(raw_request(visit.request)),
            just_done=flash.find(visit.request, portal.handle),
            csrf=csrf_token(portal.handle),
            **context,
        )
        flash.clear(visit.request, page)
        self._sign_ins.remember(visit.request, page, portal)
        return page

    async def _name_of_place(self, visit: PortalVisit) -> str:
        organisation = self._context.deps.organisations.find(visit.portal.organisation)
        if organisation is not None:
            return organisation.display_name
        return await self.name_of(visit.portal, visit.portal.session.account)

    async def name_of(self, portal: OpenPortal, account: AccountId) -> str:
        """What an account is called."""
        return await self._names.get(portal, account)

    async def to_sign_in(
        self, request: Request, place: str, destination: str
    ) -> Response:
        """Redirect to the place's sign-in page, and back afterwards.

        Raises:
            Throttling: this address begins too many sign-ins.
        """
        await self._begin_limits.require(source_address(request))
        if self._context.deps.organisations.find(place) and not place_of(destination):
            mark = "&" if "?" in destination else "?"
            destination = f"{destination}{mark}{urlencode({PLACE: place})}"
        response = see_other(
            f"{SIGN_IN}/{place}?{urlencode({'Destination': destination})}"
        )
        await self._sign_ins.wait(response, destination)
        return response
