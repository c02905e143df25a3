"""Which address is which page."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.console import (
    command_line,
    federation,
    oidc_logout,
    oidc_signin,
    password_arrival,
    password_steps,
    saml_acs,
    saml_logout,
    saml_metadata,
    token_endpoint,
)
from broker.console.accounts import Accounts
from broker.console.admin.access_summary import AccessSummary
from broker.console.admin.account_settings import AccountSettings
from broker.console.admin.credential_report import CredentialReport
from broker.console.admin.embedded_policies import EmbeddedPolicies
from broker.console.admin.groups import Groups
from broker.console.admin.holdings import Holdings
from broker.console.admin.last_accessed import LastAccessed
from broker.console.admin.policies import Policies
from broker.console.admin.policy_editing import PolicyEditing
from broker.console.admin.provider_diagnosis import ProviderDiagnosis
from broker.console.admin.provider_page import ProviderPage
from broker.console.admin.providers import Providers
from broker.console.admin.role_creation import RoleCreation
from broker.console.admin.role_page import RolePage
from broker.console.admin.roles import Roles
from broker.console.admin.simulator import Simulator
from broker.console.admin.user import UserPages
from broker.console.admin.user_credentials import UserCredentials
from broker.console.admin.user_deletion import UserDeletion
from broker.console.admin.users import Users
from broker.console.arrival import CONTINUE, Arrivals
from broker.console.audit_log import AuditLog
from broker.console.command_line import CommandLine
from broker.console.deps import ConsoleDeps
from broker.console.desk import HOME, LOGIN, SIGN_IN, Desk
from broker.console.federation import Federation
from broker.console.home import Home
from broker.console.inside import Inside, PagesInside
from broker.console.oidc_logout import OidcLogout
from broker.console.oidc_signin import OidcSignIn
from broker.console.pages import see_other
from broker.console.password_signin import PasswordSignIn
from broker.console.password_steps import PasswordSteps
from broker.console.permissions import Permissions
from broker.console.saml_acs import SamlAcs
from broker.console.saml_logout import SamlLogout
from broker.console.saml_metadata import SamlMetadata
from broker.console.security.pages import SecurityPages
from broker.console.sessions import SessionPages
from broker.console.sign_out import SIGNED_OUT, SignOut
from broker.console.signin import SignIn
from broker.console.switch_role import SwitchRole
from broker.console.token_endpoint import TokenEndpoint
from broker.errors import NoSuchEntity

_MOVED = 308

_INSIDE: tuple[Callable[[Inside], PagesInside], ...] = (
    Home,
    Permissions,
    SwitchRole,
    Accounts,
    SecurityPages,
    SessionPages,
    AuditLog,
    Providers,
    ProviderPage,
    ProviderDiagnosis,
    Policies,
    PolicyEditing,
    Roles,
    RolePage,
    RoleCreation,
    EmbeddedPolicies,
    Simulator,
    AccessSummary,
    Users,
    UserPages,
    UserCredentials,
    UserDeletion,
    Groups,
    Holdings,
    LastAccessed,
    AccountSettings,
    CredentialReport,
)


def console_routes(deps: ConsoleDeps) -> APIRouter:
    """Everything below ``/signin``, ``/saml``, ``/federation`` and ``/console``.

    Stands behind `broker.web.edge.Edge`, whose facts of the request it reads.
    """
    desk = Desk(deps)
    arrivals = Arrivals(desk)
    sign_out = SignOut(desk)
    oidc = OidcSignIn(desk, arrivals)
    logout = OidcLogout(desk)
    sign_in = SignIn(desk, oidc)
    metadata = SamlMetadata(desk)
    acs = SamlAcs(desk, arrivals)
    endpoint = Federation(desk, arrivals, sign_out)
    guarded = desk.pages.guarded
    router = APIRouter(include_in_schema=False)

    async def to_sign_in(_request: Request) -> Response:
        """For whoever reloads the address of the role page."""
        return see_other(SIGN_IN)

    def add(path: str, methods: list[str], handler: object) -> None:
        router.add_api_route(
            path,
            handler,  # type: ignore[arg-type] # a handler of this package
            methods=methods,
            response_model=None,
        )

    saml = guarded(acs.post, door=saml_acs.DOOR)
    add("/saml", ["POST"], saml)
    add("/saml/acs/{uuid}", ["POST"], saml)
    add("/saml", ["GET"], to_sign_in)
    slo = guarded(SamlLogout(desk).answer, door=saml_logout.DOOR)
    add(saml_logout.PATH, ["GET", "POST"], slo)
    add(
        "/federation",
        ["GET", "POST"],
        guarded(endpoint.answer, door=federation.DOOR),
    )
    add(CONTINUE, ["GET", "POST"], guarded(arrivals.resume, door=saml_acs.DOOR))
    add(SIGNED_OUT, ["GET"], guarded(sign_in.signed_out))
    add(SIGN_IN, ["GET"], guarded(sign_in.begin_page))
    add(oidc_signin.CALLBACK, ["GET"], guarded(oidc.callback, door=oidc_signin.DOOR))
    add(oidc_logout.BACK_CHANNEL, ["POST"], logout.back_channel)
    add(oidc_logout.FRONT_CHANNEL, ["GET"], guarded(logout.front_channel))
    add(oidc_logout.THERE, ["GET"], guarded(logout.there, door=oidc_signin.DOOR))
    add(oidc_signin.ROLE, ["POST"], guarded(oidc.choose, door=oidc_signin.DOOR))
    add(
        "/signin/{account}/with/{provider}",
        ["GET"],
        guarded(sign_in.begin, door=oidc_signin.DOOR),
    )
    add("/signin/{account}", ["GET"], guarded(sign_in.account_page))
    _add_passwords(desk, sign_in, PasswordSteps(desk, arrivals), add)
    add(saml_metadata.GLOBAL, ["GET"], guarded(metadata.overall))
    add(saml_metadata.PER_PROVIDER, ["GET"], guarded(metadata.of_provider))
    _add_command_line(desk, add)
    _add_inside(desk, add)
    add("/console/sign-out", ["POST"], guarded(sign_out.post))

    async def static(name: str) -> Response:
        return desk.pages.files.answer(name)

    async def to_home(_request: Request) -> Response:
        return see_other(HOME, _MOVED)

    async def nowhere(_request: Request) -> Response:
        raise NoSuchEntity("There is no such page.")

    add("/console/static/{name}", ["GET", "HEAD"], static)
    add("/console", ["GET"], to_home)
    add("/console/{rest:path}", ["GET"], guarded(nowhere))
    return router


def _add_passwords(
    desk: Desk,
    sign_in: SignIn,
    steps: PasswordSteps,
    add: Callable[[str, list[str], object], None],
) -> None:
    for path, handler in (
        ("/signin/{account}", PasswordSignIn(desk, sign_in, steps).password),
        (password_steps.FACTOR, steps.factor),
        (password_steps.CHANGE, steps.change),
    ):
        add(path, ["POST"], desk.pages.guarded(handler, door=password_arrival.DOOR))
    for path in (password_steps.FACTOR, password_steps.CHANGE):
        add(path, ["GET"], desk.pages.guarded(steps.again))


def _add_command_line(
    desk: Desk, add: Callable[[str, list[str], object], None]
) -> None:
    terminal = CommandLine(desk)
    for path, method, handler in (
        (command_line.AUTHORIZE, "GET", terminal.authorize),
        (command_line.AUTHORIZE, "POST", terminal.push),
        (LOGIN, "GET", terminal.page),
        (LOGIN, "POST", terminal.answer),
    ):
        add(path, [method], desk.pages.guarded(handler, door=command_line.DOOR))
    add(token_endpoint.PATH, ["POST"], TokenEndpoint(desk).answer)


def _add_inside(desk: Desk, add: Callable[[str, list[str], object], None]) -> None:
    inside = Inside(desk)
    for pages in _INSIDE:
        for path, methods, handler in pages(inside).routes():
            add(path, methods, desk.pages.guarded(inside.framed(handler)))
