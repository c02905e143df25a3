"""The account's own settings in a template, below ``Broker``.

Enabling outbound federation creates the account's issuer keys, as the API call does;
templates do not contain them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from broker.errors import InvalidInput
from broker.kinds.accounts import (
    ALWAYS_ON,
    DISABLED_REGIONS,
    PROVIDER_OPTIONS,
    ROOT_MANAGED_BY,
    TOKEN_VERSION,
    TOKEN_VERSIONS,
    UNLISTED_POLICIES,
    accepts_unlisted_policies,
    disabled_regions,
    is_region_name,
    may_set_provider_options,
    root_manager,
)
from broker.kinds.outbound import (
    OPTION,
    Outbound,
    find_outbound,
    first_keys,
    with_outbound,
)
from broker.kinds.passwords import (
    FLAGS,
    LEAST_LENGTH,
    LONGEST,
    PasswordPolicy,
    complete_policy,
)
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import AccountWork
from broker.kinds.template.yaml_text import TemplateError
from broker.model.account import Account, parse_account_id
from broker.stores.directory.kinds import ACCOUNT

Settings = Mapping[str, object]
"""Values by property; an absent property stays as it is."""

_UNSET: Final[Settings] = {
    DISABLED_REGIONS: (),
    ROOT_MANAGED_BY: "",
    OPTION: False,
    TOKEN_VERSION: None,
    UNLISTED_POLICIES: False,
    PROVIDER_OPTIONS: False,
}


def read_settings(broker: Properties) -> Settings:
    """The settings among the properties of an account's ``Broker``.

    Raises:
        TemplateError: one of them is invalid.
    """
    results: dict[str, object] = {}
    if broker.has(DISABLED_REGIONS):
        results[DISABLED_REGIONS] = _regions(broker)
    if broker.has(ROOT_MANAGED_BY):
        results[ROOT_MANAGED_BY] = _manager(broker)
    if broker.has(OPTION):
        results[OPTION] = broker.flag(OPTION)
    if broker.has(TOKEN_VERSION):
        version = broker.text(TOKEN_VERSION)
        if version not in TOKEN_VERSIONS:
            place = f"{broker.place}.{TOKEN_VERSION}"
            raise TemplateError(place, f"must be {' or '.join(TOKEN_VERSIONS)}")
        results[TOKEN_VERSION] = version
    if broker.has(UNLISTED_POLICIES):
        results[UNLISTED_POLICIES] = broker.flag(UNLISTED_POLICIES)
    if broker.has(PROVIDER_OPTIONS):
        results[PROVIDER_OPTIONS] = broker.flag(PROVIDER_OPTIONS)
    return results


def settings_of(account: Account | None) -> Settings:
    """The settings that an account has; without an account, those of a new one."""
    if account is None:
        return _UNSET
    outbound = find_outbound(account)
    return {
        DISABLED_REGIONS: tuple(sorted(disabled_regions(account))),
        ROOT_MANAGED_BY: root_manager(account),
        OPTION: outbound is not None and outbound.enabled,
        TOKEN_VERSION: account.options.get(TOKEN_VERSION),
        UNLISTED_POLICIES: accepts_unlisted_policies(account),
        PROVIDER_OPTIONS: may_set_provider_options(account),
    }


def shown_settings(account: Account) -> dict[str, object]:
    """The settings that differ from a new account's, as a template writes them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings_of(account).items()
        if value != _UNSET[name]
    }


async def with_settings(
    work: AccountWork, account: Account, settings: Settings
) -> Account:
    """The account with the settings that a template asks for.

    Raises:
        InvalidInput: the account that shall manage root tasks does not exist, or an
            issuer's keys cannot be sealed.
    """
    present = settings_of(account)
    options = dict(account.options)
    for name in (
        DISABLED_REGIONS,
        ROOT_MANAGED_BY,
        TOKEN_VERSION,
        UNLISTED_POLICIES,
        PROVIDER_OPTIONS,
    ):
        if name in settings:
            options.pop(name, None)
            value = settings[name]
            if value != _UNSET[name]:
                options[name] = list(value) if isinstance(value, tuple) else value
    manager = settings.get(ROOT_MANAGED_BY)
    if manager:
        named = parse_account_id(str(manager))
        if await work.change.find(ACCOUNT, named) is None:
            raise InvalidInput(f"There is no account {manager} to do root tasks.")
    account = replace(account, options=options)
    if settings.get(OPTION, present[OPTION]) == present[OPTION]:
        return account
    return _switch_outbound(work, account, enabled=bool(settings[OPTION]))


def _switch_outbound(work: AccountWork, account: Account, *, enabled: bool) -> Account:
    outbound = find_outbound(account)
    if outbound is None:
        sealer = work.context.sealer
        if sealer is None:
            raise InvalidInput("Outbound federation cannot be switched on here.")
        keys = first_keys(account.account_id, sealer, work.now)
        outbound = Outbound(enabled=enabled, keys=keys)
    return with_outbound(account, replace(outbound, enabled=enabled))


def _regions(broker: Properties) -> tuple[str, ...]:
    regions = broker.texts(DISABLED_REGIONS)
    place = f"{broker.place}.{DISABLED_REGIONS}"
    for region in regions:
        if not is_region_name(region):
            raise TemplateError(place, f"{region} is not a region such as eu-central-1")
        if region == ALWAYS_ON:
            raise TemplateError(place, f"{ALWAYS_ON} cannot be switched off")
    return tuple(sorted(set(regions)))


def _manager(broker: Properties) -> str:
    named = broker.optional_text(ROOT_MANAGED_BY) or ""
    try:
        return parse_account_id(named) if named else ""
    except ValueError as error:
        place = f"{broker.place}.{ROOT_MANAGED_BY}"
        raise TemplateError(place, str(error)) from error


# The bounds in the service model of ``UpdateAccountPasswordPolicy``.
_NUMBERS = (
    ("MinimumPasswordLength", LEAST_LENGTH, LONGEST),
    ("MaxPasswordAge", 1, 1095),
    ("PasswordReusePrevention", 1, 24),
)


def read_password_policy(properties: Properties) -> PasswordPolicy | None:
    """The template's password policy; None when it has none.

    Raises:
        TemplateError: a member is unknown or out of bounds.
    """
    if not properties.has("PasswordPolicy"):
        return None
    part = properties.part("PasswordPolicy")
    policy: dict[str, int | bool] = {
        name: part.integer(name, low, low, high)
        for name, low, high in _NUMBERS
        if part.has(name)
    }
    policy |= {
        name: part.flag(name) for name in (*FLAGS, "HardExpiry") if part.has(name)
    }
    part.finish()
    return complete_policy(policy)
