"""Options of an account: regions, root tasks, tokens' version, unlisted policies.

The operator sets them (``broker account``, ``broker apply``), the tokens' version the
account itself, too.

Source: IAM User Guide, "Manage AWS STS in an AWS Region"; IAM API reference,
"SetSecurityTokenServicePreferences".
"""

import re
from collections.abc import Iterable
from typing import Final

from broker.model.account import Account

DISABLED_REGIONS: Final = "DisabledRegions"
"""The name of the option that lists the regions where STS is off."""

ROOT_MANAGED_BY: Final = "RootManagedBy"
"""The name of the option that names the account that may do root tasks here."""

TOKEN_VERSION: Final = "GlobalEndpointTokenVersion"  # noqa: S105  # an option's name
"""The name of the option of the version of the global endpoint's tokens."""

UNLISTED_POLICIES: Final = "AcceptUnlistedAwsPolicies"
"""The name of the option to take names of AWS-managed policies that are not known."""

PROVIDER_OPTIONS: Final = "SetProviderOptionsInConsole"
"""The name of the option to let the account set its providers' broker-only options."""

TOKEN_VERSIONS: Final = ("v1Token", "v2Token")

ALWAYS_ON: Final = "us-east-1"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")


def is_region_name(text: str) -> bool:
    """Whether a text has the form of a region's name, such as eu-central-1."""
    return _REGION.fullmatch(text) is not None


def disabled_regions(account: Account) -> frozenset[str]:
    """The regions where STS makes no credentials for the account."""
    listed = account.options.get(DISABLED_REGIONS, ())
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(map(str, listed)) - {ALWAYS_ON}


def switch_regions(
    account: Account, *, disable: Iterable[str], enable: Iterable[str]
) -> list[str]:
    """The option's new value.

    Raises:
        ValueError: a name is not a region's, or us-east-1 is to be switched off.
    """
    off = set(disable)
    for name in off:
        if not is_region_name(name):
            raise ValueError(f"{name!r} is not a region; use, for example, eu-west-3")
    if ALWAYS_ON in off:
        raise ValueError(f"{ALWAYS_ON} cannot be switched off")
    return sorted((disabled_regions(account) | off) - set(enable))


def root_manager(account: Account) -> str:
    """The account that may do root tasks in this one; empty when none may."""
    named = account.options.get(ROOT_MANAGED_BY, "")
    return named if isinstance(named, str) else ""


def accepts_unlisted_policies(account: Account) -> bool:
    """Whether any name of AWS's pattern is a policy, if only by name."""
    return account.options.get(UNLISTED_POLICIES) is True


def may_set_provider_options(account: Account) -> bool:
    """Whether the account may set its providers' broker-only options itself."""
    return account.options.get(PROVIDER_OPTIONS) is True
