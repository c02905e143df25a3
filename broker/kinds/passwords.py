"""Password hashes: argon2id in a small thread pool, sealed before they are stored.

The queue is bounded, so that a flood of guesses is refused rather than filling memory.
The plain password is never stored or shown.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from broker.errors import Throttling
from broker.model.account import AccountId
from broker.model.entities import PASSWORD_SEAL, LoginProfile
from broker.model.sealing import SealerOpener
from broker.runtime.entropy import random_bytes

Result = TypeVar("Result")

_THREADS = 2
_WAITING_MAX = 512
"""About 15 seconds of work: a whole company may sign in at nine o'clock.

A queued entry takes a few kilobytes; only a running hash takes 46 MiB.
"""

# OWASP, "Password Storage Cheat Sheet": argon2id with 46 MiB, one pass, one lane.
_HASHER = PasswordHasher(
    time_cost=1, memory_cost=47_104, parallelism=1, hash_len=32, type=Type.ID
)
REMEMBERED_MAX = 24
"""Former passwords that a policy can forbid. Source: the model's maximum."""

GENERATED_LENGTH = 20

_CHARACTERS = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ",
    "abcdefghijkmnopqrstuvwxyz",
    "23456789",
    "!@#$%^*()_+-=[]{}",
)
"""Of a generated password: without letters and digits that look alike."""


class Hashes(Struct, frozen=True):
    """The hash in force, and those of earlier passwords, newest first."""

    current: str
    former: tuple[str, ...] = ()

    def followed_by(self, new: str) -> "Hashes":
        """With a new hash in force."""
        return Hashes(new, (self.current, *self.former)[: REMEMBERED_MAX - 1])


class Passwords:
    """Hashes and verifies passwords of one worker."""

    def __init__(self, sealer: SealerOpener) -> None:
        self._sealer = sealer
        self._pool = ThreadPoolExecutor(_THREADS, "argon2")
        self._waiting = 0
        self._dummy: str | None = None

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password.

        Raises:
            Throttling: too many passwords are being hashed already.
        """
        return await self._run(lambda: _HASHER.hash(password))

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether a password has this hash; for None it takes as long and is False.

        Raises:
            Throttling: too many passwords are being hashed already.
        """
        if hashed is None:
            if self._dummy is None:
                self._dummy = await self.hash(random_bytes(16).hex())
            await self._run(lambda: _verify(self._dummy or "", password))
            return False
        return await self._run(lambda: _verify(hashed, password))

    async def matches_any(self, hashes: tuple[str, ...], password: str) -> bool:
        """Whether a password has one of these hashes."""
        for hashed in hashes:
            if await self.matches(hashed, password):
                return True
        return False

    def seal(self, account: AccountId, user_id: str, hashes: Hashes) -> bytes:
        """The hashes as they are kept."""
        purpose, column = PASSWORD_SEAL
        text = json.dumps([hashes.current, *hashes.former])
        return self._sealer.seal(purpose, account, user_id, column, text.encode())

    def open(self, profile: LoginProfile) -> Hashes:
        """The hashes that a login profile keeps."""
        purpose, column = PASSWORD_SEAL
        text = self._sealer.open_sealed(
            purpose, profile.account, profile.user_id, column, profile.sealed
        )
        current, *former = json.loads(text)
        return Hashes(current, tuple(former))

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= _WAITING_MAX:
            raise Throttling(detail="too many passwords are being hashed")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def new_password(least: int = GENERATED_LENGTH) -> str:
    """Generate a password with every character class that a policy can require.

    It has at least ``GENERATED_LENGTH`` characters, which is 113 bits of entropy or more.
    """
    length = max(least, GENERATED_LENGTH)
    alphabet = "".join(_CHARACTERS)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(length))
        if all(any(char in kind for char in password) for kind in _CHARACTERS):
            return password
