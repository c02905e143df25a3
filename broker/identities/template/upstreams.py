"""``Upstreams``: other engines that mint for roles, without their key pairs."""

import json
from dataclasses import dataclass, field

from broker.errors import BrokerError
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
)
from broker.identities.template.properties import Properties, compact
from broker.identities.upstreams import (
    checked_definition,
    put_upstream,
    require_upstream,
)
from broker.model.account import AccountId
from broker.stores.directory.port.upstreams import UpstreamReader


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSpec:
    """An upstream as a template describes it."""

    name: str
    definition: str = field(metadata={"property": "Definition"})


def _parse(properties: Properties, _reading: AccountReading) -> UpstreamSpec:
    name = properties.text("UpstreamName")
    text = compact(properties.mapping("Definition"))
    try:
        return UpstreamSpec(name=name, definition=checked_definition(name, text))
    except BrokerError as error:
        raise TemplateError(properties.place, str(error)) from error


async def _load(directory: UpstreamReader, account: AccountId) -> list[UpstreamSpec]:
    return [
        UpstreamSpec(name=one.name, definition=one.definition)
        for one in await directory.list_upstreams(account)
    ]


async def _create(work: AccountWork, spec: UpstreamSpec) -> None:
    await put_upstream(work.change, work.account, spec.name, spec.definition, work.now)


async def _update(
    work: AccountWork, _before: UpstreamSpec, after: UpstreamSpec
) -> None:
    await _create(work, after)


async def _delete(work: AccountWork, spec: UpstreamSpec) -> None:
    account = work.account.account_id
    await work.change.delete_upstream(
        await require_upstream(work.change, account, spec.name)
    )


def _show(spec: UpstreamSpec) -> dict[str, object]:
    return {"UpstreamName": spec.name, "Definition": json.loads(spec.definition)}


UPSTREAMS: EntityKind[UpstreamSpec] = EntityKind(
    section="Upstreams",
    noun="upstream",
    key=lambda spec: spec.name,
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
)
