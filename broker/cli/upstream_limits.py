"""What to say where a revocation does not reach: credentials that an upstream gave."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryReader


@dataclass(frozen=True, slots=True)
class UpstreamRole:
    """An upstream and a role there; empty for federation tokens."""

    name: str
    role_arn: str


async def upstream_roles(
    directory: DirectoryReader, account: AccountId, role_id: str
) -> tuple[UpstreamRole, ...]:
    """The upstream that mints for a role; all of the account where it is not a role's id.

    Raises:
        StoreUnavailableError: the database is away.
    """
    found = await directory.list_upstreams(account)
    if not found:
        return ()
    # What it needs takes a while to import.
    from broker.identities.upstream_definition import (  # noqa: PLC0415
        find_upstream_role,
        parse_upstream,
    )

    upstreams = {one.name: parse_upstream(one.definition) for one in found}
    role = await directory.find_role_by_id(account, role_id)
    if role is not None:
        mapped = find_upstream_role(role.name, upstreams)
        return () if mapped is None else (UpstreamRole(*mapped),)
    return tuple(
        UpstreamRole(name, arn)
        for name, definition in upstreams.items()
        for arn in definition.roles.values()
    )


def words_on_upstreams(roles: Iterable[UpstreamRole], now: datetime) -> str:
    """What a revocation leaves open, and the statement that ends it there."""
    listed = "\n".join(
        f"  {one.role_arn or 'federation tokens'} ({one.name})" for one in roles
    )
    statement = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {
            "DateLessThan": {"aws:TokenIssueTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
        },
    }
    return (
        "Credentials that an upstream gave stay valid there until they end. To end them,"
        f" attach this statement to\n{listed}\n{json.dumps(statement, indent=2)}"
    )
