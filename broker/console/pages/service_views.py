"""Registered services as pages show them: with their definitions read."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from broker.console.request_info import raw_request
from broker.console.visit import Visit
from broker.errors import AccessDenied
from broker.protocols.enforcement import (
    CompiledService,
    DefinitionRejected,
    ServiceDefinition,
    parse_definition,
)

LIST_SERVICES = "broker:ListServices"


class ServiceView(Struct, frozen=True):
    """A service as the API lists it, with its definition read.

    ``compiled`` is None, and ``problem`` says why, for a definition that was stored by
    older rules and breaks today's.
    """

    service: Mapping[str, Any]
    compiled: CompiledService | None
    problem: str = ""

    @property
    def name(self) -> str:
        """The service's name."""
        return str(self.service["Name"])

    @property
    def definition(self) -> ServiceDefinition:
        """The definition; an empty one if it cannot be read."""
        if self.compiled is None:
            return ServiceDefinition()
        return self.compiled.definition

    @property
    def prefix(self) -> str:
        """The prefix of its actions."""
        return self.name if self.compiled is None else self.compiled.prefix


def view_service(visit: Visit, service: Mapping[str, Any]) -> ServiceView:
    """Read the definition of a service that an action of ``broker`` returned."""
    name = service["Name"]
    try:
        definition = parse_definition(service["Definition"], name)
    except DefinitionRejected as error:
        return ServiceView(service, None, str(error))
    region = visit.deps.endpoints.find_region(raw_request(visit.request))
    account = visit.who.session.account
    return ServiceView(
        service, CompiledService(definition, name=name, account=account, region=region)
    )


async def read_service_views(visit: Visit) -> list[ServiceView]:
    """All of the account's services; none if the caller may not list them.

    Raises:
        BrokerError: they cannot be read.
    """
    if LIST_SERVICES not in await visit.frame.possible(
        visit.request, visit.who, [LIST_SERVICES]
    ):
        return []
    try:
        listed = await visit.perform("broker", "ListServices")
    except AccessDenied:  # only under conditions that do not hold now
        return []
    return [view_service(visit, service) for service in listed["Services"]]
