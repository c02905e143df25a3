"""The routes of the portal's pages."""

from collections.abc import Callable

from broker.console.context import ConsoleContext
from broker.console.login_method import LoginMethod
from broker.console.portal import consents, role_pages, start_page
from broker.console.portal.consents import Consents
from broker.console.portal.places import PORTAL
from broker.console.portal.role_pages import RolePages
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.start_page import StartPage
from broker.console.portal.visits import PortalVisits
from broker.console.rendering import Handler


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
        (role_pages.ROLE, "GET", visits.page(role.show)),
        (role_pages.CREDENTIALS, "POST", visits.page(role.show_credentials)),
        (role_pages.CONSOLE, "POST", visits.page(role.open_console)),
        (f"{start_page.START}/{{rest:path}}", "GET", start.nowhere),
    ):
        add(path, [method], context.pages.guarded(handler, door=LoginMethod.TERMINAL))
