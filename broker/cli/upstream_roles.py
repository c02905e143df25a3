"""The upstream roles of an account."""

from functools import partial

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.page import read_pages
from broker.stores.directory.kinds import ROLE, UPSTREAM
from broker.stores.directory.port import DirectoryReader

UNREADABLE = "its roles, in a definition that cannot be read"
_PAGE = 500


class UpstreamRoleName(Struct, frozen=True, order=True):
    """An upstream and a role there; empty for federation tokens.

    `UNREADABLE` stands for the roles of an upstream whose definition cannot be read.
    """

    name: str
    role_arn: str


async def upstream_roles(
    directory: DirectoryReader, account: AccountId, role_id: str
) -> tuple[UpstreamRoleName, ...]:
    """The upstream that mints for a role, if any.

    All upstream roles of the account for what is not a role's id.

    Raises:
        StoreUnavailableError: the database is away.
    """
    stored = await directory.all_of(UPSTREAM, account)
    if not stored:
        return ()
    role = await directory.find(ROLE, account, role_id)
    # What it needs takes a while to import.
    from broker.kinds.upstream_definition import (  # noqa: PLC0415
        ALL_ROLES,
        find_upstream_role,
        parse_upstreams,
    )

    whole = directory.with_documents(UPSTREAM, stored)
    upstreams, unreadable = parse_upstreams([upstream async for upstream in whole])
    if role is not None:
        names = {role.name}
    else:
        # Named ones may have been deleted here, and have sessions there.
        names = {name for definition in upstreams.values() for name in definition.roles}
        names.discard(ALL_ROLES)
        read = partial(directory.page_of, ROLE, account)
        async for page in read_pages(read, _PAGE):
            names |= {role.name for role in page}
    each = (find_upstream_role(name, upstreams) for name in sorted(names))
    known = dict.fromkeys(
        UpstreamRoleName(*entry) for entry in each if entry is not None
    )
    return (*known, *(UpstreamRoleName(name, UNREADABLE) for name in unreadable))
