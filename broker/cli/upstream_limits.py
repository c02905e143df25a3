"""What a revocation does not reach: credentials from an upstream."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from broker.model.account import AccountId
from broker.model.page import read_pages
from broker.model.revocation import OLDER_SESSIONS, deny_older_sessions
from broker.stores.directory.kinds import ROLE, UPSTREAM
from broker.stores.directory.port import DirectoryReader

UNREADABLE = "its roles, in a definition that cannot be read"
_PAGE = 500


@dataclass(frozen=True, slots=True, order=True)
class UpstreamRoleName:
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
    from broker.kinds.upstreams import (  # noqa: PLC0415
        ALL_ROLES,
        find_upstream_role,
        parse_upstreams,
    )

    upstreams, unreadable = parse_upstreams(stored)
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


def words_on_upstreams(roles: Iterable[UpstreamRoleName], now: datetime) -> list[str]:
    """What a revocation leaves open, and the policy that ends it there; in lines."""
    return [
        "Credentials from an upstream stay valid there until they expire.",
        f"To end them, attach this policy ({OLDER_SESSIONS}) to",
        *(
            f"  {upstream_role_name.role_arn or 'the user of its federation tokens'} ({upstream_role_name.name})"
            for upstream_role_name in roles
        ),
        *deny_older_sessions(now + timedelta(seconds=1)).splitlines(),
    ]
