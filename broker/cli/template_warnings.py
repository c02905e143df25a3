"""Warnings about a template: unknown names, roles that are open to everybody."""

from collections.abc import Iterator
from datetime import datetime

from broker.cli.trust_checks import find_open_roles
from broker.kinds.control_policies import ControlKind
from broker.kinds.registered_services import service_entries
from broker.kinds.template.definitions import RESOURCE_POLICIES, SERVICES
from broker.kinds.template.owned import MANAGED_POLICIES, POLICIES
from broker.kinds.template.providers import OIDC_PROVIDERS
from broker.kinds.template.reader import KINDS, AccountTemplate, parse_template
from broker.kinds.template.roles import ROLES, TRUST
from broker.kinds.template.section import TemplateContext
from broker.model.arn import iam_arn
from broker.policy import PolicyKind, parse_policy
from broker.policy.catalogue import ServiceEntry, unknown_names
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryReader


async def find_template_warnings(
    text: str, context: TemplateContext, now: datetime, directory: DirectoryReader
) -> list[str]:
    """A line for each name that no service has, and each role that is open to all.

    Services are AWS's, and those that the template's accounts have or get.

    Raises:
        TemplateError: The template is invalid.
    """
    accounts = parse_template(text, context, now)
    registered: dict[str, ServiceEntry] = {}
    for account in accounts:
        stored = await directory.all_of(SERVICE, account.account)
        declared = account.specs(SERVICES) or ()
        registered |= service_entries(
            [(service.name, service.definition) for service in stored]
            + [tuple(spec.properties.values()) for spec in declared],
            account=account.account,
            region=context.home_region,
        )
    return [
        f"{account.place}.{place}: {warning}"
        for account in accounts
        for place, document, kind in _documents(account)
        for warning in unknown_names(parse_policy(document, kind), registered)
    ] + [warning for account in accounts for warning in _open_roles(account)]


def _open_roles(account: AccountTemplate) -> Iterator[str]:
    trust = {
        iam_arn(
            account.account, "role{Path}{RoleName}".format(**role.properties)
        ): role.properties[TRUST]
        for role in account.specs(ROLES) or ()
    }
    for spec in account.specs(OIDC_PROVIDERS) or ():
        entry, named = spec.properties, OIDC_PROVIDERS.name_of(spec)
        said = (account.account, named, entry["ClientIdList"], entry["Broker"], trust)
        for text, remedy in find_open_roles(*said):
            yield f"{account.place}.OIDCProviders.{entry['Url']}: {text}; {remedy}"


def _documents(account: AccountTemplate) -> Iterator[tuple[str, str, PolicyKind]]:
    for kind in KINDS:
        for spec in account.specs(kind) or ():
            place, said = f"{kind.section}.{kind.name_of(spec)}", spec.properties
            if kind in {MANAGED_POLICIES, RESOURCE_POLICIES}:
                resource = kind is RESOURCE_POLICIES
                grammar = PolicyKind.RESOURCE if resource else PolicyKind.IDENTITY
                yield place, said["PolicyDocument"], grammar
            for name, document in said.get(POLICIES, {}).items():
                yield f"{place}.{name}", document, PolicyKind.IDENTITY
    for control in ControlKind:
        for policy in account.controls.get(control, ()):
            yield f"Broker.{control}.{policy.name}", policy.text, control.grammar
