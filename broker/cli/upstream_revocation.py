"""``broker sessions revoke --upstream``: end the sessions at the upstreams, too."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from broker.cli.operator import operator_entry, require_known, with_services
from broker.cli.terminal import say
from broker.cli.upstream_limits import UpstreamRole, words_on_upstreams
from broker.cli.upstream_reasons import UpstreamFailed
from broker.compose.services import Services
from broker.errors import BrokerError
from broker.kinds.upstreams import require_upstream
from broker.model.account import AccountId


def end_older_sessions(
    account: AccountId, roles: Sequence[UpstreamRole], now: datetime
) -> None:
    """Have the upstream roles deny everything to sessions from before now.

    Raises:
        UpstreamFailed: some do not; the others do.
    """

    async def work(services: Services) -> None:
        directory = services.stores.directory
        known = await require_known(directory, account)
        left, failed = set(roles), list[BrokerError]()
        for name, group in groupby(sorted(roles), key=lambda one: one.name):
            upstream = await require_upstream(directory, account, name)
            arns = [one.role_arn for one in group]
            try:
                async for arn, error in services.upstreams.end_older_sessions(
                    upstream, known, arns, now
                ):
                    if error is not None:
                        failed.append(error)
                        continue
                    entry = operator_entry(
                        "EndUpstreamSessions", account, Upstream=name, RoleArn=arn
                    )
                    async with directory.change(account) as change:
                        await change.record(entry.complete())
                    left.discard(UpstreamRole(name, arn))
                    say(f"Ended in {name}: older sessions of {arn}")
            except BrokerError as refused:
                failed.append(refused)
        if left:
            say(*words_on_upstreams(sorted(left), now))
            raise UpstreamFailed(*failed)

    with_services(work)
