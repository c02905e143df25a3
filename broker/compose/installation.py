"""What every process of an installation opens: its stores, its keyring, its vault.

A worker builds its services on this; a command that serves nothing needs no more, and
starts without importing them.
"""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from msgspec import Struct

from broker.compose.storage import Stores, open_stores
from broker.errors import OperatorError
from broker.model.sealing import SealingKeys
from broker.runtime.clock import Clock, SystemClock
from broker.sessions.keyring import (
    Keyring,
    begin_keys,
    read_masters,
    settle_keyring,
)
from broker.sessions.vault import Vault
from broker.settings import Settings
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import (
    change_sealing_keys,
    read_installation,
    read_sealing_keys,
)
from broker.stores.migrations import find_revision
from broker.stores.urls import parse_database_url, redact_url

_WHERE_IT_RUNS = (
    "run it where the broker runs, with its settings (BROKER_DATA_DIR,"
    " BROKER_DATABASE_URL); `broker init` makes a new installation"
)


class NoInstallationError(OperatorError):
    """There is no installation where the settings lead."""


class Installation(Struct, frozen=True, kw_only=True):
    """The settings and what they lead to, open; ``is_new`` if it was made just now."""

    settings: Settings
    clock: Clock
    stores: Stores
    keyring: Keyring
    vault: Vault
    is_new: bool = False

    @property
    def place(self) -> str:
        """The database's address, without secrets."""
        return redact_url(self.settings.database)


@contextlib.asynccontextmanager
async def open_installation(
    settings: Settings, clock: Clock | None = None, *, may_make: bool = True
) -> AsyncIterator[Installation]:
    """Open the stores and the keyring, and close the stores at the end.

    Where there is no installation yet, ``may_make`` decides if one is made.

    Raises:
        NoInstallationError: there is none, and none was made.
        SettingsError: there is no data folder.
        StoreUnavailableError, SchemaRevisionError: the stores.
        KeyringError: the keyring is missing, unsafe or another database's.
    """
    clock = clock or SystemClock()
    if may_make:
        settings.make_data_dir()
    else:
        await _require_installation(settings)
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
        keys = await read_sealing_keys(stores.database)
        if not keys and not may_make:
            raise _none_at(settings)
        keyring = await _open_keyring(settings, stores, clock, keys)
        yield Installation(
            settings=settings,
            clock=clock,
            stores=stores,
            keyring=keyring,
            vault=Vault(keyring, clock),
            is_new=not keys,
        )
    finally:
        await stores.close()


async def _require_installation(settings: Settings) -> None:
    """Look without making anything: neither a folder nor a file.

    Raises:
        NoInstallationError: the database is empty, or the data folder is needed and absent.
        KeyringError: so is the keyring in it.
    """
    revision = await find_revision(parse_database_url(settings.database))
    if revision is None:
        raise _none_at(settings)
    if not settings.redis_url and not settings.data_dir.exists():
        read_masters(settings.keyring)  # where it is absent, that says what to copy
        raise NoInstallationError(
            f"There is no folder {settings.data_dir}: {_WHERE_IT_RUNS}."
        )


def _none_at(settings: Settings) -> NoInstallationError:
    return NoInstallationError(
        f"{redact_url(settings.database)} is empty: {_WHERE_IT_RUNS}."
    )


async def _open_keyring(
    settings: Settings, stores: Stores, clock: Clock, keys: SealingKeys
) -> Keyring:
    """The keyring of this database; made for an empty database only.

    Raises:
        KeyringError: it is missing, unsafe or another database's.
    """
    path, database, now = settings.keyring, stores.database, clock.now()
    if not keys:
        begin = partial(begin_keys, path, now)
        keys = await change_sealing_keys(database, begin, now=now)
    settle_keyring(path, keys)
    identity = (await read_installation(database, now=now)).identity
    return Keyring(path, identity or "", keys, clock, settings.skew)
