"""``/signin``: the account chooser, an account's page, and the page after signing out."""

import re
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession
from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.deps import SignInLink
from broker.console.forms import read_form
from broker.console.rendering import see_other
from broker.console.request_info import (
    ACCOUNT_PLACE,
    require_place,
)
from broker.console.sign_in_options import SignInOption, SignInOptions
from broker.console.sign_out import find_way_out
from broker.console.signin.oidc_logout import THERE
from broker.kinds.organisations import Organisation
from broker.model.account import Account
from broker.model.secret import Confidential, Hidden
from broker.stores.directory.kinds import ACCOUNT

_NO_PLACE = (
    "Enter the account's number (twelve digits) or its alias (lower-case letters,"
    " digits and hyphens)."
)
_ACCOUNT_MAX = 80
_OK, _BAD = 200, 400


class SignInForm(Confidential, frozen=True, kw_only=True):
    """The fields of an account's sign-in page, as shown or as submitted.

    The page never shows the ``password`` again.
    """

    place: str
    destination: str = ""
    is_root: bool = False
    name: str = ""
    remember: bool = True
    password: Hidden[str] = ""


class SignIn:
    """The pages shown before sign-in."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._options = SignInOptions(context)

    async def begin_page(self, request: Request) -> Response:
        """``/signin``: ask for the account, or go to the one this browser used last."""
        form = await read_form(request)
        destination = self._context.destination_of(form)
        account = form.find("account")
        if account is not None:
            place = _place(account)
            if ACCOUNT_PLACE.fullmatch(place):
                return see_other(_with(f"{SIGN_IN}/{place}", destination))
        known = self._context.known.find(request)
        if known is not None and account is None and form.find("other") is None:
            return see_other(_with(f"{SIGN_IN}/{known.place}", destination))
        who = await self._context.find_session(request)
        return self._context.pages.show(
            request,
            "signin.html",
            _OK if account is None else _BAD,
            current=who.principal if isinstance(who, ConsoleSession) else None,
            links=self._context.deps.sign_in_links,
            account=(account or "")[:_ACCOUNT_MAX],
            problem="" if account is None else _NO_PLACE,
            destination=destination,
            **self._endpoints,
        )

    async def account_page(self, request: Request) -> Response:
        """``/signin/{alias or id}``; does not reveal whether the account exists.

        An organisation has a page of its own.
        """
        place = require_place(request)
        form = await read_form(request)
        organisation = self._context.deps.organisations.find(place)
        if organisation is not None:
            return await self._show_organisation(
                request, organisation, self._context.destination_of(form)
            )
        known = self._context.known.find(request)
        known = known if known is not None and known.place == place else None
        return await self.show(
            request,
            SignInForm(
                place=place,
                destination=self._context.destination_of(form),
                is_root=form.find("kind") == "root",
                name=known.name if known else "",
            ),
        )

    async def _show_organisation(
        self, request: Request, organisation: Organisation, destination: str
    ) -> Response:
        destination = destination or f"/portal/{organisation.name}"
        options = await self._options.of_organisation(organisation)
        members = [
            account
            for account in organisation.members.values()
            if account.has_passwords
        ]
        directory = self._context.deps.directory
        accounts = [
            (account, await directory.find(ACCOUNT, account.account))
            for account in members
        ]
        return self._context.pages.show(
            request,
            "signin_organisation.html",
            organisation=organisation,
            links=[_link(option, "", destination) for option in options],
            accounts=[
                SignInLink(
                    member_account.display_name
                    or (account and account.alias)
                    or member_account.account,
                    _with(f"{SIGN_IN}/{member_account.account}", destination),
                    member_account.account,
                )
                for member_account, account in accounts
            ],
        )

    async def show(
        self,
        request: Request,
        fields: SignInForm,
        *,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        """Render an account's page; ``problem`` says why the last attempt failed."""
        known = self._context.known.find(request)
        last = known.way if known and known.place == fields.place else ""
        options = await self._options.of_account(fields.place)
        who = await self._context.find_session(request)
        return self._context.show_form(
            request,
            "signin_account.html",
            status,
            account=fields.place,
            fields=fields,
            problem=problem,
            current=who.principal if isinstance(who, ConsoleSession) else None,
            links=(
                *(
                    _link(option, last, fields.destination)
                    for option in sorted(options, key=lambda option: option.id != last)
                ),
                *self._context.deps.sign_in_links,
            ),
            **self._endpoints,
        )

    async def signed_out(self, request: Request) -> Response:
        """The page after sign-out, with a link to sign out at the provider as well."""
        handle = (await read_form(request)).find("there") or ""
        login = await find_way_out(self._context, request, handle) if handle else None
        return self._context.pages.show(
            request,
            "signed_out.html",
            there=f"{THERE}?{urlencode({'handle': handle})}" if login else None,
            provider=await self._options.label_of(login.provider_arn) if login else "",
        )

    async def find_account(self, place: str) -> Account | None:
        """Find the account by the number or alias in an address."""
        directory = self._context.deps.directory
        number = await self._options.find_number(place)
        return None if number is None else await directory.find(ACCOUNT, number)

    @property
    def _endpoints(self) -> dict[str, str]:
        """The URLs that an identity provider's administrator needs."""
        origin = self._context.deps.public_origin
        return {"acs": f"{origin}/saml", "federation": f"{origin}/federation"}


def _place(text: str) -> str:
    """Normalize what was typed: numbers come in groups, aliases in capitals."""
    digits = re.sub(r"[\s-]", "", text[:_ACCOUNT_MAX])
    return digits if digits.isascii() and digits.isdigit() else text.strip().lower()


def _link(option: SignInOption, last: str, destination: str) -> SignInLink:
    note = "Last used" if option.id == last else ""
    return SignInLink(option.label, _with(option.url, destination), note)


def _with(path: str, destination: str) -> str:
    return f"{path}?{urlencode({'Destination': destination})}" if destination else path
