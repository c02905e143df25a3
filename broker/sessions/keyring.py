"""The keyring: a file with the master key, and the database's keys that it unwraps.

The file is JSON, mode 0600, written once and never changed by the broker. Rotating and
revoking change the keys in the database, which every process reads as it reads any
change.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
import stat
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from broker.errors import ServiceUnavailable
from broker.model.sealing import KeyKind, KeyState, SealingKey, SealingKeys
from broker.runtime.clock import Clock
from broker.runtime.entropy import random_bytes
from broker.runtime.offload import in_background
from broker.runtime.private_files import is_open_to_others
from broker.sessions import keys as rules
from broker.sessions.keys import KEY_BYTES, KeyListing, KeyringError, MasterKey, Wrapper
from broker.stores.database import Database
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import change_sealing_keys, read_sealing_keys
from broker.stores.stepped_timeout import SteppedTimeout

DEFAULT_SKEW = timedelta(seconds=60)
_POLL_SECONDS = 0.25
_ANSWER_SECONDS = 1.0

_AHEAD = 16
"""How far beyond the newest known key a number may be one that was just made."""

_FORMAT = 2
_OLD_FORMAT = 1
_ID_BYTES = 8
_MODE = 0o600
_FILE_BYTES_MAX = 1_000_000

_log = logging.getLogger(__name__)


class Keyring:
    """The keys as one process sees them.

    A key that this process cannot read, or does not know yet, is a passing failure
    (``ServiceUnavailable``), never a reason to call what it sealed invalid.
    """

    def __init__(
        self,
        path: Path,
        identity: str,
        keys: SealingKeys,
        clock: Clock,
        skew: timedelta = DEFAULT_SKEW,
    ) -> None:
        self.path = path
        self.identity = identity
        self.masters = read_masters(path)
        self.keys: SealingKeys = ()
        self._clock = clock
        self._skew = skew
        self._unwrapped: dict[int, tuple[bytes, bytes]] = {}
        """By number: a key as it was wrapped, and its secret."""

        self._opening: dict[int, tuple[KeyKind, bytes | None, datetime | None]] = {}
        self._newest = 0
        self._read_at = clock.monotonic()
        self._asked: dict[int, float] = {}
        """When unknown keys were first asked for."""

        self._woken = asyncio.Event()
        for key in keys:
            if key.wrapped is not None:
                rules.require_secret(key, self.masters, identity)
        self.install(keys, self._read_at)

    @property
    def wrapper(self) -> Wrapper:
        """Wraps new keys with the first master key of the file."""
        return Wrapper(self.masters[0], self.identity)

    def sealing_key(self, kind: KeyKind, now: datetime) -> tuple[int, bytes]:
        """Number and secret of the key to seal with.

        Raises:
            ServiceUnavailable: there is none, or it cannot be read here.
        """
        key = rules.find_sealing(self.keys, kind, now)
        secret = None if key is None else self._opening[key.number][1]
        if key is None or secret is None:
            raise ServiceUnavailable(detail=f"there is no {kind} key to seal with")
        return key.number, secret

    def find_opening_key(
        self, kind: KeyKind, number: int, now: datetime
    ) -> bytes | None:
        """The secret of a key that may still open, else None.

        Raises:
            ServiceUnavailable: it cannot be read here, or is not known here yet.
        """
        entry = self._opening.get(number)
        if entry is None:
            if self._newest < number <= self._newest + _AHEAD:
                self._look_up(number)
            return None
        kind_of_key, secret, ends = entry
        if kind_of_key is not kind or (ends is not None and now >= ends):
            return None
        if secret is None:
            raise ServiceUnavailable(detail=f"key {number} cannot be read here")
        return secret

    def _look_up(self, number: int) -> None:
        """Have the database read once for a number that another node may have made."""
        asked_at = self._asked.get(number)
        if asked_at is None:
            asked_at = self._asked[number] = self._clock.monotonic()
            self._woken.set()
        if self._read_at <= asked_at:
            raise ServiceUnavailable(detail=f"key {number} is not known here yet")

    def following(
        self, database: Database
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Read the database's keys in the background."""
        return in_background(self._follow(database), "sealing-keys")

    async def _follow(self, database: Database) -> None:
        while True:
            began = self._clock.monotonic()
            try:
                async with SteppedTimeout(_ANSWER_SECONDS):
                    keys = await read_sealing_keys(database)
                self.install(keys, began)
            except (StoreUnavailableError, TimeoutError):
                pass  # what depends on it is refused where it is used
            except Exception:  # noqa: BLE001  # the task must outlive any surprise
                _log.exception("the sealing keys cannot be read")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()
            self._woken.clear()

    def install(self, keys: SealingKeys, read_at: float) -> None:
        """Use these keys from now on; reading them began at ``read_at``, monotonic."""
        self._read_at = read_at
        unread = [n for n, (_, secret, _) in self._opening.items() if secret is None]
        if keys == self.keys and not unread:
            return
        self._opening = {
            key.number: (
                key.kind,
                self._find_secret(key, key.wrapped, is_told=key.number in unread),
                rules.refused_from(keys, key, self._skew),
            )
            for key in keys
            if key.state is KeyState.ACTIVE and key.wrapped is not None
        }
        self.keys = keys
        self._newest = max((key.number for key in keys), default=0)
        self._asked = {n: at for n, at in self._asked.items() if n > self._newest}

    def _find_secret(
        self, key: SealingKey, wrapped: bytes, *, is_told: bool
    ) -> bytes | None:
        known = self._unwrapped.get(key.number)
        if known is not None and known[0] == wrapped:
            return known[1]
        try:
            if all(master.key_id != key.master for master in self.masters):
                self.masters = read_masters(self.path)
            secret = rules.require_secret(key, self.masters, self.identity)
        except KeyringError as error:
            if known is not None:
                return known[1]
            if not is_told:
                _log.error("key %d cannot be read: %s", key.number, error)
            return None
        self._unwrapped[key.number] = wrapped, secret
        return secret

    async def rotate(self, database: Database, kind: KeyKind) -> SealingKey:
        """Add a key that seals in a moment. Durable.

        Raises:
            StoreUnavailableError: the database is away.
        """
        now = self._clock.now()
        await self._change(
            database,
            lambda keys: rules.rotate(keys, kind, now, self._skew, self.wrapper),
        )
        return self.keys[-1]

    async def revoke(self, database: Database, number: int) -> None:
        """Refuse a key. Durable; every process follows within a second.

        Raises:
            KeyringError: there is no such key.
            StoreUnavailableError: the database is away.
        """
        now = self._clock.now()
        await self._change(
            database, lambda keys: rules.revoke(keys, number, now, self.wrapper)
        )

    async def rewrap(self, database: Database) -> None:
        """Wrap every key with the file's first master key. Durable.

        Raises:
            KeyringError: the file lacks the master key of one.
            StoreUnavailableError: the database is away.
        """
        await self._change(
            database, lambda keys: rules.rewrap(keys, self.masters, self.identity)
        )

    async def drop(self, database: Database, number: int) -> None:
        """Forget a key with which nothing is sealed any more. Durable.

        Raises:
            StoreUnavailableError: the database is away.
        """
        await self._change(
            database, lambda keys: tuple(k for k in keys if k.number != number)
        )

    async def _change(
        self, database: Database, change: Callable[[SealingKeys], SealingKeys]
    ) -> None:
        began = self._clock.monotonic()
        keys = await change_sealing_keys(
            database,
            lambda identity, keys: (identity, change(keys)),
            now=self._clock.now(),
        )
        self.install(keys, began)

    def list(self) -> tuple[KeyListing, ...]:
        """Every key and what it does now; no secret."""
        return rules.list_keys(self.keys, self._clock.now(), self._skew)


def begin_keys(
    path: Path, now: datetime, identity: str | None, keys: SealingKeys
) -> tuple[str, SealingKeys]:
    """The first keys of a database, or those of its older keyring file.

    Their master key is written beside the file before the database can have them, and
    moved into place by ``settle_keyring`` afterwards: a process that dies in between
    leaves either the file as it was, or a database that names what is beside it. A file
    that was made for a new database stays as it is.

    Raises:
        KeyringError: the folder cannot be written; as ``read_old_keys``.
    """
    if keys and identity is not None:
        return identity, keys  # another process was first
    old = read_old_keys(path, identity)
    if identity is None and path.exists():
        master, *_ = read_masters(path)
    else:
        master = new_master()
        _write_new(_prepared(path, master.key_id), encode_masters((master,)))
    wrapper = Wrapper(master, identity or random_bytes(KEY_BYTES).hex())
    if not old:
        return wrapper.identity, rules.first_keys(wrapper, now)
    return wrapper.identity, tuple(
        replace(key, master=master.key_id)
        if secret is None
        else wrapper.wrap(key, secret)
        for key, secret in old
    )


def settle_keyring(path: Path, keys: SealingKeys) -> None:
    """Move the keys' master key into place, if ``begin_keys`` left it beside the file."""
    prepared = _prepared(path, keys[-1].master)
    if not prepared.exists():
        return  # to move nothing fails where nothing can be written, as in a Secret
    # All starting workers may do this; they move the same file.
    with contextlib.suppress(FileNotFoundError):
        prepared.replace(_file_of(path))
        _sync_folder(_file_of(path))


def new_master() -> MasterKey:
    """A new master key."""
    return MasterKey(random_bytes(_ID_BYTES).hex(), random_bytes(KEY_BYTES))


def encode_masters(masters: Iterable[MasterKey]) -> str:
    """The keyring file's content."""
    keys = [
        {"id": m.key_id, "secret": base64.b64encode(m.secret).decode("ascii")}
        for m in masters
    ]
    return json.dumps({"format": _FORMAT, "master_keys": keys}, indent=1) + "\n"


def read_masters(path: Path) -> tuple[MasterKey, ...]:
    """The master keys of the file, the one to wrap with first.

    Raises:
        KeyringError: the file is missing, unsafe or none; the message says what to do.
    """
    content = _read(path)
    if content.get("format") == _OLD_FORMAT:
        raise KeyringError(
            f"the keyring {path} is of an earlier version, and its keys are in the"
            " database: copy the keyring of the node that was started first"
        )
    try:
        masters = tuple(
            MasterKey(str(m["id"]), _parse_secret(m["secret"]))
            for m in content["master_keys"]
        )
    except (KeyError, TypeError, ValueError):
        # The cause may show a key: it is not passed on.
        masters = ()
    if content.get("format") != _FORMAT or not masters:
        raise _malformed(path)
    return masters


def read_old_keys(
    path: Path, identity: str | None
) -> list[tuple[SealingKey, bytes | None]]:
    """The keys of a database without any: in its older file; none if it is empty.

    Raises:
        KeyringError: the keyring is that of a database that is lost, or the older file
            cannot be used.
    """
    if identity is None:
        if path.exists() and _read(path).get("for_new_database") is not True:
            raise KeyringError(
                f"the keyring {path} exists, but the database is empty: restore the"
                " database that belongs to it, or correct BROKER_DATABASE_URL. To start"
                f" over deliberately, move the keyring away (mv {path} {path}.old)"
            )
        return []
    content = _read(path)
    if content.get("format") != _OLD_FORMAT:
        raise KeyringError(
            f"the keyring {path} is newer than the database: restore the keyring from"
            " the backup that the database is from"
        )
    try:
        text = sha256(b"broker/1/keyring" + bytes.fromhex(content["id"])).hexdigest()
        keys = [_parse_old(row) for row in content["keys"] if row["state"] != "dropped"]
    except (KeyError, TypeError, ValueError):
        raise _malformed(path) from None  # as above
    if text != identity:
        raise KeyringError(
            f"the keyring {path} belongs to another database (its fingerprint begins"
            f" {text[:12]}, the database expects {identity[:12]}); restore keyring and"
            " database from the same backup"
        )
    return keys


def _parse_old(row: dict[str, str]) -> tuple[SealingKey, bytes | None]:
    seals_from, secret = row["seals_from"], row["secret"]
    key = SealingKey(
        number=int(row["number"]),
        kind=KeyKind(row["kind"]),
        created_at=datetime.fromisoformat(row["created"]),
        seals_from=datetime.fromisoformat(seals_from) if seals_from else None,
        state=KeyState(row["state"]),
        master="",
        wrapped=None,
    )
    return key, _parse_secret(secret) if secret else None


def _parse_secret(text: str) -> bytes:
    secret = base64.b64decode(text, validate=True)
    if len(secret) != KEY_BYTES:
        raise ValueError("secret")
    return secret


def _malformed(path: Path) -> KeyringError:
    return KeyringError(
        f"the keyring {path} cannot be used: its content is none of a keyring; restore"
        " it from your backup, or copy it from another node"
    )


def _file_of(path: Path) -> Path:
    """Where the file is written: a link to the keyring stays one."""
    return Path(os.path.realpath(path))


def _prepared(path: Path, key_id: str) -> Path:
    file = _file_of(path)
    return file.with_name(f"{file.name}.{key_id}.new")


def _read(path: Path) -> dict[str, Any]:
    try:
        # A pipe of that name must not block the start.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        # Check the open file, not the path, which may now point elsewhere.
        _require_private(path, os.fstat(handle))
        text = os.read(handle, _FILE_BYTES_MAX)
    finally:
        os.close(handle)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _malformed(path)
    return content


def _require_private(path: Path, status: os.stat_result) -> None:
    """Nobody else may read it; root may lend it through a group, as Kubernetes does."""
    if not stat.S_ISREG(status.st_mode):
        raise KeyringError(f"{path} is not a regular file")
    user, mode = os.geteuid(), stat.S_IMODE(status.st_mode)
    if status.st_uid not in {user, 0}:
        raise KeyringError(
            f"the keyring {path} belongs to user id {status.st_uid}, and the broker"
            f" runs as {user}; run `chown {user} {path}`"
        )
    if is_open_to_others(status):
        raise KeyringError(
            f"the keyring {path} has mode {mode:04o}; run `chmod 600 {path}`, and"
            " replace the master key if others could read it (`broker keys rewrap`)"
        )


def _write_new(path: Path, text: str) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, _MODE), "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), _MODE)  # whatever the umask
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path)
    except OSError as error:
        raise KeyringError(
            f"the keyring {path} cannot be made: {error.strerror}; give the broker a"
            " folder that it may write to for its first start"
        ) from error


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unreadable(path: Path, error: OSError) -> KeyringError:
    if isinstance(error, FileNotFoundError):
        return KeyringError(
            f"the keyring {path} is missing; restore it from your backup, or copy it"
            " from another node. Without it the secrets in this database cannot be read"
        )
    return KeyringError(f"the keyring {path}: {error.strerror}")
