"""When roles and passwords were used last, as answers show it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from broker.kinds.credential_report import PASSWORD_USE
from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.reports import list_uses

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def role_last_used(
    directory: DirectoryReader, account: AccountId, role_ids: Collection[str]
) -> dict[str, types.RoleLastUsed]:
    """By role id; roles that were never used are left out."""
    found: dict[str, types.RoleLastUsed] = {}
    for use in await list_uses(directory, account, role_ids):
        found.setdefault(use.subject, {"LastUsedDate": use.at, "Region": use.region})
    return found


async def password_last_used(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> dict[str, datetime]:
    """By user id; users that never signed in with a password are left out."""
    return {
        use.subject: use.at
        for use in await list_uses(directory, account, user_ids)
        if (use.service, use.action) == PASSWORD_USE
    }
