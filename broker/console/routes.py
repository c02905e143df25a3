"""The console's routes."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.context import HOME, LOGIN, SIGN_IN, ConsoleContext
from broker.console.deps import ConsoleDeps
from broker.console.oauth import (
    CONSENT,
    DEVICE,
    LOGIN_AUTHORIZE,
    PORTAL_AUTHORIZE,
    DevicePage,
    PortalConsent,
    TerminalConsent,
)
from broker.console.page_frame import PageFrame
from broker.console.pages import (
    audit_log,
    home,
    own_credentials,
    own_devices,
    permissions,
    search,
    sessions,
    switch_role,
    try_it,
)
from broker.console.pending_login import LoginMethod
from broker.console.portal import start_page
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.start_page import StartPage
from broker.console.portal.visits import PortalVisits
from broker.console.rendering import Handler, see_other
from broker.console.sign_out import SIGNED_OUT, SignOut
from broker.console.signin import (
    oidc_logout,
    oidc_signin,
    password_signin,
    password_steps,
    role_offer,
    saml_logout,
    saml_requests,
)
from broker.console.signin.account_page import SignIn
from broker.console.signin.directory_signin import DirectorySignIn
from broker.console.signin.federation import Federation
from broker.console.signin.login_completion import CONTINUE, LoginCompletion
from broker.console.signin.oidc_logout import OidcLogout
from broker.console.signin.oidc_signin import OidcSignInPages
from broker.console.signin.password_signin import FirstPasswordPage, PasswordSignIn
from broker.console.signin.password_steps import PasswordSteps
from broker.console.signin.provider_start import ProviderStart
from broker.console.signin.role_offer import RoleOffer
from broker.console.signin.saml_acs import SamlAcs
from broker.console.signin.saml_logout import SamlLogout
from broker.console.signin.saml_requests import SamlMetadata
from broker.console.static_files import STATIC
from broker.console.visit import PageRoute, Visit
from broker.errors import NoSuchEntity

_MOVED = 308

_OWN_PAGES = (
    *home.PAGES,
    *permissions.PAGES,
    *try_it.PAGES,
    *switch_role.PAGES,
    *sessions.PAGES,
    *audit_log.PAGES,
    *search.PAGES,
    *own_credentials.PAGES,
    *own_devices.PAGES,
)


_Row = tuple[str, str, Handler, LoginMethod | None]
"""A path, its methods, what answers, and whose words its errors have."""


def console_routes(
    deps: ConsoleDeps, more_pages: Iterable[PageRoute] = ()
) -> list[Route]:
    """Everything below ``/signin``, ``/saml``, ``/federation`` and ``/console``.

    ``more_pages`` are shown in the frame like the pages of this package.

    Stands behind `broker.edges.edge.Edge`, whose facts of the request it reads.
    """
    context = ConsoleContext(deps)
    frame = PageFrame(context)
    guarded = context.pages.guarded
    routes: list[Route] = []

    async def static(request: Request) -> Response:
        return context.pages.files.answer(request, request.path_params["name"])

    def add(path: str, methods: Iterable[str], handler: Handler) -> None:
        route = Route(path, handler, methods=list(methods))
        route.methods = set(methods)  # without the HEAD that it adds to GET
        routes.append(route)

    # These answer in forms of their own, also what fails.
    add(oidc_logout.BACK_CHANNEL, ["POST"], OidcLogout(context).back_channel)
    add(f"{STATIC}{{name:path}}", ["GET", "HEAD"], static)
    for path in ("/console", "/console/home", "/console/accounts"):
        add(path, ["GET"], _to_home)
    for path, methods, handler, door in (*_sign_in(context), *_portal(context)):
        add(path, methods.split(), guarded(handler, door=door))
    nowhere = PageRoute("/console/{rest:path}", "", _nowhere)
    for page in (*_OWN_PAGES, *more_pages, nowhere):
        add(page.path, page.methods, guarded(page.handler(frame)))
    return routes


async def _to_sign_in(_request: Request) -> Response:
    """``GET /saml``, when the role page is reloaded."""
    return see_other(SIGN_IN)


async def _to_home(_request: Request) -> Response:
    return see_other(HOME, _MOVED)


async def _nowhere(_visit: Visit) -> Response:
    raise NoSuchEntity("There is no page at this address.")


def _sign_in(context: ConsoleContext) -> Iterable[_Row]:
    completion, sign_in = LoginCompletion(context), SignIn(context)
    sign_out, metadata = SignOut(context), SamlMetadata(context)
    acs = SamlAcs(context, completion)
    endpoint = Federation(context, completion, sign_out)
    offer = RoleOffer(context, completion)
    oidc, directory = OidcSignInPages(context, offer), DirectorySignIn(context, offer)
    begin, logout = ProviderStart(context, oidc, directory), OidcLogout(context)
    steps, terminal = PasswordSteps(context, completion), TerminalConsent(context)
    first = FirstPasswordPage(context, sign_in, steps)
    password = PasswordSignIn(context, sign_in, steps)
    saml, federation = LoginMethod.SAML, LoginMethod.FEDERATION
    by_oidc, by_password = LoginMethod.OIDC, LoginMethod.PASSWORD
    provider, account = "/signin/{account}/with/{provider}", "/signin/{account}"
    return (
        ("/saml", "POST", acs.post, saml),
        ("/saml/acs/{uuid}", "POST", acs.post, saml),
        ("/saml", "GET", _to_sign_in, saml),
        (saml_logout.PATH, "GET POST", SamlLogout(context).answer, saml),
        ("/federation", "GET POST", endpoint.answer, federation),
        ("/oauth", "GET", endpoint.log_out, federation),
        (CONTINUE, "GET POST", completion.resume, saml),
        (SIGNED_OUT, "GET", sign_in.signed_out, None),
        (SIGN_IN, "GET", sign_in.begin_page, None),
        (oidc_signin.CALLBACK, "GET", oidc.callback, by_oidc),
        (oidc_logout.FRONT_CHANNEL, "GET", logout.front_channel, None),
        (oidc_logout.THERE, "GET", logout.there, by_oidc),
        (role_offer.CHOOSE, "POST", offer.choose, by_oidc),
        (provider, "GET", begin.begin, by_oidc),
        (provider, "POST", directory.password, LoginMethod.LDAP),
        (account, "GET", sign_in.account_page, None),
        (account, "POST", password.password, by_password),
        (password_steps.FACTOR, "POST", steps.factor, by_password),
        (password_steps.CHANGE, "POST", steps.change, by_password),
        (password_steps.FACTOR, "GET", steps.again, None),
        (password_steps.CHANGE, "GET", steps.again, None),
        (password_signin.FIRST_PASSWORD, "GET", first.page, by_password),
        (password_signin.FIRST_PASSWORD, "POST", first.choose, by_password),
        (saml_requests.GLOBAL, "GET", metadata.overall, None),
        (saml_requests.PER_PROVIDER, "GET", metadata.of_provider, None),
        (LOGIN_AUTHORIZE, "GET", terminal.authorize, LoginMethod.TERMINAL),
        (LOGIN_AUTHORIZE, "POST", terminal.push, LoginMethod.TERMINAL),
        (LOGIN, "GET", terminal.page, LoginMethod.TERMINAL),
        (LOGIN, "POST", terminal.answer, LoginMethod.TERMINAL),
        ("/console/sign-out", "POST", sign_out.post, None),
    )


def _portal(context: ConsoleContext) -> Iterable[_Row]:
    """The access portal's pages; those with a fixed name come before an account's."""
    sign_ins = PortalSignIns(context)
    visits = PortalVisits(context, sign_ins)
    consent = PortalConsent(context, sign_ins, visits)
    device = DevicePage(context, visits, consent)
    start = StartPage(context, sign_ins, visits)
    rows = (
        (PORTAL_AUTHORIZE, "GET", consent.authorize),
        (CONSENT, "GET", consent.page),
        (CONSENT, "POST", consent.answer),
        (DEVICE, "GET", device.page),
        (DEVICE, "POST", device.answer),
        (PORTAL, "GET", start.begin),
        (f"{PORTAL}/", "GET", start.begin),
        (CONSENT, "HEAD", start.nowhere),
        (DEVICE, "HEAD", start.nowhere),
        (start_page.START, "HEAD", start.resolve),
        (start_page.START, "GET", visits.page(start.show)),
        (start_page.SIGN_OUT, "POST", start.sign_out),
        (start_page.FAVOURITES, "POST", visits.page(start.mark_favourite)),
        (start_page.ROLE, "GET", visits.page(start.show_role)),
        (start_page.CREDENTIALS, "POST", visits.page(start.show_credentials)),
        (start_page.CONSOLE, "POST", visits.page(start.open_console)),
        (f"{start_page.START}/{{rest:path}}", "GET", start.nowhere),
    )
    return ((*row, LoginMethod.TERMINAL) for row in rows)
