"""The account's registered services as the catalogue describes AWS's.

Policy editors and the simulator offer them beside those.
"""

from collections.abc import Mapping

from broker.actions.signin.overviews import ServiceOverview
from broker.administration.listing import read_part
from broker.console.pages.service_views import LIST_SERVICES, read_service_views
from broker.console.visit import Visit
from broker.kinds.registered_services import service_entry
from broker.policy.catalogue import ServiceEntry


async def read_declared(visit: Visit) -> Mapping[str, ServiceEntry]:
    """Those that declare actions, by prefix; none if the caller may not list them.

    Raises:
        BrokerError: they cannot be read.
    """
    return {
        view.name: service_entry(view.compiled)
        for view in await read_service_views(visit)
        if view.compiled is not None and view.definition.actions
    }


async def read_overviews(visit: Visit) -> tuple[ServiceOverview, ...]:
    """The account's services and their tokens; none if they may not be listed.

    Raises:
        BrokerError: they cannot be read.
    """
    needed = {LIST_SERVICES, "broker:ListServiceTokens"}
    if await visit.frame.possible(visit.request, visit.who, needed) != needed:
        return ()
    part = await read_part(visit, "ListServiceOverviews", service="signin")
    return tuple(part.get("Services"))
