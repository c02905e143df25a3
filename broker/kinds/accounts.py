"""Accounts: their number, names, alias, options, and the keys of their root."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from broker.errors import (
    EntityAlreadyExists,
    InvalidClientTokenId,
    NoSuchEntity,
    ValidationError,
)
from broker.kinds.access_keys import insert_new_key
from broker.model.account import Account, AccountId
from broker.model.entities import AccessKey, KeyStatus
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.runtime.entropy import random_bytes
from broker.stores.directory.accounts import (
    find_account_by_alias,
    insert_account,
    update_account,
)
from broker.stores.directory.kinds import ACCESS_KEY, ACCOUNT
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError

_ALIAS = re.compile(r"[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]")
_LOOKS_LIKE_ACCOUNT_ID = re.compile(r"[0-9]{12}")


DISABLED_REGIONS: Final = "DisabledRegions"
"""The name of the option that lists the regions where STS is off."""


ROOT_MANAGED_BY: Final = "RootManagedBy"
"""The name of the option that names the account that may do root tasks here."""


TOKEN_VERSION: Final = "GlobalEndpointTokenVersion"  # noqa: S105  # an option's name
"""The name of the option of the version of the global endpoint's tokens."""


UNLISTED_POLICIES: Final = "AcceptUnlistedAwsPolicies"
"""The name of the option to take names of AWS-managed policies that are not known."""


PROVIDER_OPTIONS: Final = "SetProviderOptionsInConsole"
"""The name of the option to let the account set its providers' broker options."""

TOKEN_VERSIONS: Final = ("v1Token", "v2Token")
ALWAYS_ON: Final = "us-east-1"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}")


async def require_account(directory: DirectoryReader, account: AccountId) -> Account:
    """The account that a call acts in.

    Raises:
        InvalidClientTokenId: it was deleted while the call was on its way.
    """
    current = await directory.find(ACCOUNT, account)
    if current is None:
        raise InvalidClientTokenId(detail=f"the account {account} no longer exists")
    return current


async def create_account(
    change: DirectoryChange, account_id: AccountId, *, alias: str | None, now: datetime
) -> Account:
    """Create an account with its own salt, so that it accepts no older session.

    Raises:
        EntityAlreadyExists: the id or the alias is taken.
        ValidationError: the alias does not look like one.
    """
    account = Account(
        account_id=account_id, alias=None, session_salt=random_bytes(32), created_at=now
    )
    try:
        await insert_account(change, account)
    except AlreadyExistsError as error:
        raise EntityAlreadyExists(
            f"The account {account_id} already exists."
        ) from error
    if alias is not None:
        await set_alias(change, account, alias)
    return account


async def create_root_key(
    change: DirectoryChange, account: AccountId, *, sealer: Sealer, now: datetime
) -> tuple[AccessKey, Secret]:
    """Make a root key; the secret is shown this once."""
    return await insert_new_key(change, account, None, sealer=sealer, now=now)


async def deactivate_root_keys(change: DirectoryChange, account: AccountId) -> int:
    """Retire every root key of the account; how many were active."""
    active = [
        key
        for key in await change.all_of(ACCESS_KEY, account, user_id=None)
        if key.status is KeyStatus.ACTIVE
    ]
    for key in active:
        await change.update(ACCESS_KEY, replace(key, status=KeyStatus.INACTIVE))
    return len(active)


async def set_alias(change: DirectoryChange, account: Account, alias: str) -> None:
    """Set the account's one alias, replacing any earlier one.

    Raises:
        EntityAlreadyExists: another account has it.
        ValidationError: it does not look like one, or looks like an account id.
    """
    if not _ALIAS.fullmatch(alias) or _LOOKS_LIKE_ACCOUNT_ID.fullmatch(alias):
        raise ValidationError(
            f"The alias {alias!r} must have 3 to 63 lower-case letters, digits and"
            " single dashes, begin and end with a letter or digit, and not look like an"
            " account id."
        )
    taken = EntityAlreadyExists(f"The account alias {alias} already exists.")
    holder = await find_account_by_alias(change, alias)
    if holder is not None and holder.account_id != account.account_id:
        raise taken
    try:
        await update_account(change, replace(account, alias=alias))
    except AlreadyExistsError as error:
        raise taken from error


async def remove_alias(change: DirectoryChange, account: Account, alias: str) -> None:
    """Take the alias away.

    Raises:
        NoSuchEntity: it is not the account's alias.
    """
    if account.alias != alias:
        raise NoSuchEntity(f"The account alias {alias} cannot be found.")
    await update_account(change, replace(account, alias=None))


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
    """Whether the account may set its providers' broker options itself."""
    return account.options.get(PROVIDER_OPTIONS) is True
