"""``broker doctor`` on LDAP directories: whether each server can be asked."""

import asyncio

from broker.cli.findings import Finding, good, problem, warning
from broker.federation.diagnosis import State
from broker.federation.ldap.dry_run import LdapDryRun
from broker.federation.ldap.people import LdapPeople
from broker.settings import Settings, SettingsError
from broker.storage import Stores


async def check_directories(settings: Settings, stores: Stores) -> list[Finding]:
    """Try each server of each directory, and look for providers without one."""
    try:
        directories = settings.directories.directories
    except SettingsError as error:
        return [problem("directories", str(error), "fix it and run this again")]
    found: list[Finding] = []
    used: set[str] = set()
    for account in await stores.directory.list_accounts():
        for provider in await stores.directory.list_ldap_providers(account.account_id):
            used.add(provider.directory)
            if provider.directory not in directories:
                found.append(
                    problem(
                        provider.arn,
                        f"BROKER_DIRECTORIES_FILE has no {provider.directory}",
                        "describe it there, or delete the provider (apply --prune)",
                    )
                )
    for findings in await asyncio.gather(
        *(
            _try(name, LdapPeople(name, directory))
            for name, directory in directories.items()
        )
    ):
        found += findings
    found += [
        warning(f"directory {name}", "no account has a provider for it", "broker apply")
        for name in directories
        if name not in used
    ]
    return found


async def _try(name: str, people: LdapPeople) -> list[Finding]:
    dry_run = LdapDryRun(people)
    try:
        await dry_run.try_servers()
    finally:
        await people.close()
    failed = [check for check in dry_run.checks if check.state is State.FAILED]
    subject = f"directory {name}"
    if not failed:
        return [good(subject, f"{len(people.servers)} servers can be asked")]
    # One that answers is enough to sign in with.
    tell = problem if len(failed) == len(people.servers) else warning
    return [tell(subject, check.found, check.advice) for check in failed]
