"""``broker doctor``: check the installation and say how to fix problems."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import typer
from msgspec.structs import asdict, replace

from broker.cli import checks
from broker.cli.account_checks import (
    check_certificates,
    check_invariants,
    check_organisations,
)
from broker.cli.findings import Finding, Level, problem
from broker.cli.provider_checks import check_directories, check_providers
from broker.cli.service_checks import check_services
from broker.cli.terminal import say, say_json
from broker.cli.trust_checks import check_trust
from broker.cli.upstream_checks import check_upstreams
from broker.compose.storage import open_stores
from broker.edges.documentation import SITE
from broker.runtime.clock import SystemClock
from broker.settings import Settings, SettingsError, load_settings
from broker.stores.errors import StoreUnavailableError

_SHOWN = 3
_PAGE = re.compile(r"\bdocs/([a-z/-]+)\.md\b")
"""A page that a remedy refers to: an installation has no folder ``docs``."""
_MARKS = {
    Level.GOOD: ("✓", typer.colors.GREEN),
    Level.WARNING: ("!", typer.colors.YELLOW),
    Level.PROBLEM: ("✗", typer.colors.RED),
}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per finding.")
    ] = False,
) -> None:
    """Check settings, stores, keys, clock and providers, and say what to fix."""
    findings = asyncio.run(_examine())
    kinds: dict[object, list[Finding]] = {}
    for finding in findings:
        if as_json:
            say_json(asdict(finding))
        kinds.setdefault(finding.kind, []).append(finding)
    for alike in () if as_json else kinds.values():
        _say(alike)
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _say(alike: Sequence[Finding]) -> None:
    first = alike[0]
    mark, colour = _MARKS[first.level]
    subjects = tuple(dict.fromkeys(finding.subject for finding in alike))
    more = len(subjects) - _SHOWN
    also = f" and {more:,} more" if more > 0 else ""
    say(f"{mark} {', '.join(subjects[:_SHOWN])}{also}: {first.text}", colour=colour)
    if first.remedy:
        same = all(finding.remedy == first.remedy for finding in alike)
        say(f"  → {'' if same else 'for the first: '}{first.remedy}")


async def _examine() -> list[Finding]:
    try:
        settings = load_settings()
    except SettingsError as error:
        return [
            problem("settings", line, "fix it and run this again")
            for line in str(error).splitlines()
        ]
    findings = [finding async for finding in _examine_all(settings)]
    if not (SITE / "index.html").exists():
        return findings
    page = rf"{settings.public_origin}/docs/\1.html"
    return [replace(f, remedy=_PAGE.sub(page, f.remedy)) for f in findings]


async def _examine_all(settings: Settings) -> AsyncIterator[Finding]:
    for finding in checks.check_settings(settings):
        yield finding
    database = await checks.check_database(settings)
    for finding in database:
        yield finding
    if any(finding.level is Level.PROBLEM for finding in database):
        return
    try:
        async for finding in _examine_stores(settings):
            yield finding
    except (StoreUnavailableError, ValueError) as error:
        yield problem("stores", str(error), "fix it and run this again")


async def _examine_stores(settings: Settings) -> AsyncIterator[Finding]:
    clock = SystemClock()
    stores = await open_stores(
        settings.database,
        settings.redis_url,
        clock=clock,
        spool_folder=settings.data_dir / "spool",
        migrate_first=False,
    )
    try:
        for finding in (
            *await checks.check_cache(settings, stores),
            *await checks.check_keyring(settings, stores, clock),
            *await checks.check_clock(stores, clock),
            *await checks.check_replication(stores, clock),
            *await checks.check_accounts(stores),
            *await checks.check_doors(stores),
            *await checks.check_issuers(stores, clock),
            *await check_services(settings, stores, clock),
            *await check_certificates(stores, clock),
            *await check_upstreams(settings, stores),
            *await check_organisations(settings, stores),
            *await check_invariants(stores),
            *await check_directories(settings, stores),
        ):
            yield finding
        async for finding in check_providers(settings, stores, clock):
            yield finding
        async for finding in check_trust(settings, stores):
            yield finding
    finally:
        await stores.close()
