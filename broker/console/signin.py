"""``/signin``: where to begin, and where one ends up after leaving."""

import re

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SignedIn
from broker.console.desk import Desk
from broker.errors import NoSuchEntity

_ACCOUNT = re.compile(r"[0-9]{12}|[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII)


class SignIn:
    """The pages outside."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def page(self, request: Request) -> Response:
        """``/signin`` and ``/signin/{alias or id}``; says the same of any account."""
        account: str = request.path_params.get("account", "")
        if account and not _ACCOUNT.fullmatch(account):
            raise NoSuchEntity("There is no such page.")
        deps = self._desk.deps
        who = await self._desk.find_session(request)
        return self._desk.pages.show(
            request,
            "signin.html",
            account=account,
            current=who.principal if isinstance(who, SignedIn) else None,
            links=deps.sign_in_links,
            acs=f"{deps.public_origin}/saml",
            federation=f"{deps.public_origin}/federation",
        )

    async def signed_out(self, request: Request) -> Response:
        """After signing out."""
        return self._desk.pages.show(request, "signed_out.html")
