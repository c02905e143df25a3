"""What every process of an installation opens: its stores, its keyring, its vault.

A worker builds its services on this; a command that serves nothing needs no more, and
starts without importing them.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from broker.clock import Clock, SystemClock
from broker.sessions.keyring import (
    Keyring,
    discard_keyring,
    load_keyring,
    prepare_keyring,
    require_fingerprint,
    settle_keyring,
)
from broker.sessions.keys import KeyringError, KeyringReason
from broker.sessions.vault import Vault
from broker.settings import Settings
from broker.storage import Stores, open_stores
from broker.stores.database import Database
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import claim_keyring, read_installation
from broker.stores.urls import redact_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
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
    path = settings.keyring
    now = clock.now()
    expected = (await read_installation(stores.database, now=now)).keyring_fingerprint
    if expected is None:
        expected = await _bind_keyring(path, stores.database, clock)
    settle_keyring(path, expected)
    keyring = load_keyring(path, clock, settings.skew)
    require_fingerprint(keyring.keys, expected, path)
    return keyring


async def _bind_keyring(path: Path, database: Database, clock: Clock) -> str:
    """Claim an empty database for new keys; returns its keyring's fingerprint.

    Raises:
        KeyringError: EXISTS, the keyring of a database that is lost.
    """
    now = clock.now()
    if path.exists():  # noqa: ASYNC240  # once
        # Another worker of the same start may have been first, and has claimed it.
        claimed = (await read_installation(database, now=now)).keyring_fingerprint
        if claimed is None:
            raise KeyringError(
                KeyringReason.EXISTS,
                f"the keyring {path} exists, but the database is empty: restore the"
                " database that belongs to it, or correct BROKER_DATABASE_URL. To start"
                f" over deliberately, move the keyring away (mv {path} {path}.old)",
            )
        return claimed
    mine = prepare_keyring(path, clock)
    claimed = await claim_keyring(database, mine, now=now)
    if claimed != mine:
        discard_keyring(path, mine)
    return claimed
