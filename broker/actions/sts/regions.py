"""Regions that an account has switched off for STS: the operator's own option.

The account that counts is the one that the credentials are for.

Source: reference 7.6; IAM User Guide, "Manage AWS STS in an AWS Region".
"""

from collections.abc import Iterable

from broker.actions.action import Call
from broker.errors import InvalidAction, RegionDisabled
from broker.model.account import Account

ALWAYS_ON = "us-east-1"
DISABLED_REGIONS = "DisabledRegions"
"""The name of the account's option: a list of regions."""


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
        ValueError: us-east-1 cannot be switched off.
    """
    off = set(disable)
    if ALWAYS_ON in off:
        raise ValueError(f"{ALWAYS_ON} cannot be switched off")
    return sorted((disabled_regions(account) | off) - set(enable))


def require_region(account: Account, call: Call) -> None:
    """Refuse to make credentials where the account has switched STS off.

    Raises:
        RegionDisabled: it has.
    """
    if call.region in disabled_regions(account):
        raise RegionDisabled(
            f"STS is not activated in this region for account:{account.account_id}."
            " Your account administrator can activate STS in this region using the IAM"
            " Console."
        )


def require_regional(call: Call, operation: str) -> None:
    """Refuse what the global endpoint does not have.

    Raises:
        InvalidAction: the call came to ``sts.`` and the public host.
    """
    if call.at_global_endpoint:
        raise InvalidAction(
            f"Could not find operation {operation} for version 2011-06-15",
            detail="the operation is there at regional endpoints only",
        )
