"""The account's registered services as the catalogue describes AWS's.

Policy editors and the simulator offer them beside those.
"""

from collections.abc import Mapping

from broker.actions.signin.service_overviews import ServiceOverview
from broker.administration.listing import read_part
from broker.catalogue import AccessLevel, ActionEntry, ResourceType, ServiceEntry
from broker.console.pages.service_views import (
    LIST_SERVICES,
    ServiceView,
    read_service_views,
)
from broker.console.visit import Visit


async def read_declared(visit: Visit) -> Mapping[str, ServiceEntry]:
    """Those that declare actions, by prefix; none if the caller may not list them.

    Raises:
        BrokerError: they cannot be read.
    """
    return {
        view.name: _entry(view)
        for view in await read_service_views(visit)
        if view.definition.actions
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


def _entry(view: ServiceView) -> ServiceEntry:
    definition = view.definition
    patterns = {} if view.compiled is None else view.compiled.resource_patterns
    keys = tuple(definition.condition_keys)
    types = {name: ResourceType(name, arn, keys) for name, arn in patterns.items()}
    return ServiceEntry(
        prefix=view.name,
        name=f"{view.name} (registered)",
        actions={
            name.lower(): ActionEntry(
                service=view.name,
                name=name,
                level=AccessLevel(action.access_level),
                resource_types=tuple(types[one] for one in action.resource_types),
                condition_keys=keys,
                dependent_actions=(),
            )
            for name, action in definition.actions.items()
        },
        resource_types=types,
        condition_keys=dict(definition.condition_keys),
    )
