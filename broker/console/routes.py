"""The console's routes."""

from collections.abc import Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker.console.context import HOME, LOGIN, SIGN_IN, ConsoleContext
from broker.console.deps import ConsoleDeps
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
from broker.console.portal import consents, start_page
from broker.console.portal.consents import Consents
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.start_page import RolePages, StartPage
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
from broker.console.signin.account_page import ProviderStart, SignIn
from broker.console.signin.directory_signin import DirectorySignIn
from broker.console.signin.federation import Federation
from broker.console.signin.login_completion import CONTINUE, LoginCompletion
from broker.console.signin.oidc_logout import OidcLogout
from broker.console.signin.oidc_signin import OidcSignIn
from broker.console.signin.password_signin import FirstPasswordPage, PasswordSignIn
from broker.console.signin.password_steps import PasswordSteps
from broker.console.signin.role_offer import RoleOffer
from broker.console.signin.saml_acs import SamlAcs
from broker.console.signin.saml_logout import SamlLogout
from broker.console.signin.saml_requests import SamlMetadata
from broker.console.static_files import STATIC
from broker.console.terminals import command_line, token_endpoint
from broker.console.terminals.command_line import CommandLine
from broker.console.terminals.token_endpoint import TokenEndpoint
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


def console_routes(
    deps: ConsoleDeps, more_pages: Iterable[PageRoute] = ()
) -> list[Route]:
    """Everything below ``/signin``, ``/saml``, ``/federation`` and ``/console``.

    ``more_pages`` are shown in the frame like the pages of this package.

    Stands behind `broker.edges.edge.Edge`, whose facts of the request it reads.
    """
    context = ConsoleContext(deps)
    completion = LoginCompletion(context)
    sign_out = SignOut(context)
    sign_in = SignIn(context)
    metadata = SamlMetadata(context)
    acs = SamlAcs(context, completion)
    endpoint = Federation(context, completion, sign_out)
    guarded = context.pages.guarded
    routes: list[Route] = []

    async def to_sign_in(_request: Request) -> Response:
        """``GET /saml``, when the role page is reloaded."""
        return see_other(SIGN_IN)

    def add(path: str, methods: list[str], handler: Handler) -> None:
        route = Route(path, handler, methods=methods)
        route.methods = set(methods)  # without the HEAD that it adds to GET
        routes.append(route)

    saml = guarded(acs.post, door=LoginMethod.SAML)
    add("/saml", ["POST"], saml)
    add("/saml/acs/{uuid}", ["POST"], saml)
    add("/saml", ["GET"], to_sign_in)
    slo = guarded(SamlLogout(context).answer, door=LoginMethod.SAML)
    add(saml_logout.PATH, ["GET", "POST"], slo)
    add(
        "/federation",
        ["GET", "POST"],
        guarded(endpoint.answer, door=LoginMethod.FEDERATION),
    )
    add("/oauth", ["GET"], guarded(endpoint.log_out, door=LoginMethod.FEDERATION))
    add(CONTINUE, ["GET", "POST"], guarded(completion.resume, door=LoginMethod.SAML))
    add(SIGNED_OUT, ["GET"], guarded(sign_in.signed_out))
    add(SIGN_IN, ["GET"], guarded(sign_in.begin_page))
    _add_providers(context, completion, add)
    add("/signin/{account}", ["GET"], guarded(sign_in.account_page))
    _add_passwords(context, sign_in, PasswordSteps(context, completion), add)
    add(saml_requests.GLOBAL, ["GET"], guarded(metadata.overall))
    add(saml_requests.PER_PROVIDER, ["GET"], guarded(metadata.of_provider))
    add_portal(context, PortalSignIns(context), add)
    _add_command_line(context, add)
    _add_framed(context, (*_OWN_PAGES, *more_pages), add)
    add("/console/sign-out", ["POST"], guarded(sign_out.post))

    async def static(request: Request) -> Response:
        return context.pages.files.answer(request, request.path_params["name"])

    async def to_home(_request: Request) -> Response:
        return see_other(HOME, _MOVED)

    add(f"{STATIC}{{name:path}}", ["GET", "HEAD"], static)
    for path in ("/console", "/console/home", "/console/accounts"):
        add(path, ["GET"], to_home)
    _add_framed(context, (PageRoute("/console/{rest:path}", "", _nowhere),), add)
    return routes


async def _nowhere(_visit: Visit) -> Response:
    raise NoSuchEntity("There is no page at this address.")


def _add_providers(
    context: ConsoleContext,
    completion: LoginCompletion,
    add: Callable[[str, list[str], Handler], None],
) -> None:
    """Sign-in at OpenID Connect providers and with directories."""
    guarded = context.pages.guarded
    offer = RoleOffer(context, completion)
    oidc = OidcSignIn(context, offer)
    directory = DirectorySignIn(context, offer)
    begin = ProviderStart(context, oidc, directory)
    logout = OidcLogout(context)
    add(oidc_signin.CALLBACK, ["GET"], guarded(oidc.callback, door=LoginMethod.OIDC))
    add(oidc_logout.BACK_CHANNEL, ["POST"], logout.back_channel)
    add(oidc_logout.FRONT_CHANNEL, ["GET"], guarded(logout.front_channel))
    add(oidc_logout.THERE, ["GET"], guarded(logout.there, door=LoginMethod.OIDC))
    add(role_offer.CHOOSE, ["POST"], guarded(offer.choose, door=LoginMethod.OIDC))
    add(
        "/signin/{account}/with/{provider}",
        ["GET"],
        guarded(begin.begin, door=LoginMethod.OIDC),
    )
    add(
        "/signin/{account}/with/{provider}",
        ["POST"],
        guarded(directory.password, door=LoginMethod.LDAP),
    )


def _add_passwords(
    context: ConsoleContext,
    sign_in: SignIn,
    steps: PasswordSteps,
    add: Callable[[str, list[str], Handler], None],
) -> None:
    for path, handler in (
        ("/signin/{account}", PasswordSignIn(context, sign_in, steps).password),
        (password_steps.FACTOR, steps.factor),
        (password_steps.CHANGE, steps.change),
    ):
        add(path, ["POST"], context.pages.guarded(handler, door=LoginMethod.PASSWORD))
    first = FirstPasswordPage(context, sign_in, steps)
    for method, handler in (("GET", first.page), ("POST", first.choose)):
        add(
            password_signin.FIRST_PASSWORD,
            [method],
            context.pages.guarded(handler, door=LoginMethod.PASSWORD),
        )
    for path in (password_steps.FACTOR, password_steps.CHANGE):
        add(path, ["GET"], context.pages.guarded(steps.again))


def _add_command_line(
    context: ConsoleContext, add: Callable[[str, list[str], Handler], None]
) -> None:
    terminal = CommandLine(context)
    for path, method, handler in (
        (command_line.AUTHORIZE, "GET", terminal.authorize),
        (command_line.AUTHORIZE, "POST", terminal.push),
        (LOGIN, "GET", terminal.page),
        (LOGIN, "POST", terminal.answer),
    ):
        add(path, [method], context.pages.guarded(handler, door=LoginMethod.TERMINAL))
    add(token_endpoint.PATH, ["POST"], TokenEndpoint(context).answer)


def _add_framed(
    context: ConsoleContext,
    all_pages: Iterable[PageRoute],
    add: Callable[[str, list[str], Handler], None],
) -> None:
    frame = PageFrame(context)
    for page in all_pages:
        handler = context.pages.guarded(page.handler(frame))
        add(page.path, list(page.methods), handler)


def add_portal(
    context: ConsoleContext,
    sign_ins: PortalSignIns,
    add: Callable[[str, list[str], Handler], None],
) -> None:
    """Add them; those with a fixed name come before an account's."""
    visits = PortalVisits(context, sign_ins)
    consent = Consents(context, sign_ins, visits)
    start = StartPage(context, sign_ins, visits)
    role = RolePages(context, visits)
    for path, method, handler in (
        (consents.AUTHORIZE, "GET", consent.authorize),
        (consents.CONSENT, "GET", consent.consent),
        (consents.CONSENT, "POST", consent.answer_client),
        (consents.DEVICE, "GET", consent.device),
        (consents.DEVICE, "POST", consent.answer_device),
        (PORTAL, "GET", start.begin),
        (f"{PORTAL}/", "GET", start.begin),
        (consents.CONSENT, "HEAD", start.nowhere),
        (consents.DEVICE, "HEAD", start.nowhere),
        (start_page.START, "HEAD", start.resolve),
        (start_page.START, "GET", visits.page(start.show)),
        (start_page.SIGN_OUT, "POST", start.sign_out),
        (start_page.FAVOURITES, "POST", visits.page(start.mark_favourite)),
        (start_page.ROLE, "GET", visits.page(role.show)),
        (start_page.CREDENTIALS, "POST", visits.page(role.show_credentials)),
        (start_page.CONSOLE, "POST", visits.page(role.open_console)),
        (f"{start_page.START}/{{rest:path}}", "GET", start.nowhere),
    ):
        add(path, [method], context.pages.guarded(handler, door=LoginMethod.TERMINAL))
