"""Who visits the portal of an account; without a sign-in, where to sign in."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.rendering import see_other
from broker.console.request_info import source_address
from broker.console.signin.sign_in_options import SignInOptions
from broker.sessions.portal import OpenPortal


class PortalVisits:
    """Matches the browser's sign-in with the account of a start URL."""

    def __init__(self, context: ConsoleContext, sign_ins: PortalSignIns) -> None:
        self._sign_ins = sign_ins
        self._options = SignInOptions(context)
        self._begin_limits = context.begin_limits

    async def find(self, request: Request, place: str) -> OpenPortal | None:
        """The browser's sign-in to this account (its number or alias).

        An IAM user who is signed in to the console is signed in here as well.
        """
        number = await self._options.find_number(place)
        if number is None:
            return None
        portal = await self._sign_ins.find(request, lambda one: one.reaches(number))
        return portal or await self._sign_ins.open_for_user(request, number)

    async def to_sign_in(
        self, request: Request, place: str, destination: str
    ) -> Response:
        """Redirect to the account's sign-in page, and back afterwards.

        Raises:
            Throttling: this address begins too many sign-ins.
        """
        await self._begin_limits.require(source_address(request))
        response = see_other(
            f"{SIGN_IN}/{place}?{urlencode({'Destination': destination})}"
        )
        await self._sign_ins.wait(response, destination)
        return response
