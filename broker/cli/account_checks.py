"""``broker doctor`` on trust anchors, revocation lists, organisations and invariants."""

from collections.abc import AsyncIterator
from datetime import timedelta

from broker.cli.findings import Finding, good, problem, warning
from broker.compose.storage import Stores
from broker.errors import AccessDenied
from broker.kinds.control_policies import ControlKind, control_policies
from broker.kinds.organisations import (
    Organisation,
    OrganisationsFileError,
    read_organisations,
)
from broker.kinds.roles_anywhere import anchor_expiries, list_expiries
from broker.permit.invariants import find_broken
from broker.proofs.provider_options import ProviderOptions, find_provider
from broker.runtime.clock import Clock
from broker.settings import Settings
from broker.stores.directory.accounts import (
    find_account_by_alias,
    list_accounts,
    list_everywhere,
    read_everywhere,
)
from broker.stores.directory.kinds import ACCOUNT, CERTIFICATE_LIST, TRUST_ANCHOR

ANCHOR_SOON = timedelta(days=45)
"""AWS warns of a trust anchor's end from 45 days before on."""

LIST_SOON = timedelta(days=1)
_INVARIANTS = "invariants"
_ROLES_ANYWHERE = "roles anywhere"

_ORGANISATIONS = "organisations"


async def check_certificates(stores: Stores, clock: Clock) -> list[Finding]:
    """Find trust anchors and revocation lists that end, or have ended.

    An enabled list that is out of date refuses every certificate of its issuer.
    """
    directory, now = stores.directory, clock.now()
    anchors = await list_everywhere(directory, TRUST_ANCHOR)
    findings = (
        [good(_ROLES_ANYWHERE, f"{len(anchors)} trust anchors")] if anchors else []
    )
    findings += [
        warning(
            _ROLES_ANYWHERE,
            f"{expiry.subject[:200]} of {anchor.arn} {_ends(expiry.at <= now)}"
            f" {expiry.at:%Y-%m-%d}",
            "add the next certificate with aws rolesanywhere update-trust-anchor",
        )
        async for anchor in directory.with_documents(TRUST_ANCHOR, anchors)
        for expiry in anchor_expiries(anchor.certificates)
        if anchor.enabled and expiry.at and expiry.at <= now + ANCHOR_SOON
    ]
    findings += [
        warning(
            _ROLES_ANYWHERE,
            f"the revocation list {listed.name} ({listed.arn})"
            f" {_ends(expiry.at <= now)} {expiry.at:%Y-%m-%d %H:%M} UTC; after that,"
            f" certificates of {expiry.subject[:200]} are refused",
            "import the authority's next list with aws rolesanywhere update-crl",
        )
        async for listed in read_everywhere(directory, CERTIFICATE_LIST)
        for expiry in list_expiries(listed.data)
        if listed.enabled and expiry.at and expiry.at <= now + LIST_SOON
    ]
    return findings


def _ends(has_ended: bool) -> str:  # reads as a word
    return "expired on" if has_ended else "expires on"


async def check_organisations(settings: Settings, stores: Stores) -> list[Finding]:
    """Find members and providers that are not there, and names that hide others."""
    try:
        organisations = read_organisations(settings.organisations_file)
    except OrganisationsFileError as error:
        return [problem(_ORGANISATIONS, str(error), "correct the file")]
    findings: list[Finding] = []
    for organisation in organisations.by_name.values():
        wrong = [finding async for finding in _check_members(organisation, stores)]
        name, count = organisation.name, len(organisation.members)
        findings += wrong or [
            good(_ORGANISATIONS, f"{name} has {count} account{'s' * (count != 1)}")
        ]
    return findings


async def _check_members(
    organisation: Organisation, stores: Stores
) -> AsyncIterator[Finding]:
    hidden = await find_account_by_alias(stores.directory, organisation.name)
    if hidden is not None:
        yield warning(
            _ORGANISATIONS,
            f"{organisation.name} is also the alias of {hidden.account_id}, whose"
            " sign-in page and portal are at its number only",
            "rename one of the two",
        )
    begins = False
    for member in organisation.members.values():
        if await stores.directory.find(ACCOUNT, member.account) is None:
            yield problem(
                _ORGANISATIONS,
                f"{organisation.name} names the account {member.account}, which"
                " does not exist",
                "remove it from the file, or create the account",
            )
            continue
        begins = begins or member.has_passwords
        for arn in member.providers:
            provider = await find_provider(stores.directory, member.account, arn)
            if provider is not None:
                begins = begins or ProviderOptions.parse(provider.options).begins_here
                continue
            yield problem(
                _ORGANISATIONS,
                f"{organisation.name} names {arn}, which does not exist",
                "correct the name, or create the provider",
            )
    if not begins:
        yield warning(
            _ORGANISATIONS,
            f"no sign-in to {organisation.name} can begin here",
            "broker providers set ARN SignIn=true for one of its SAML or LDAP"
            " providers, or ClientId=… for an OpenID Connect provider",
        )


async def check_invariants(stores: Stores) -> list[Finding]:
    """Judge every account's invariants: AWS's managed policies may have changed."""
    findings: list[Finding] = []
    for account in await list_accounts(stores.directory):
        stated = control_policies(account, ControlKind.INVARIANT)
        if not stated:
            continue
        number = account.account_id
        try:
            broken = await find_broken(stores.directory, account, stated)
        except AccessDenied as error:
            findings.append(
                warning(_INVARIANTS, f"{number}: {error.message}", "split the account")
            )
            continue
        findings += (
            problem(
                _INVARIANTS,
                f"{number}: {breach.as_it_is}",
                "take the permission away, or state the invariant otherwise",
            )
            for breach in broken
        )
        if not broken:
            count = f"{len(stated)} invariant{'s' * (len(stated) != 1)}"
            findings.append(good(_INVARIANTS, f"{number} keeps its {count}"))
    return findings
