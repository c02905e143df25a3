"""Long-term access keys, which say whose they are."""

from broker.model.account import find_account_of_key_id
from broker.model.entities import AccessKey
from broker.stores.directory.kinds import ACCESS_KEY
from broker.stores.directory.port import DirectoryChange, Finder
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import USED_ACCESS_KEY_IDS


async def find_access_key(directory: Finder, access_key_id: str) -> AccessKey | None:
    """A long-term key; None for ids that carry no account."""
    account = find_account_of_key_id(access_key_id)
    if account is None:
        return None
    return await directory.find(ACCESS_KEY, account, access_key_id)


async def insert_access_key(change: DirectoryChange, key: AccessKey) -> None:
    """The id is never used again, not even after the key's deletion."""
    used = {"access_key_id": key.access_key_id}
    if not await change.insert_if_free(USED_ACCESS_KEY_IDS, used):
        raise AlreadyExistsError(ACCESS_KEY.label)
    await change.insert(ACCESS_KEY, key)
