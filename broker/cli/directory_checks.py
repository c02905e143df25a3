"""``broker doctor`` on LDAP directories: whether each server can be queried."""

import asyncio
from datetime import datetime

from broker.cli.findings import Finding, good, problem, warning
from broker.compose.storage import Stores
from broker.proofs.diagnosis import State
from broker.proofs.ldap.dry_run import LdapDryRun
from broker.proofs.ldap.people import LdapPeople
from broker.settings import Settings, SettingsError
from broker.stores.directory.accounts import list_everywhere
from broker.stores.directory.kinds import LDAP_PROVIDER

_SECONDS = 8


async def check_directories(settings: Settings, stores: Stores) -> list[Finding]:
    """Try each server of each directory, and look for providers without one."""
    try:
        directories = settings.directories.directories
    except SettingsError as error:
        return [problem("directories", str(error), "fix it and run this again")]
    providers = await list_everywhere(stores.directory, LDAP_PROVIDER)
    results = [
        problem(
            provider.arn,
            f"BROKER_DIRECTORIES_FILE has no {provider.directory}",
            "describe it there, or delete the provider (apply --prune)",
        )
        for provider in providers
        if provider.directory not in directories
    ]
    for findings in await asyncio.gather(
        *(
            _try(name, LdapPeople(name, directory))
            for name, directory in directories.items()
        )
    ):
        results += findings
    results += [
        warning(f"directory {name}", "no account has a provider for it", "broker apply")
        for name in sorted(
            directories.keys() - {provider.directory for provider in providers}
        )
    ]
    return results


async def probe_new_directories(
    settings: Settings, stores: Stores, created_at: datetime
) -> list[Finding]:
    """Try the directories of providers that were created at a moment."""
    names = {
        provider.directory
        for provider in await list_everywhere(stores.directory, LDAP_PROVIDER)
        if provider.created_at == created_at
    }
    known = settings.directories.directories
    results = await asyncio.gather(
        *(_try(name, LdapPeople(name, known[name])) for name in sorted(names))
    )
    return [finding for findings in results for finding in findings]


async def _try(name: str, people: LdapPeople) -> list[Finding]:
    dry_run = LdapDryRun(people)
    subject = f"directory {name}"
    try:
        async with asyncio.timeout(_SECONDS):
            await dry_run.try_servers()
    except TimeoutError:
        return [warning(subject, f"no answer within {_SECONDS} s", "try again")]
    finally:
        await people.close()
    failed = [check for check in dry_run.checks if check.state is State.FAILED]
    if not failed:
        count = len(people.servers)
        words = "1 server" if count == 1 else f"{count} servers"
        return [good(subject, f"{words} can be queried")]
    # One that answers is enough to sign in with.
    tell = problem if len(failed) == len(people.servers) else warning
    return [tell(subject, check.found, check.advice) for check in failed]
