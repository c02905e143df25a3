"""What ``broker doctor`` says of registered services."""

from datetime import timedelta

from broker.cli.findings import Finding, good, warning
from broker.clock import Clock
from broker.identities.registered_services import tokens_of
from broker.storage import Stores

SOON = timedelta(days=14)
"""Before a token expires, so that nothing has to be refused."""


async def check_services(stores: Stores, clock: Clock) -> list[Finding]:
    """Find service tokens that have expired or soon will."""
    directory, now = stores.directory, clock.now()
    found: list[Finding] = []
    count = 0
    for account in await directory.list_accounts():
        for service in await directory.list_services(account.account_id):
            count += 1
            found += [
                warning(
                    "services",
                    f"the token {token.token_id} of {service.arn} expires at"
                    f" {token.expires_at:%Y-%m-%d %H:%M} UTC",
                    f"broker services token {service.name} --account"
                    f" {service.account}, and replace the old one where it is used",
                )
                for token in await tokens_of(directory, service)
                if token.expires_at <= now + SOON
            ]
    return [*([good("services", f"{count} registered")] if count else []), *found]
