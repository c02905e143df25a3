"""Long-term access keys of users, and of an account's root."""

from datetime import datetime

from broker.errors import NoSuchEntity, ServiceUnavailable
from broker.kinds.limits import Quota, require_within
from broker.model.account import (
    KEY_ID_RANDOM_BITS,
    Account,
    AccountId,
    format_access_key_id,
)
from broker.model.entities import ACCESS_KEY_SEAL, AccessKey, KeyStatus
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.runtime.entropy import new_secret_access_key, random_bits
from broker.stores.directory.identities import find_access_key, insert_access_key
from broker.stores.directory.kinds import ACCESS_KEY
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError

_ATTEMPTS = 8
"""Ids carry 39 random bits and are never reused: after a clash another is drawn."""


async def create_access_key(
    change: DirectoryChange,
    account: Account,
    user_id: str | None,
    *,
    sealer: Sealer,
    now: datetime,
) -> tuple[AccessKey, Secret]:
    """Make a key for a user (root for None); the secret is shown this once.

    Raises:
        LimitExceeded: there are as many keys as there may be.
    """
    keys = await change.all_of(ACCESS_KEY, account.account_id, user_id=user_id)
    require_within(account, Quota.ACCESS_KEYS_PER_USER, len(keys) + 1)
    return await insert_new_key(
        change, account.account_id, user_id, sealer=sealer, now=now
    )


async def insert_new_key(
    change: DirectoryChange,
    account: AccountId,
    user_id: str | None,
    *,
    sealer: Sealer,
    now: datetime,
) -> tuple[AccessKey, Secret]:
    """Make a key whatever the quota says; its id was never given before."""
    for _ in range(_ATTEMPTS):
        key, secret = _draw_key(account, user_id, sealer, now)
        try:
            await insert_access_key(change, key)
        except AlreadyExistsError:
            continue
        return key, secret
    raise ServiceUnavailable(detail="no free access key id was found")


def _draw_key(
    account: AccountId, user_id: str | None, sealer: Sealer, now: datetime
) -> tuple[AccessKey, Secret]:
    access_key_id = format_access_key_id(
        "AKIA", account, random_bits(KEY_ID_RANDOM_BITS)
    )
    secret = new_secret_access_key()
    purpose, column = ACCESS_KEY_SEAL
    key = AccessKey(
        account=account,
        access_key_id=access_key_id,
        user_id=user_id,
        status=KeyStatus.ACTIVE,
        sealed_secret=sealer.seal(
            purpose, account, access_key_id, column, secret.encode("ascii")
        ),
        created_at=now.replace(microsecond=0),
    )
    return key, Secret(secret)


async def require_access_key(
    directory: DirectoryReader,
    account: AccountId,
    user_id: str | None,
    access_key_id: str,
) -> AccessKey:
    """A key of this very user (root for None).

    Raises:
        NoSuchEntity: the user has no such key.
    """
    key = await find_access_key(directory, access_key_id)
    if key is None or (key.account, key.user_id) != (account, user_id):
        raise NoSuchEntity(f"The Access Key with id {access_key_id} cannot be found.")
    return key
