"""The account's own settings in a template, below ``Broker``.

Enabling outbound federation creates the account's issuer keys, as the API call does;
templates do not contain them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from broker.errors import InvalidInput
from broker.kinds import accounts
from broker.kinds.outbound import (
    OPTION,
    Outbound,
    find_outbound,
    first_keys,
    with_outbound,
)
from broker.kinds.password_policy import (
    FLAGS,
    LEAST_LENGTH,
    LONGEST,
    PasswordPolicy,
    complete_policy,
)
from broker.kinds.yaml_text import TemplateError
from broker.model.account import Account, parse_account_id
from broker.stores.directory.kinds import ACCOUNT
from broker.template.properties import Properties
from broker.template.section import AccountWork

Settings = Mapping[str, object]
"""Values by property; an absent property stays as it is."""

_UNSET: Final[Settings] = {
    accounts.DISABLED_REGIONS: (),
    accounts.ROOT_MANAGED_BY: "",
    OPTION: False,
    accounts.TOKEN_VERSION: None,
    accounts.UNLISTED_POLICIES: False,
    accounts.PROVIDER_OPTIONS: False,
}

# The bounds in the service model of ``UpdateAccountPasswordPolicy``.
_NUMBERS = (
    ("MinimumPasswordLength", LEAST_LENGTH, LONGEST),
    ("MaxPasswordAge", 1, 1095),
    ("PasswordReusePrevention", 1, 24),
)


def read_settings(broker: Properties) -> Settings:
    """The settings among the properties of an account's ``Broker``."""
    results: dict[str, object] = {}
    for name, read in _READS.items():
        if broker.has(name):
            with broker.noting():
                results[name] = read(broker, name)
    return results


def settings_of(account: Account | None) -> Settings:
    """The settings that an account has; without an account, those of a new one."""
    if account is None:
        return _UNSET
    outbound = find_outbound(account)
    return {
        accounts.DISABLED_REGIONS: tuple(sorted(accounts.disabled_regions(account))),
        accounts.ROOT_MANAGED_BY: accounts.root_manager(account),
        OPTION: outbound is not None and outbound.enabled,
        accounts.TOKEN_VERSION: account.options.get(accounts.TOKEN_VERSION),
        accounts.UNLISTED_POLICIES: accounts.accepts_unlisted_policies(account),
        accounts.PROVIDER_OPTIONS: accounts.may_set_provider_options(account),
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
        accounts.DISABLED_REGIONS,
        accounts.ROOT_MANAGED_BY,
        accounts.TOKEN_VERSION,
        accounts.UNLISTED_POLICIES,
        accounts.PROVIDER_OPTIONS,
    ):
        if name in settings:
            options.pop(name, None)
            value = settings[name]
            if value != _UNSET[name]:
                options[name] = list(value) if isinstance(value, tuple) else value
    manager = settings.get(accounts.ROOT_MANAGED_BY)
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


def _regions(broker: Properties, name: str) -> tuple[str, ...]:
    regions = broker.texts(name)
    place = f"{broker.place}.{name}"
    for region in regions:
        with broker.noting():
            if not accounts.is_region_name(region):
                raise TemplateError(
                    place, f"{region} is not a region such as eu-central-1"
                )
            if region == accounts.ALWAYS_ON:
                raise TemplateError(
                    place, f"{accounts.ALWAYS_ON} cannot be switched off"
                )
    return tuple(sorted(set(regions)))


def _manager(broker: Properties, name: str) -> str:
    named = broker.optional_text(name) or ""
    try:
        return parse_account_id(named) if named else ""
    except ValueError as error:
        raise TemplateError(f"{broker.place}.{name}", str(error)) from error


def _token_version(broker: Properties, name: str) -> str:
    version = broker.text(name)
    if version not in accounts.TOKEN_VERSIONS:
        expected = " or ".join(accounts.TOKEN_VERSIONS)
        raise TemplateError(f"{broker.place}.{name}", f"must be {expected}")
    return version


_READS: Mapping[str, Callable[[Properties, str], object]] = {
    accounts.DISABLED_REGIONS: _regions,
    accounts.ROOT_MANAGED_BY: _manager,
    OPTION: Properties.flag,
    accounts.TOKEN_VERSION: _token_version,
    accounts.UNLISTED_POLICIES: Properties.flag,
    accounts.PROVIDER_OPTIONS: Properties.flag,
}


def read_password_policy(properties: Properties) -> PasswordPolicy | None:
    """The template's password policy; None when it has none.

    Raises:
        TemplateError: it is no mapping.
    """
    if not properties.has("PasswordPolicy"):
        return None
    part = properties.part("PasswordPolicy")
    policy: dict[str, int | bool] = {}
    for name, low, high in _NUMBERS:
        if part.has(name):
            with part.noting():
                policy[name] = part.integer(name, low, low, high)
    for name in (*FLAGS, "HardExpiry"):
        if part.has(name):
            with part.noting():
                policy[name] = part.flag(name)
    part.finish()
    return complete_policy(policy)
