"""``/signin/{account}/with/{provider}``: where signing in with a provider begins."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.forms import read_form
from broker.console.known_browsers import KnownBrowser
from broker.console.request_info import refuse_prefetch, require_place, source_address
from broker.console.sign_in_options import SignInOption, SignInOptions
from broker.console.signin.directory_signin import DirectorySignIn
from broker.console.signin.oidc_signin import OidcSignIn
from broker.console.signin.saml_requests import SamlRequests
from broker.errors import NoSuchEntity
from broker.model.entities import LdapProvider, SamlProvider


class ProviderStart:
    """Sends the browser to the provider, or shows a directory's form."""

    def __init__(
        self, context: ConsoleContext, oidc: OidcSignIn, directory: DirectorySignIn
    ) -> None:
        self._context = context
        self._options = SignInOptions(context)
        self._saml = SamlRequests(context)
        self._oidc = oidc
        self._directory = directory

    async def begin(self, request: Request) -> Response:
        """``/signin/{account}/with/{provider}``: to the identity provider, or its form."""
        refuse_prefetch(request)
        form = await read_form(request)
        account = require_place(request)
        option = await self._options.find(account, request.path_params["provider"])
        if option is None:
            raise NoSuchEntity("There is no such page.")
        destination = form.find("Destination") or ""
        destination = self._context.destinations.find_safe(destination) or ""
        if not isinstance(option.provider, LdapProvider):
            await self._context.begin_limits.require(source_address(request))
        if isinstance(option.provider, SamlProvider):
            response = await self._saml.begin(request, option.provider, destination)
        elif isinstance(option.provider, LdapProvider):
            response = await self._directory.show(request, option, destination)
        else:
            response = await self._oidc.begin(request, option.provider, destination)
        self._remember(request, response, account, option)
        return response

    def _remember(
        self, request: Request, response: Response, account: str, option: SignInOption
    ) -> None:
        known = self._context.known.find(request)
        # Links carry the account's number, people type its alias: same account.
        if known is not None and account in {known.place, known.account}:
            known = replace(known, way=option.id)
        else:
            known = KnownBrowser(place=account, way=option.id)
        self._context.known.remember(response, known)
