"""What ``broker doctor`` says of upstreams."""

from broker.cli.findings import Finding, good, problem
from broker.identities.outbound import find_outbound
from broker.identities.upstream_definition import (
    ALL_ROLES,
    UpstreamRejected,
    parse_upstream,
)
from broker.model.account import Account
from broker.model.upstream import Upstream
from broker.storage import Stores
from broker.stores.directory.port import DirectoryReader

_SUBJECT = "upstreams"


async def check_upstreams(stores: Stores) -> list[Finding]:
    """Find upstreams that cannot mint as they are."""
    found: list[Finding] = []
    count = 0
    for account in await stores.directory.list_accounts():
        for one in await stores.directory.list_upstreams(account.account_id):
            count += 1
            found += await _check(stores.directory, account, one)
    return [*([good(_SUBJECT, f"{count} set")] if count else []), *found]


async def _check(
    directory: DirectoryReader, account: Account, one: Upstream
) -> list[Finding]:
    where = f"{one.name} of {account.account_id}"
    again = f"broker upstreams set {one.name} --account {account.account_id}"
    try:
        definition = parse_upstream(one.definition)
    except UpstreamRejected as error:
        return [problem(_SUBJECT, f"{where} cannot be read: {error}", f"{again} FILE")]
    found = []
    outbound = find_outbound(account)
    if definition.method == "WebIdentity" and not (outbound and outbound.enabled):
        found.append(
            problem(
                _SUBJECT,
                f"{where} needs tokens of the account, which issues none",
                "aws iam enable-outbound-web-identity-federation, in that account",
            )
        )
    for name in definition.roles:
        if name == ALL_ROLES:
            continue
        role = await directory.find_role(account.account_id, name)
        if role is None:
            found.append(
                problem(
                    _SUBJECT,
                    f"{where} is for the role {name}, which is not there",
                    f"create the role, or {again} FILE without it",
                )
            )
        elif role.name != name:
            found.append(
                problem(
                    _SUBJECT,
                    f"{where} is for the role {name}, which is spelled {role.name}",
                    f"{again} FILE with that name",
                )
            )
    return found
