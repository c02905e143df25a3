"""``broker doctor`` on trust anchors, revocation lists and organisations."""

from collections.abc import AsyncIterator
from datetime import timedelta

from broker.cli.findings import Finding, good, problem, warning
from broker.compose.storage import Stores
from broker.kinds.organisations import (
    Organisation,
    OrganisationsFileError,
    read_organisations,
)
from broker.kinds.roles_anywhere import anchor_expiries, list_expiries
from broker.proofs.provider_options import ProviderOptions, find_provider
from broker.runtime.clock import Clock
from broker.settings import Settings
from broker.stores.directory.accounts import (
    find_account_by_alias,
    list_everywhere,
    read_everywhere,
)
from broker.stores.directory.kinds import ACCOUNT, CERTIFICATE_LIST, TRUST_ANCHOR

ANCHOR_SOON = timedelta(days=45)
"""AWS warns of a trust anchor's end from 45 days before on."""

LIST_SOON = timedelta(days=1)
_ROLES_ANYWHERE = "roles anywhere"


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


_ORGANISATIONS = "organisations"


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
