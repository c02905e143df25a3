"""``Upstreams``: other STS endpoints behind roles, without their key pairs."""

from broker.identities.template.definitions import definition_kind
from broker.identities.upstreams import (
    checked_definition,
    put_upstream,
    require_upstream,
)
from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryChange


async def _delete(change: DirectoryChange, account: AccountId, name: str) -> None:
    await change.delete_upstream(await require_upstream(change, account, name))


UPSTREAMS = definition_kind(
    "Upstreams",
    "upstream",
    "UpstreamName",
    check=checked_definition,
    find_all=lambda directory, account: directory.list_upstreams(account),
    put=put_upstream,
    delete=_delete,
)
