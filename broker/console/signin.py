"""``/signin``: where to begin, and where one ends up after leaving."""

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SignedIn
from broker.console.deps import SignInLink
from broker.console.desk import Desk
from broker.console.facts import refuse_prefetch
from broker.console.forms import read_form
from broker.console.oidc_logout import THERE
from broker.console.oidc_signin import OidcSignIn
from broker.console.saml_requests import SamlRequests
from broker.console.ways_in import WaysIn
from broker.errors import NoSuchEntity
from broker.model.entities import SamlProvider

_ACCOUNT = re.compile(r"[0-9]{12}|[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII)


class SignIn:
    """The pages outside."""

    def __init__(self, desk: Desk, oidc: OidcSignIn) -> None:
        self._desk = desk
        self._ways = WaysIn(desk)
        self._saml = SamlRequests(desk)
        self._oidc = oidc

    async def page(self, request: Request) -> Response:
        """``/signin`` and ``/signin/{alias or id}``; says the same of any account."""
        account: str = request.path_params.get("account", "")
        if account and not _ACCOUNT.fullmatch(account):
            raise NoSuchEntity("There is no such page.")
        deps = self._desk.deps
        ways = await self._ways.of_account(account) if account else ()
        who = await self._desk.find_session(request)
        return self._desk.pages.show(
            request,
            "signin.html",
            account=account,
            current=who.principal if isinstance(who, SignedIn) else None,
            links=(
                *deps.sign_in_links,
                *(SignInLink(way.label, way.url) for way in ways),
            ),
            acs=f"{deps.public_origin}/saml",
            federation=f"{deps.public_origin}/federation",
        )

    async def begin(self, request: Request) -> Response:
        """``/signin/{account}/with/{provider}``: off to the identity provider."""
        refuse_prefetch(request)
        form = await read_form(request)
        account: str = request.path_params["account"]
        way = None
        if _ACCOUNT.fullmatch(account):
            way = await self._ways.find(account, request.path_params["provider"])
        if way is None:
            raise NoSuchEntity("There is no such page.")
        wanted = form.find("Destination") or ""
        destination = self._desk.destinations.find_safe(wanted) or ""
        if isinstance(way.provider, SamlProvider):
            return await self._saml.begin(request, way.provider, destination)
        return await self._oidc.begin(request, way.provider, destination)

    async def signed_out(self, request: Request) -> Response:
        """After signing out; the session at the identity provider may go on."""
        handle = (await read_form(request)).find("there") or ""
        login = await self._desk.logins.find_way_out(handle) if handle else None
        return self._desk.pages.show(
            request,
            "signed_out.html",
            there=f"{THERE}?{urlencode({'handle': handle})}" if login else None,
            provider=login.provider_arn.partition("/")[2] if login else "",
        )
