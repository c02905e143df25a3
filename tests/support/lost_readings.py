"""A worker that cannot read some of what it needs of the directory."""

from typing import Any

import pytest

from broker.model.account import AccountId
from broker.stores.directory.readings import FreshDirectory
from broker.stores.directory.stored import WHOLE, Key, Reading
from broker.stores.errors import StoreUnavailableError


def lose(patch: pytest.MonkeyPatch, fresh: FreshDirectory, lost: Reading[Any]) -> None:
    """The directory is away as soon as this is read; all else is remembered."""
    read = fresh.read

    async def read_others(
        account: AccountId, reading: Reading[Any], key: Key = WHOLE
    ) -> Any:
        if reading is lost:
            raise StoreUnavailableError("the directory is away")
        return await read(account, reading, key)

    patch.setattr(fresh, "read", read_others)
