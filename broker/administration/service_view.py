"""What the pages show of a registered service's definition."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.console.request_info import raw_request
from broker.console.visit import Visit
from broker.protocols.enforcement import (
    CompiledService,
    DefinitionRejected,
    ServiceDefinition,
    parse_definition,
)


@dataclass(frozen=True, slots=True)
class ServiceView:
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
        service,
        CompiledService(definition, name=name, account=account, region=region),
    )


def view_services(
    visit: Visit, services: Iterable[Mapping[str, Any]]
) -> list[ServiceView]:
    """The same for several."""
    return [view_service(visit, service) for service in services]
