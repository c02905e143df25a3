"""The keyring file: created once, mode 0600, read again when it changes.

It is JSON so that an operator can inspect a backup. A change writes a new file and
renames it, so a reader sees either the old keyring or the new one.
"""

import fcntl
import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from broker.clock import Clock
from broker.entropy import random_bytes
from broker.sessions import keys as rules
from broker.sessions.keys import (
    KeyKind,
    KeyListing,
    KeyringError,
    KeyringReason,
    KeyState,
    SealingKey,
    SealingKeys,
)

CHECK_EVERY_SECONDS = 1.0
"""How often a process checks the file for changes."""

DEFAULT_SKEW = timedelta(seconds=60)
_MODE = 0o600
_MAX_FILE_BYTES = 1_000_000

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int, int]


class Keyring:
    """The keys as one process sees them, at most a second behind the file.

    While the file is missing or broken, the last good keys stay in use; this is logged
    once for each change of the file.
    """

    def __init__(
        self,
        path: Path,
        keys: SealingKeys,
        stamp: _Stamp | None,
        clock: Clock,
        skew: timedelta = DEFAULT_SKEW,
    ) -> None:
        self.path = path
        self._clock = clock
        self._skew = skew
        self._checked_at = clock.monotonic()
        self._stamp: _Stamp | None
        self._install(keys, stamp)

    @property
    def keys(self) -> SealingKeys:
        """All entries, as read last."""
        return self._keys

    @property
    def fingerprint(self) -> str:
        """What the database remembers of its keyring; rotation does not change it."""
        return fingerprint(self._keys)

    def sealing_key(self, kind: KeyKind, now: datetime) -> tuple[int, bytes]:
        """Number and secret of the key to seal with.

        Raises:
            KeyringError: NO_KEY.
        """
        self._look(CHECK_EVERY_SECONDS)
        entry = self._keys.find_sealing(kind, now)
        if entry is None or entry.secret is None:
            raise KeyringError(
                KeyringReason.NO_KEY,
                f"the keyring {self.path} has no {kind} key;"
                " run `broker keys rotate` or restore the file from your backup",
            )
        return entry.number, entry.secret

    def find_opening_key(
        self, kind: KeyKind, number: int, now: datetime
    ) -> bytes | None:
        """The secret of a key that may still open, else None.

        For an unknown number the file is read once more, since another process may just
        have rotated.
        """
        self._look(CHECK_EVERY_SECONDS)
        found = self._opening.get(number)
        if found is None:
            self._look(0.0)
            found = self._opening.get(number)
            if found is None:
                return None
        kind_of_key, secret, ends = found
        if kind_of_key is not kind or (ends is not None and now >= ends):
            return None
        return secret

    def _look(self, every_seconds: float) -> None:
        now = self._clock.monotonic()
        if now - self._checked_at < every_seconds:
            return
        self._checked_at = now
        try:
            status = os.stat(self.path)  # noqa: PTH116  # on the hot path
        except OSError:
            self._keep(None, "keyring file is gone")
            return
        if _stamp(status) == self._stamp:
            return
        try:
            keys, stamp = _read(self.path)
            require_fingerprint(keys, self.fingerprint, self.path)
        except KeyringError as error:
            self._keep(_stamp(status), str(error))
        else:
            self._install(keys, stamp)

    def _keep(self, stamp: _Stamp | None, why: str) -> None:
        if stamp != self._stamp:
            self._stamp = stamp
            _log.error("the keyring %s is not read again: %s", self.path, why)

    def _install(self, keys: SealingKeys, stamp: _Stamp | None) -> None:
        self._keys = keys
        self._stamp = stamp
        self._opening = {
            e.number: (e.kind, e.secret, keys.refused_from(e, self._skew))
            for e in keys.entries
            if e.state is KeyState.ACTIVE and e.secret is not None
        }


def prepare_keyring(path: Path, clock: Clock) -> str:
    """Create keys for a new database next to where their keyring will be; returns them.

    The database is claimed for their fingerprint before they are put in place, so that
    a keyring in place always belongs to a database that knows it. If the process dies
    in between, the next start puts them in place.

    Raises:
        KeyringError: UNREADABLE when the folder cannot be written.
    """
    path = _file_of(path)
    keys = rules.new_key_set(clock.now(), random_bytes)
    name = fingerprint(keys)
    try:
        _write_new(_prepared(path, name), keys)
    except OSError as error:
        raise _not_made(path, error) from error
    return name


def settle_keyring(path: Path, name: str) -> None:
    """Move prepared keys into place, if there are any and the place is free."""
    path = _file_of(path)
    # All starting workers may do this; they move the same keys.
    with suppress(FileNotFoundError):
        if not path.exists():
            _prepared(path, name).rename(path)
            _sync_folder(path)


def discard_keyring(path: Path, name: str) -> None:
    """Delete prepared keys for which no database was claimed."""
    _prepared(_file_of(path), name).unlink(missing_ok=True)


def _file_of(path: Path) -> Path:
    """Where a change is written: a link to the keyring stays one."""
    return Path(os.path.realpath(path))


def _prepared(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.{name[:16]}.new")


def load_keyring(path: Path, clock: Clock, skew: timedelta = DEFAULT_SKEW) -> Keyring:
    """Read the keyring.

    Raises:
        KeyringError: MISSING, UNSAFE_MODE, UNSAFE_OWNER, MALFORMED or UNREADABLE;
            the message says what to do.
    """
    keys, stamp = _read(path)
    return Keyring(path, keys, stamp, clock, skew)


def fingerprint(keys: SealingKeys) -> str:
    """SHA-256 over the keyring's own id."""
    return hashlib.sha256(b"broker/1/keyring" + keys.keyring_id).hexdigest()


def require_fingerprint(keys: SealingKeys, expected: str, path: Path) -> None:
    """Refuse a keyring that belongs to another database.

    Raises:
        KeyringError: MISMATCH.
    """
    if fingerprint(keys) != expected:
        raise KeyringError(
            KeyringReason.MISMATCH,
            f"the keyring {path} belongs to another database (its fingerprint begins"
            f" {fingerprint(keys)[:12]}, the database expects {expected[:12]});"
            " restore keyring and database from the same backup",
        )


def rotate_keys(
    path: Path, clock: Clock, kind: KeyKind, skew: timedelta = DEFAULT_SKEW
) -> SealingKey:
    """Add a key of a kind to the file; it seals after a minute. Durable.

    Raises:
        KeyringError: as ``load_keyring``.
    """
    now = clock.now()
    return _change(path, lambda keys: rules.rotate(keys, kind, now, skew, random_bytes))


def revoke_key(path: Path, clock: Clock, number: int) -> SealingKey:
    """Refuse a key at once. Durable; other processes follow within a second.

    Raises:
        KeyringError: UNKNOWN_KEY, or as ``load_keyring``.
    """
    now = clock.now()
    return _change(path, lambda keys: rules.revoke(keys, number, now, random_bytes))


def drop_key(path: Path, clock: Clock, number: int) -> SealingKey:
    """Forget a storage key with which nothing is sealed any more. Durable.

    Raises:
        KeyringError: UNKNOWN_KEY, IN_USE, or as ``load_keyring``.
    """
    now = clock.now()
    return _change(path, lambda keys: rules.drop(keys, number, now))


def list_keys(
    path: Path, clock: Clock, skew: timedelta = DEFAULT_SKEW
) -> tuple[KeyListing, ...]:
    """Every entry and what it does now; no secret.

    Raises:
        KeyringError: as ``load_keyring``.
    """
    keys, _ = _read(path)
    return keys.list(clock.now(), skew)


def _change(
    path: Path, change: Callable[[SealingKeys], tuple[SealingKeys, SealingKey]]
) -> SealingKey:
    path = _file_of(path)
    with _locked(path):
        keys, _ = _read(path)
        changed, entry = change(keys)
        fresh = path.with_name(path.name + ".new")
        try:
            with suppress(FileNotFoundError):  # left by a change that was killed
                fresh.unlink()
            _write_new(fresh, changed)
            fresh.replace(path)
            _sync_folder(path)
        except OSError as error:
            raise _unreadable(path, error) from error
    return entry


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change at a time. The lock is the file's; a rename passes it on."""
    while True:
        try:
            held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not _is_at(path, held):
                continue  # another process renamed while we waited
            yield
        finally:
            os.close(held)
        return


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _read(path: Path) -> tuple[SealingKeys, _Stamp]:
    try:
        # A pipe of that name must not block the start.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        # Check the open file, not the path, which may now point elsewhere.
        status = os.fstat(handle)
        _require_private(path, status)
        text = os.read(handle, _MAX_FILE_BYTES)
    finally:
        os.close(handle)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    return rules.parse_key_set(content), _stamp(status)


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringError(KeyringReason.MALFORMED, f"{path} is not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode != _MODE:
        raise KeyringError(
            KeyringReason.UNSAFE_MODE,
            f"the keyring {path} has mode {mode:04o}; run `chmod 600 {path}`, and"
            " rotate the keys if others could read it",
        )
    if status.st_uid != os.geteuid():
        raise KeyringError(
            KeyringReason.UNSAFE_OWNER,
            f"the keyring {path} belongs to user id {status.st_uid}, and the broker"
            f" runs as {os.geteuid()}; run `chown {os.geteuid()} {path}`",
        )


def _write_new(path: Path, keys: SealingKeys) -> None:
    text = json.dumps(rules.encode_key_set(keys), indent=1) + "\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(path, flags, _MODE)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), _MODE)  # whatever the umask
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode)


def _not_made(path: Path, error: OSError) -> KeyringError:
    return KeyringError(
        KeyringReason.UNREADABLE,
        f"the keyring {path} cannot be made: {error.strerror}; give the broker a"
        " folder that it may write to",
    )


def _unreadable(path: Path, error: OSError) -> KeyringError:
    if isinstance(error, FileNotFoundError):
        return KeyringError(
            KeyringReason.MISSING,
            f"the keyring {path} is missing; restore it from your backup. Without it"
            " the secrets in this database cannot be read",
        )
    return KeyringError(
        KeyringReason.UNREADABLE, f"the keyring {path}: {error.strerror}"
    )
