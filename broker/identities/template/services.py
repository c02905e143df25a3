"""``Services``: registered services, without their tokens, which are secrets."""

from broker.identities.registered_services import (
    normalize_definition,
    put_service,
    require_service,
)
from broker.identities.template.definitions import definition_kind
from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryChange


async def _delete(change: DirectoryChange, account: AccountId, name: str) -> None:
    await change.delete_service(await require_service(change, account, name))


SERVICES = definition_kind(
    "Services",
    "service",
    "ServiceName",
    check=lambda name, text: normalize_definition(text, name),
    find_all=lambda directory, account: directory.list_services(account),
    put=put_service,
    delete=_delete,
)
