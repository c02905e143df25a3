"""``Services``: registered services, without their tokens, which are secrets."""

import json
from dataclasses import dataclass, field

from broker.errors import BrokerError
from broker.identities.registered_services import (
    normalize_definition,
    put_service,
    require_service,
)
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
)
from broker.identities.template.properties import Properties, compact
from broker.model.account import AccountId
from broker.stores.directory.port.services import ServiceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """A service as a template describes it."""

    name: str
    definition: str = field(metadata={"property": "Definition"})


def _parse(properties: Properties, _reading: AccountReading) -> ServiceSpec:
    name = properties.text("ServiceName")
    text = compact(properties.mapping("Definition"))
    try:
        return ServiceSpec(name=name, definition=normalize_definition(text, name))
    except BrokerError as error:
        raise TemplateError(properties.place, str(error)) from error


async def _load(directory: ServiceReader, account: AccountId) -> list[ServiceSpec]:
    return [
        ServiceSpec(name=service.name, definition=service.definition)
        for service in await directory.list_services(account)
    ]


async def _create(work: AccountWork, spec: ServiceSpec) -> None:
    await put_service(work.change, work.account, spec.name, spec.definition, work.now)


async def _update(work: AccountWork, _before: ServiceSpec, after: ServiceSpec) -> None:
    await _create(work, after)


async def _delete(work: AccountWork, spec: ServiceSpec) -> None:
    account = work.account.account_id
    await work.change.delete_service(
        await require_service(work.change, account, spec.name)
    )


def _show(spec: ServiceSpec) -> dict[str, object]:
    return {"ServiceName": spec.name, "Definition": json.loads(spec.definition)}


SERVICES: EntityKind[ServiceSpec] = EntityKind(
    section="Services",
    noun="service",
    key=lambda spec: spec.name,
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
)
