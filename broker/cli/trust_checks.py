"""The checks of ``broker doctor`` that look at trust policies.

``SAML:aud`` is where the response was posted: a role that comes from AWS names AWS's
sign-in address, and no response that is posted to the broker matches it. A role that
``GroupRoles`` names should be closed to other people by its trust policy, too: if the
entry is removed, nothing else is between the role and everybody.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import partial

from broker.cli.findings import Finding, warning
from broker.compose.storage import Stores
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Role, SamlProvider
from broker.model.page import read_pages
from broker.model.principal import Principal, PrincipalType
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    Condition,
    PolicyKind,
    PolicyRejected,
    TooMuchWork,
    authorize_trust,
    compile_policies,
    parse_policy,
)
from broker.policy.document import Effect
from broker.policy.wildcard import compile_wildcard, tokenize
from broker.proofs.provider_options import ProviderOptions
from broker.settings import Settings
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import OIDC_PROVIDER, ROLE, SAML_PROVIDER

_PAGE = 200
_KEY = "saml:aud"
_OPERATORS = frozenset({"stringequals", "stringequalsignorecase", "stringlike"})
_SHOWN = 3
_SOMEBODY = "someone"


async def check_trust(settings: Settings, stores: Stores) -> AsyncIterator[Finding]:
    """Find roles that no response can open, and mapped ones that any token can."""
    directory = stores.directory
    for account in await list_accounts(directory):
        number = account.account_id
        providers = await directory.all_of(SAML_PROVIDER, number)
        issuers = await directory.all_of(OIDC_PROVIDER, number)
        if not providers and not issuers:
            continue
        ours = _recipients(settings, providers)
        trust: dict[str, str] = {}
        async for role in _roles(stores, number):
            trust[role.arn] = role.trust_policy
            wrong = _unmatched(role, ours) if providers else ()
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
        for provider in issuers:
            for text, remedy in find_open_roles(
                number,
                provider.host_and_path,
                provider.client_ids,
                provider.options,
                trust,
            ):
                yield warning(provider.arn, text, remedy)


def find_open_roles(
    account: AccountId,
    issuer: str,
    client_ids: Iterable[str],
    options: Mapping[str, object],
    trust: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """The roles of an OpenID Connect provider's ``GroupRoles`` that anybody could have.

    ``trust`` has the account's trust policies by role. Yields what to say of each, and
    what to do about it.
    """
    try:
        parsed = ProviderOptions.parse(options)
    except ValueError:
        return  # is a finding of its own
    table = parsed.group_roles
    if table is None or (parsed.scim is not None and parsed.scim.gives_groups):
        return  # no trust policy sees the groups of a SCIM directory
    key = f"{issuer}:{table.attribute}"
    for arn in sorted(table.named & trust.keys()):
        if any(
            _accepts(trust[arn], arn, account, issuer, client_id)
            for client_id in client_ids
        ):
            text = (
                f"only GroupRoles keeps {arn} for members of its groups: the trust policy"
                " accepts tokens without a group"
            )
            remedy = (
                f"set ClaimKeys={table.attribute}, and name the groups in the role's"
                f" trust policy, as ForAnyValue:StringEquals of {key}"
            )
            yield text, remedy


def _accepts(
    trust: str, role_arn: str, account: AccountId, issuer: str, client_id: str
) -> bool:
    """Whether a trust policy accepts a token that says nothing but its audience."""
    arn = iam_arn(account, f"oidc-provider/{issuer}")
    prefix = issuer.lower()
    request = AccessRequest(
        "sts:AssumeRoleWithWebIdentity",
        role_arn,
        Principal.from_provider(
            PrincipalType.WEB_IDENTITY, account, provider=arn, subject=_SOMEBODY
        ),
        {
            f"{prefix}:aud": (client_id,),
            f"{prefix}:sub": (_SOMEBODY,),
            "aws:federatedprovider": (arn,),
            "sts:roleauthorizedbyidp": ("false",),
        },
    )
    try:
        policy = compile_policies([("", parse_policy(trust, PolicyKind.TRUST))])
        applicable = ApplicablePolicies(resource=policy, resource_account=account)
        return authorize_trust(request, applicable).allowed
    except (PolicyRejected, TooMuchWork):
        return False


async def _roles(stores: Stores, account: AccountId) -> AsyncIterator[Role]:
    listed = partial(stores.directory.page_of, ROLE, account)
    async for page in read_pages(listed, _PAGE):
        for role in page:
            yield role


def _recipients(settings: Settings, providers: Iterable[SamlProvider]) -> set[str]:
    recipients = set(settings.recipients)
    for provider in providers:
        recipients.add(f"{settings.public_origin}/saml/acs/{provider.uuid}")
        try:
            recipients |= set(ProviderOptions.parse(provider.options).recipients)
        except ValueError:
            continue  # is a finding of its own
    return recipients


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
