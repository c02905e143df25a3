"""``broker doctor`` on upstreams: misconfigured ones, and unreachable ones."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from broker.cli.findings import Finding, good, problem, warning
from broker.compose.storage import Stores
from broker.kinds.outbound import find_outbound
from broker.kinds.upstream_definition import (
    ALL_ROLES,
    UpstreamDefinition,
    UpstreamRejected,
    parse_upstream,
)
from broker.model.account import Account, AccountId
from broker.proofs.addresses import AddressRules
from broker.proofs.outbound import OutboundClient
from broker.proofs.upstream_client import (
    SKEW_SECONDS,
    UpstreamClient,
    UpstreamUnclearError,
    UpstreamUnreachableError,
)
from broker.settings import Settings
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import ROLE, UPSTREAM
from broker.stores.directory.port import DirectoryReader

_SUBJECT = "upstreams"
_ALL_SECONDS = 20
_AT_A_TIME = 16


async def check_upstreams(settings: Settings, stores: Stores) -> list[Finding]:
    """Find upstreams that cannot mint as they are set, or cannot be reached.

    Takes at most 20 seconds for all of them.
    """
    findings: list[Finding] = []
    addresses: dict[tuple[AccountId, str], list[str]] = {}
    count = 0
    for account in await list_accounts(stores.directory):
        listed = await stores.directory.all_of(UPSTREAM, account.account_id)
        async for upstream in stores.directory.with_documents(UPSTREAM, listed):
            count += 1
            where = f"{upstream.name} of {account.account_id}"
            again = (
                f"broker upstreams set {upstream.name} --account {account.account_id}"
            )
            try:
                definition = parse_upstream(upstream.definition)
            except UpstreamRejected as error:
                text = f"{where} cannot be read: {error}"
                findings.append(problem(_SUBJECT, text, f"{again} FILE"))
                continue
            for url in _addresses(definition):
                addresses.setdefault((account.account_id, url), []).append(where)
            findings += [
                finding
                async for finding in _check(
                    stores.directory, account, definition, where, again
                )
            ]
    if not count:
        return []
    reached = await _reach(settings, addresses)
    return [good(_SUBJECT, f"{count} set"), *findings, *reached]


def _addresses(definition: UpstreamDefinition) -> Iterator[str]:
    yield definition.endpoint
    if definition.sign_in is not None:
        yield definition.sign_in
    if definition.revocation is not None:
        yield definition.revocation.endpoint


async def _reach(
    settings: Settings, addresses: Mapping[tuple[AccountId, str], Sequence[str]]
) -> list[Finding]:
    """Ask each address for an answer of any kind."""
    client = UpstreamClient(
        OutboundClient(
            AddressRules(settings.internal_issuers), ca_file=settings.ca_file
        )
    )
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def ask(account: AccountId, url: str, where: str) -> list[Finding]:
        try:
            async with slots:
                ahead = await client.seconds_ahead(account, url)
        except (UpstreamUnreachableError, UpstreamUnclearError) as error:
            return [
                problem(
                    _SUBJECT,
                    f"{where}: {url} does not answer: {error}",
                    "check DNS, network and certificate (BROKER_CA_FILE); a private"
                    " address needs BROKER_INTERNAL_ISSUERS",
                )
            ]
        if ahead is None or abs(ahead) < SKEW_SECONDS:
            return []
        return [
            problem(
                _SUBJECT,
                f"{where}: the clocks of {url} and of the broker differ by"
                f" {abs(ahead):.0f} seconds",
                "synchronize the wrong one with NTP",
            )
        ]

    asked = [
        asyncio.create_task(ask(account, url, ", ".join(names)))
        for (account, url), names in addresses.items()
    ]
    try:
        done, late = await asyncio.wait(asked, timeout=_ALL_SECONDS)
        for task in late:
            task.cancel()
        findings = [
            finding for entry in asked if entry in done for finding in entry.result()
        ]
        if late:
            text = f"no answer within {_ALL_SECONDS} s from {len(late)} address(es)"
            findings.append(warning(_SUBJECT, text, "try again"))
        return findings
    finally:
        await client.close()


async def _check(
    directory: DirectoryReader,
    account: Account,
    definition: UpstreamDefinition,
    where: str,
    again: str,
) -> AsyncIterator[Finding]:
    outbound = find_outbound(account)
    if definition.method == "WebIdentity" and not (outbound and outbound.enabled):
        yield problem(
            _SUBJECT,
            f"{where} needs tokens of the account, which issues none",
            "aws iam enable-outbound-web-identity-federation, in that account",
        )
    for name in definition.roles:
        if name == ALL_ROLES:
            continue
        role = await directory.named(ROLE, account.account_id, name)
        if role is None:
            yield problem(
                _SUBJECT,
                f"{where} is for the role {name}, which does not exist",
                f"create the role, or {again} FILE without it",
            )
        elif role.name != name:
            yield problem(
                _SUBJECT,
                f"{where} is for the role {name}, which is spelled {role.name}",
                f"{again} FILE with that name",
            )
