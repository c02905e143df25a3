"""``broker doctor`` on organisations."""

from broker.cli.findings import Finding, good, problem, warning
from broker.compose.storage import Stores
from broker.kinds.organisations import (
    Organisation,
    OrganisationsFileError,
    read_organisations,
)
from broker.proofs.provider_options import ProviderOptions, find_provider
from broker.settings import Settings
from broker.stores.directory.accounts import find_account_by_alias
from broker.stores.directory.kinds import ACCOUNT

_SUBJECT = "organisations"


async def check_organisations(settings: Settings, stores: Stores) -> list[Finding]:
    """Find members and providers that are not there, and names that hide others."""
    try:
        organisations = read_organisations(settings.organisations_file)
    except OrganisationsFileError as error:
        return [problem(_SUBJECT, str(error), "correct the file")]
    found: list[Finding] = []
    for organisation in organisations.by_name.values():
        wrong = await _check(organisation, stores)
        name, count = organisation.name, len(organisation.members)
        found += wrong or [
            good(_SUBJECT, f"{name} has {count} account{'s' * (count != 1)}")
        ]
    return found


async def _check(organisation: Organisation, stores: Stores) -> list[Finding]:
    found: list[Finding] = []
    hidden = await find_account_by_alias(stores.directory, organisation.name)
    if hidden is not None:
        found.append(
            warning(
                _SUBJECT,
                f"{organisation.name} is also the alias of {hidden.account_id}, whose"
                " sign-in page and portal are at its number only",
                "rename one of the two",
            )
        )
    begins = False
    for member in organisation.members.values():
        if await stores.directory.find(ACCOUNT, member.account) is None:
            found.append(
                problem(
                    _SUBJECT,
                    f"{organisation.name} names the account {member.account}, which"
                    " does not exist",
                    "remove it from the file, or create the account",
                )
            )
            continue
        begins = begins or member.has_passwords
        for arn in member.providers:
            provider = await find_provider(stores.directory, member.account, arn)
            if provider is not None:
                begins = begins or ProviderOptions.parse(provider.options).begins_here
                continue
            found.append(
                problem(
                    _SUBJECT,
                    f"{organisation.name} names {arn}, which does not exist",
                    "correct the name, or create the provider",
                )
            )
    if not begins:
        found.append(
            warning(
                _SUBJECT,
                f"no sign-in to {organisation.name} can begin here",
                "broker providers set ARN SignIn=true for one of its SAML or LDAP"
                " providers, or ClientId=… for an OpenID Connect provider",
            )
        )
    return found
