"""Parses a template into the wanted state of each account."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from broker.kinds.control_policies import (
    ControlKind,
    ControlPolicy,
    check_control_policies,
    control_policies,
)
from broker.kinds.limits import DEFAULTS
from broker.kinds.password_policy import PasswordPolicy
from broker.kinds.yaml_text import (
    TemplateError,
    dump_yaml,
    load_yaml,
    raise_faults,
)
from broker.model.account import Account, AccountId, parse_account_id
from broker.model.arn import iam_arn
from broker.stores.directory.port import DirectoryReader
from broker.template.account_settings import (
    Settings,
    read_password_policy,
    read_settings,
    shown_settings,
)
from broker.template.definitions import RESOURCE_POLICIES, SERVICES, UPSTREAMS
from broker.template.made_by_calls import SERVER_CERTIFICATES, VIRTUAL_MFA_DEVICES
from broker.template.managed_policies import MANAGED_POLICIES
from broker.template.properties import Properties
from broker.template.providers import (
    LDAP_PROVIDERS,
    OIDC_PROVIDERS,
    SAML_PROVIDERS,
)
from broker.template.roles import INSTANCE_PROFILES, ROLES
from broker.template.roles_anywhere import ROLES_ANYWHERE
from broker.template.section import (
    AccountReading,
    Described,
    Section,
    TemplateContext,
    without_empty,
)
from broker.template.users import GROUPS, USERS

KINDS: tuple[Section, ...] = (
    SAML_PROVIDERS,
    OIDC_PROVIDERS,
    LDAP_PROVIDERS,
    MANAGED_POLICIES,
    GROUPS,
    USERS,
    ROLES,
    INSTANCE_PROFILES,
    SERVER_CERTIFICATES,
    VIRTUAL_MFA_DEVICES,
    SERVICES,
    UPSTREAMS,
    RESOURCE_POLICIES,
    *ROLES_ANYWHERE,
)

_PAGE = 1000
"""Entities of one part of the text."""

_Part = tuple[str, object]
"""The name of a member of the account, and its value or some of its items."""


class AccountTemplate(Struct, frozen=True, kw_only=True):
    """The wanted state of one account.

    ``alias`` and ``password_policy`` None, quotas and settings that are not named and
    kinds of ``controls`` that are absent stay as they are. ``sections`` has the kinds
    whose section is given, in the order of creation.
    """

    account: AccountId
    place: str
    alias: str | None
    quotas: Mapping[str, int]
    controls: Mapping[ControlKind, tuple[ControlPolicy, ...]]
    password_policy: PasswordPolicy | None
    settings: Settings
    sections: Mapping[str, tuple[Described, ...]]

    def specs(self, kind: Section) -> tuple[Described, ...] | None:
        """What a section describes; None for an absent section."""
        return self.sections.get(kind.section)


def parse_template(
    text: str, context: TemplateContext, now: datetime
) -> tuple[AccountTemplate, ...]:
    """Parse a template and validate every policy document in it.

    Raises:
        TemplateError: with the places of all mistakes. Of a policy document it names
            the first one.
    """
    faults: list[TemplateError] = []
    top = Properties(load_yaml(text), "", faults)
    accounts = top.take("Accounts")
    for name in ("AWSTemplateFormatVersion", "Description"):
        top.take(name)
    results = []
    with top.noting():
        if not isinstance(accounts, dict):
            raise TemplateError("Accounts", "must map account ids to what they have")
        for number, data in accounts.items():
            with top.noting():
                results.append(_read_account(str(number), data, context, now, faults))
    top.finish()
    raise_faults(faults)
    return tuple(results)


def planned_arns(accounts: Sequence[AccountTemplate]) -> frozenset[str]:
    """The ARNs of all users and roles that the template describes."""
    return frozenset(
        iam_arn(
            account.account,
            f"{section.label}{spec.properties['Path']}{section.name_of(spec)}",
        )
        for account in accounts
        for section in (USERS, ROLES)
        for spec in account.specs(section) or ()
    )


def _read_account(
    number: str,
    data: object,
    context: TemplateContext,
    now: datetime,
    faults: list[TemplateError],
) -> AccountTemplate:
    place = f"Accounts.{number}"
    try:
        account = parse_account_id(number)
    except ValueError as error:
        raise TemplateError(place, str(error)) from error
    properties = Properties({} if data is None else data, place, faults)
    reading = AccountReading(account=account, now=now, context=context)
    sections = {
        kind.section: _read_section(kind, properties, reading)
        for kind in KINDS
        if properties.has(kind.section)
    }
    alias = properties.take("Alias")
    with properties.noting():
        if alias is not None and not isinstance(alias, str):
            raise TemplateError(f"{place}.Alias", "must be a text")
    password_policy = None
    with properties.noting():
        password_policy = read_password_policy(properties)
    broker = properties.part("Broker")
    quotas = dict[str, int]()
    with properties.noting():
        quotas = _read_quotas(broker)
    settings = read_settings(broker)
    controls = {}
    for control in ControlKind:
        if broker.has(control):
            with broker.noting():
                controls[control] = _read_controls(control, broker)
    broker.finish()
    properties.finish()
    return AccountTemplate(
        account=account,
        place=place,
        alias=alias,
        quotas=quotas,
        controls=controls,
        password_policy=password_policy,
        settings=settings,
        sections=sections,
    )


def _read_section(
    kind: Section, properties: Properties, reading: AccountReading
) -> tuple[Described, ...]:
    results: dict[str, Described] = {}

    def read(item: Properties) -> None:
        spec = kind.parse(item, reading)
        if spec is None:
            return
        if kind.key(spec) in results:
            raise TemplateError(item.place, f"this {kind.label} comes twice")
        results[kind.key(spec)] = spec

    with properties.noting():
        properties.read_each(kind.section, read)
    return tuple(results.values())


def _read_quotas(broker: Properties) -> dict[str, int]:
    quotas = broker.part("Quotas")
    results = {}
    for name, default in DEFAULTS.items():
        if quotas.has(name):
            with quotas.noting():
                results[str(name)] = quotas.integer(name, default, 0, 10**9)
    quotas.finish()
    return results


def _read_controls(
    control: ControlKind, broker: Properties
) -> tuple[ControlPolicy, ...]:
    policies = broker.read_each(
        control,
        lambda item: ControlPolicy(
            item.name("PolicyName"), item.document("PolicyDocument")
        ),
    )
    try:
        check_control_policies(control, policies)
    except ValueError as error:
        raise TemplateError(f"{broker.place}.{control}", str(error)) from error
    return tuple(policies)


async def export_account(
    directory: DirectoryReader, account: Account
) -> AsyncIterator[str]:
    """The account's template, without any secret; applying it changes nothing.

    It comes in parts, for accounts with very many entities.
    """
    before = ""
    async for name, value in _parts(directory, account):
        text = dump_yaml({"Accounts": {account.account_id: {name: value}}})
        # The lines that are there already: of the file, the account and the member.
        there = 0 if not before else 3 if name == before else 2
        yield text.split("\n", there)[there]
        before = name
    if not before:
        yield dump_yaml({"Accounts": {account.account_id: {}}})


async def account_data(
    directory: DirectoryReader, account: Account
) -> dict[str, dict[str, dict[str, object]]]:
    """The same as `export_account`, as plain data; a large account is held whole."""
    members: dict[str, Any] = {}
    async for name, value in _parts(directory, account):
        members[name] = (
            [*members.get(name, ()), *value] if isinstance(value, list) else value
        )
    return {"Accounts": {account.account_id: members}}


async def _parts(directory: DirectoryReader, account: Account) -> AsyncIterator[_Part]:
    if account.alias is not None:
        yield "Alias", account.alias
    if account.password_policy is not None:
        yield "PasswordPolicy", dict(account.password_policy)
    for kind in KINDS:
        async for specs in kind.distinct(directory, account.account_id):
            for start in range(0, len(specs), _PAGE):
                some = specs[start : start + _PAGE]
                yield kind.section, [without_empty(kind.show(spec)) for spec in some]
    broker: dict[str, object] = {}
    if account.quotas:
        broker["Quotas"] = dict(sorted(account.quotas.items()))
    broker |= shown_settings(account)
    for control in ControlKind:
        policies = control_policies(account, control)
        if policies:
            broker[control] = [
                {"PolicyName": policy.name, "PolicyDocument": json.loads(policy.text)}
                for policy in policies
            ]
    if broker:
        yield "Broker", {str(name): value for name, value in broker.items()}
