"""When roles and passwords were used last, as answers show it."""

from collections.abc import Collection
from datetime import datetime

from broker.actions.types.iam import RoleLastUsed
from broker.identities.credential_report import PASSWORD_USE
from broker.model.account import AccountId
from broker.stores.directory.port.reports import UseReader


async def role_last_used(
    directory: UseReader, account: AccountId, role_ids: Collection[str]
) -> dict[str, RoleLastUsed]:
    """By role id; roles that were never used are left out."""
    found: dict[str, RoleLastUsed] = {}
    for use in await directory.list_uses(account, role_ids):
        found.setdefault(use.subject, {"LastUsedDate": use.at, "Region": use.region})
    return found


async def password_last_used(
    directory: UseReader, account: AccountId, user_ids: Collection[str]
) -> dict[str, datetime]:
    """By user id; users that never signed in with a password are left out."""
    return {
        use.subject: use.at
        for use in await directory.list_uses(account, user_ids)
        if (use.service, use.action) == PASSWORD_USE
    }
