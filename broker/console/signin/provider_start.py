"""Where a sign-in with an identity provider begins."""

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.cookies import KnownBrowser
from broker.console.forms import read_form
from broker.console.request_info import (
    refuse_prefetch,
    require_place,
    source_address,
)
from broker.console.sign_in_options import SignInOptions
from broker.console.signin.directory_signin import DirectorySignIn
from broker.console.signin.oidc_signin import OidcSignInPages
from broker.console.signin.saml_requests import SamlRequests
from broker.errors import NoSuchEntity
from broker.model.entities import LdapProvider, SamlProvider


class ProviderStart:
    """Sends the browser to the provider, or shows a directory's form."""

    def __init__(
        self, context: ConsoleContext, oidc: OidcSignInPages, directory: DirectorySignIn
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
        provider = await self._options.find(account, request.path_params["provider"])
        if provider is None:
            raise NoSuchEntity("There is no such page.")
        destination = self._context.destination_of(form)
        if not isinstance(provider, LdapProvider):
            await self._context.begin_limits.require(source_address(request))
        if isinstance(provider, SamlProvider):
            response = await self._saml.begin(request, provider, destination)
        elif isinstance(provider, LdapProvider):
            response = await self._directory.show(request, provider, destination)
        else:
            response = await self._oidc.begin(request, provider, destination)
        self._remember(request, response, account, provider.unique_id)
        return response

    def _remember(
        self, request: Request, response: Response, account: str, way: str
    ) -> None:
        known = self._context.known.find(request)
        # Links carry the account's number, people type its alias: same account.
        if known is not None and account in {known.place, known.account}:
            known = replace(known, way=way)
        else:
            known = KnownBrowser(place=account, way=way)
        self._context.known.remember(response, known)
