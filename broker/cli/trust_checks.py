"""The check of ``broker doctor`` that compares trust policies with the public address.

``SAML:aud`` is where the response was posted: a role that comes from AWS names AWS's
sign-in address, and no response that is posted to the broker matches it.
"""

from collections.abc import AsyncIterator, Iterable

from broker.cli.findings import Finding, warning
from broker.federation.saml_options import SamlProviderOptions
from broker.model.account import AccountId
from broker.model.entities import Role, SamlProvider
from broker.model.page import PageRequest
from broker.policy import Condition, PolicyKind, PolicyRejected, parse_policy
from broker.policy.document import Effect
from broker.policy.wildcard import compile_wildcard, tokenize
from broker.settings import Settings
from broker.storage import Stores

_PAGE = 200
_KEY = "saml:aud"
_OPERATORS = frozenset({"stringequals", "stringequalsignorecase", "stringlike"})
_SHOWN = 3


async def check_trust(settings: Settings, stores: Stores) -> AsyncIterator[Finding]:
    """Find roles whose ``SAML:aud`` no response to this broker can have."""
    directory = stores.directory
    for account in await directory.list_accounts():
        number = account.account_id
        providers = await directory.list_saml_providers(number)
        if not providers:
            continue
        ours = _recipients(settings, providers)
        async for role in _roles(stores, number):
            wrong = _unmatched(role, ours)
            if wrong:
                named = ", ".join(wrong[:_SHOWN])
                yield warning(
                    role.arn,
                    f"its trust policy asks for SAML:aud {named}, which no response that"
                    " is posted here has",
                    f"write {settings.public_origin}/saml there, or set"
                    f" BROKER_SAML_RECIPIENTS={wrong[0]} if the identity provider goes on"
                    " naming it",
                )


async def _roles(stores: Stores, account: AccountId) -> AsyncIterator[Role]:
    marker: str | None = None
    while True:
        page = await stores.directory.list_roles(
            account, "/", PageRequest(marker, _PAGE)
        )
        for role in page.items:
            yield role
        marker = page.marker
        if marker is None:
            return


def _recipients(settings: Settings, providers: Iterable[SamlProvider]) -> set[str]:
    found = set(settings.recipients)
    for provider in providers:
        found.add(f"{settings.public_origin}/saml/acs/{provider.uuid}")
        try:
            found |= set(SamlProviderOptions.parse(provider.options).recipients)
        except ValueError:
            continue  # is a finding of its own
    return found


def _unmatched(role: Role, ours: set[str]) -> list[str]:
    """The values of the first condition that lets no response of ours in."""
    if _KEY not in role.trust_policy.lower():
        return []
    try:
        document = parse_policy(role.trust_policy, PolicyKind.TRUST)
    except PolicyRejected:
        return []
    for statement in document.statements:
        if statement.effect is not Effect.ALLOW:
            continue
        for condition in statement.conditions:
            if condition.key.lower() == _KEY and not _lets_in(condition, ours):
                return list(condition.values)
    return []


def _lets_in(condition: Condition, ours: set[str]) -> bool:
    """Whether some address of ours satisfies it; true for operators not looked at."""
    operator = condition.operator.rpartition(":")[2].lower().removesuffix("ifexists")
    if operator not in _OPERATORS or any("${" in value for value in condition.values):
        return True
    if operator == "stringlike":
        tests = [compile_wildcard(tokenize(value)) for value in condition.values]
        return any(test(address) for test in tests for address in ours)
    if operator == "stringequals":
        return not ours.isdisjoint(condition.values)
    lowered = {value.lower() for value in condition.values}
    return any(address.lower() in lowered for address in ours)
