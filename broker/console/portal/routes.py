"""The routes of the portal's pages."""

from collections.abc import Callable

from broker.console.context import ConsoleContext
from broker.console.login_method import LoginMethod
from broker.console.portal import consents, start_page
from broker.console.portal.consents import Consents
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
    for path, method, handler in (
        (consents.AUTHORIZE, "GET", consent.authorize),
        (consents.CONSENT, "GET", consent.consent),
        (consents.CONSENT, "POST", consent.answer_client),
        (consents.DEVICE, "GET", consent.device),
        (consents.DEVICE, "POST", consent.answer_device),
        (start_page.START, "GET", start.show),
        (start_page.SIGN_OUT, "POST", start.sign_out),
    ):
        add(path, [method], context.pages.guarded(handler, door=LoginMethod.TERMINAL))
