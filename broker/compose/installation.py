"""What every process of an installation opens: its stores, its keyring, its vault.

A worker builds its services on this; a command that serves nothing needs no more, and
starts without importing them.
"""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from msgspec import Struct

from broker.compose.storage import Stores, open_stores
from broker.runtime.clock import Clock, SystemClock
from broker.sessions.keyring import Keyring, begin_keys, settle_keyring
from broker.sessions.vault import Vault
from broker.settings import Settings
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import (
    change_sealing_keys,
    read_installation,
    read_sealing_keys,
)
from broker.stores.urls import redact_url


class Installation(Struct, frozen=True, kw_only=True):
    """The settings and what they lead to, open."""

    settings: Settings
    clock: Clock
    stores: Stores
    keyring: Keyring
    vault: Vault


@contextlib.asynccontextmanager
async def open_installation(
    settings: Settings, clock: Clock | None = None
) -> AsyncIterator[Installation]:
    """Open the stores and the keyring, and close the stores at the end.

    Raises:
        SettingsError: there is no data folder.
        StoreUnavailableError, SchemaRevisionError: the stores.
        KeyringError: the keyring is missing, unsafe or another database's.
    """
    clock = clock or SystemClock()
    settings.make_data_dir()
    try:
        stores = await open_stores(
            settings.database,
            settings.redis_url,
            clock=clock,
            spool_folder=settings.data_dir / "spool",
        )
    except StoreUnavailableError as error:
        raise StoreUnavailableError(
            f"{redact_url(settings.database)}: {error}; start it, or mend"
            " BROKER_DATABASE_URL"
        ) from error
    try:
        keyring = await _open_keyring(settings, stores, clock)
        yield Installation(
            settings=settings,
            clock=clock,
            stores=stores,
            keyring=keyring,
            vault=Vault(keyring, clock),
        )
    finally:
        await stores.close()


async def _open_keyring(settings: Settings, stores: Stores, clock: Clock) -> Keyring:
    """The keyring of this database; made for an empty database only.

    Raises:
        KeyringError: it is missing, unsafe or another database's.
    """
    path, database, now = settings.keyring, stores.database, clock.now()
    keys = await read_sealing_keys(database)
    if not keys:
        begin = partial(begin_keys, path, now)
        keys = await change_sealing_keys(database, begin, now=now)
    settle_keyring(path, keys)
    identity = (await read_installation(database, now=now)).identity
    return Keyring(path, identity or "", keys, clock, settings.skew)
