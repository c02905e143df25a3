"""What ``broker doctor`` says of registered services."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from broker.cli.findings import Finding, good, warning
from broker.compose.storage import Stores
from broker.kinds.bearer_tokens import SERVICE_TOKENS, owning_service
from broker.kinds.service_catalogue import registered_services, service_entries
from broker.model.account import AccountId
from broker.model.audit import AuditFilter, Outcome
from broker.model.page import PageRequest
from broker.model.registered import RegisteredService
from broker.policy import PolicyKind, PolicyRejected, parse_policy
from broker.policy.catalogue import ServiceEntry, unknown_keys
from broker.protocols.enforcement import SIGNED_CHUNKS
from broker.runtime.clock import Clock
from broker.settings import Settings
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import RESOURCE_POLICY
from broker.stores.directory.policy_texts import list_policy_texts

_POLICIES_MAX = 2000
_SHOWN = 20

SOON = timedelta(days=14)
"""Before a token expires, so that nothing has to be refused."""

_LATELY = timedelta(days=1)
_RECORDS_MAX = 100
_FAULTS_OF_THE_ASKER = {
    "broker:Authorize": {"AccessDenied"},
    "broker:DeriveSigningKey": {"AccessDenied", "ValidationError"},
}
"""By action, the errors that are not about a client's key, signature or request."""


async def check_services(
    settings: Settings, stores: Stores, clock: Clock
) -> list[Finding]:
    """Find tokens that soon expire, definitions of old rules, and keys without a value."""
    directory, now = stores.directory, clock.now()
    findings: list[Finding] = []
    count = 0
    for account in await list_accounts(directory):
        services = await registered_services(directory, account.account_id)
        if services:
            entries = service_entries(
                [(service.name, service.definition) for service in services],
                account=account.account_id,
                region=settings.home_region,
            )
            findings += await _of_policies(stores, account.account_id, entries)
            findings += await _of_refused_askers(stores, account.account_id, now)
        for service in services:
            count += 1
            findings += _of_definition(service)
            findings += [
                warning(
                    "services",
                    f"the token {token.token_id} of {service.arn} expires at"
                    f" {token.expires_at:%Y-%m-%d %H:%M} UTC",
                    f"broker services token {service.name} --account"
                    f" {service.account}, and replace the old one where it is used",
                )
                for token in await SERVICE_TOKENS.tokens_of(
                    directory, owning_service(service)
                )
                if token.expires_at <= now + SOON
            ]
    return [*([good("services", f"{count} registered")] if count else []), *findings]


async def _of_policies(
    stores: Stores, account: AccountId, entries: Mapping[str, ServiceEntry]
) -> list[Finding]:
    """Policies with a condition on a key that no request has: a Deny denies nothing."""
    directory = stores.directory
    texts = [
        (
            f"{policy_text.kind} {policy_text.owner or account} {policy_text.name}",
            policy_text.document,
            PolicyKind.IDENTITY,
        )
        for policy_text in await list_policy_texts(directory, account, _POLICIES_MAX)
    ]
    page = await directory.page_of(
        RESOURCE_POLICY, account, PageRequest(None, _POLICIES_MAX)
    )
    texts += [
        (policy.arn, policy.document, PolicyKind.RESOURCE)
        async for policy in directory.with_documents(RESOURCE_POLICY, page.items)
    ]
    findings = []
    for label, text, kind in texts:
        try:
            doubts = unknown_keys(parse_policy(text, kind), entries)
        except PolicyRejected:
            continue  # it allows no principal anything
        findings += [
            warning(
                "services",
                f"the policy of {label}: {doubt}",
                "declare the key among the service's ConditionKeys if the service sends"
                " it, or use another key: most conditions on this one never match"
                " (StringNotEquals always does)",
            )
            for doubt in doubts
        ]
    more = len(findings) - _SHOWN
    if more > 0:
        last = warning("services", f"{more} more of such keys", "see those above")
        return [*findings[:_SHOWN], last]
    return findings


async def _of_refused_askers(
    stores: Stores, account: AccountId, now: datetime
) -> list[Finding]:
    """Services and gateways that may not ask, or ask for a wrong region or scope."""
    newest: dict[tuple[str, str], Finding] = {}
    for action, codes in _FAULTS_OF_THE_ASKER.items():
        page = await stores.ledger.search(
            AuditFilter(
                account=account,
                action=action,
                decisions=(Outcome.DENIED, Outcome.ERROR),
                since=now - _LATELY,
            ),
            PageRequest(None, _RECORDS_MAX),
        )
        for record in page.items:
            if record.error_code in codes and record.resources:
                newest.setdefault(
                    (record.caller_arn, record.resources[0]),
                    warning(
                        "services",
                        f"{record.caller_arn} was refused {action} for"
                        f" {record.resources[0]} at {record.at:%Y-%m-%d %H:%M} UTC:"
                        f" {record.detail or record.reason}",
                        f"broker explain {record.event_id}; a gateway needs"
                        " broker:Authorize and broker:DeriveSigningKey, and the"
                        " service's region",
                    ),
                )
    return list(newest.values())


def _of_definition(service: RegisteredService) -> Iterator[Finding]:
    """What a definition may no longer be, and was when it was stored."""
    definition = json.loads(service.definition)
    if not definition.get("Hosts"):
        yield warning(
            "services",
            f"{service.arn} accepts requests that are signed for any host, such as"
            " those for another service with the same scope",
            "add Hosts to its definition: the values of the Host header, with ports,"
            " at which clients reach it",
        )
    declared = definition.get("Signature", {}).get("Payloads", ())
    for payload in sorted(SIGNED_CHUNKS.intersection(declared)):
        yield warning(
            "services",
            f"{service.arn} lists {payload}, which is refused: the chunks of such a"
            " body are not verified",
            "remove it from Signature.Payloads",
        )
