"""Regions in which STS is switched off for an account.

The account that counts is the one that the credentials are for.

Source: IAM User Guide, "Manage AWS STS in an AWS Region".
"""

from broker.actions.action import Call
from broker.errors import InvalidAction, RegionDisabled
from broker.kinds.accounts import disabled_regions
from broker.model.account import Account


def require_region(account: Account, call: Call) -> None:
    """Refuse to make credentials where the account has switched STS off.

    Raises:
        RegionDisabled: it has.
    """
    if account.options and call.region in disabled_regions(account):
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
    if call.request.at_global_endpoint:
        raise InvalidAction(
            f"Could not find operation {operation} for version 2011-06-15",
            detail="the operation is there at regional endpoints only",
        )
