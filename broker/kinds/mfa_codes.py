"""Codes of MFA devices: which are valid, clock drift, and lockout.

Every code is valid once: none of a step at or before the last accepted one. A device's
clock may be off; each accepted code shows by how much, and the next is searched for
around there. Several wrong codes in a row lock the device, and each further one doubles
the time.

Source: RFC 6238, 5.2 and 6; RFC 4226, 7.3.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.credentials import MFA_SEAL, MfaDevice, MfaState
from broker.model.sealing import Opener
from broker.protocols.totp import find_step, totp_step
from broker.stores.directory.kinds import MFA_DEVICE
from broker.stores.directory.port import Directory

_Answer = TypeVar("_Answer")

WINDOW_STEPS = 1
"""Steps around the learned drift that a single code may be off."""

PAIR_WINDOW_STEPS = 120
"""Steps that a device's clock may be off when two consecutive codes prove it."""

FREE_FAILURES = 5
"""Wrong codes in a row that lock nothing yet."""

FIRST_LOCK_SECONDS = 60
LOCK_SECONDS_MAX = 3600
_DOUBLING_MAX = 6
_ATTEMPTS = 4
"""Each means that another call was faster; only so many run at a time."""


def judge_code(
    state: MfaState, seed: bytes, code: str, *, period_seconds: int, now: datetime
) -> tuple[bool, MfaState]:
    """Whether a code counts, and what the device's state is after it.

    While the device is locked no code counts, and none makes it worse. Nor does a code
    that was already used: a form is sent twice, or two programs ask at the same time.
    """
    if state.locked_until is not None and now < state.locked_until:
        return False, state
    here = totp_step(int(now.timestamp()), period_seconds)
    steps = _steps(state, here)
    step = find_step(seed, (code,), [s for s in steps if s > state.last_step])
    if step is not None:
        return True, MfaState(last_step=step, drift=step - here)
    if is_used_code(state, seed, code, period_seconds=period_seconds, now=now):
        return False, state
    failures = state.failures + 1
    locked_until = None
    if failures >= FREE_FAILURES:
        doublings = min(failures - FREE_FAILURES, _DOUBLING_MAX)
        seconds = min(FIRST_LOCK_SECONDS << doublings, LOCK_SECONDS_MAX)
        locked_until = now + timedelta(seconds=seconds)
    return False, replace(state, failures=failures, locked_until=locked_until)


def judge_pair(
    state: MfaState,
    seed: bytes,
    codes: tuple[str, str],
    *,
    period_seconds: int,
    now: datetime,
) -> MfaState | None:
    """The state after two consecutive codes of a device whose clock is unknown.

    None when they are none, or not both newer than the last accepted code.
    """
    here = totp_step(int(now.timestamp()), period_seconds)
    steps = sorted(
        range(here - PAIR_WINDOW_STEPS, here + PAIR_WINDOW_STEPS + 1),
        key=lambda step: abs(step + 1 - here),
    )
    step = find_step(seed, codes, [s for s in steps if s > state.last_step])
    # The second code of a pair is the one on the device's display.
    return None if step is None else MfaState(last_step=step, drift=step - here)


def open_seed(device: MfaDevice, opener: Opener) -> bytes:
    """The device's seed; raises what the opener raises."""
    purpose, column = MFA_SEAL
    return opener.open_sealed(
        purpose, device.account, device.serial, column, device.sealed_seed
    )


def is_code_of_another_time(
    state: MfaState, seed: bytes, code: str, *, period_seconds: int, now: datetime
) -> bool:
    """Whether a code would be right if the device's clock were further off.

    One such code proves nothing; two consecutive ones do.
    """
    here = totp_step(int(now.timestamp()), period_seconds)
    steps = range(here - PAIR_WINDOW_STEPS, here + PAIR_WINDOW_STEPS + 1)
    return (
        find_step(seed, (code,), [s for s in steps if s > state.last_step]) is not None
    )


def is_used_code(
    state: MfaState, seed: bytes, code: str, *, period_seconds: int, now: datetime
) -> bool:
    """Whether a code would be right now, but it or a later one was already used."""
    steps = _steps(state, totp_step(int(now.timestamp()), period_seconds))
    used = [step for step in steps if step <= state.last_step]
    return find_step(seed, (code,), used) is not None


def _steps(state: MfaState, here: int) -> tuple[int, ...]:
    """The steps whose codes are right now, the likeliest first.

    A code may by chance stand for two.
    """
    middle = here + state.drift
    return middle, middle - WINDOW_STEPS, middle + WINDOW_STEPS


class MfaCodes:
    """Devices whose codes are spent durably."""

    def __init__(self, directory: Directory, opener: Opener) -> None:
        self._directory = directory
        self._opener = opener

    async def find_holder(self, account: AccountId, serial: str) -> str | None:
        """Whose device it is: a user's unique id, the account's number for root."""
        device = await self._directory.named(MFA_DEVICE, account, serial)
        return None if device is None else device.user_id

    async def accept(
        self, account: AccountId, serial: str, holder: str, code: str, now: datetime
    ) -> bool:
        """Use a code of the holder's device; whether it was accepted.

        The outcome is written before it is returned, for wrong codes, too.

        Raises:
            StoreUnavailableError: it cannot be told; nothing was spent.
        """
        return await self.accept_any(account, (serial,), holder, code, now) is not None

    async def accept_any(
        self,
        account: AccountId,
        serials: Sequence[str],
        holder: str,
        code: str,
        now: datetime,
    ) -> str | None:
        """Spend a code of any of the holder's devices; the serial that it counted for.

        A code of none of them counts as wrong for each; a used one of any of them, for
        none. A right one clears the others'
        failures, so that using one device does not lock the other.

        Raises:
            StoreUnavailableError: it cannot be told; nothing was spent.
        """
        for _ in range(_ATTEMPTS):
            judged = [
                (device, *self._ask(judge_code, device, code, now))
                for device in await self._held(account, serials, holder)
            ]
            right = next((entry for entry in judged if entry[1]), None)
            if right is not None:
                device, _, state = right
                if not await self._directory.replace_mfa_state(device, state):
                    continue
                for other, _, _ in judged:
                    if other.serial != device.serial and _is_open(other.state, now):
                        cleared = replace(other.state, failures=0, locked_until=None)
                        await self._directory.replace_mfa_state(other, cleared)
                return device.serial
            if await self.is_used(account, serials, holder, code, now):
                return None
            written = [
                await self._directory.replace_mfa_state(device, state)
                for device, _, state in judged
                if state != device.state
            ]
            if all(written):
                return None
        return None

    async def accept_pair(
        self,
        account: AccountId,
        serials: Sequence[str],
        holder: str,
        codes: tuple[str, str],
        now: datetime,
    ) -> str | None:
        """Spend two consecutive codes of one of the holder's devices; its serial.

        The device's clock is learned from them, and its lock lifted.

        Raises:
            StoreUnavailableError: it cannot be told; nothing was spent.
        """
        for device in await self._held(account, serials, holder):
            state = self._ask(judge_pair, device, codes, now)
            if state is not None and await self._directory.replace_mfa_state(
                device, state
            ):
                return device.serial
        return None

    async def are_drifted(
        self,
        account: AccountId,
        serials: Sequence[str],
        holder: str,
        code: str,
        now: datetime,
    ) -> bool:
        """Whether a code would be right for one of the devices at another time."""
        held = await self._held(account, serials, holder)
        return any(self._ask(is_code_of_another_time, d, code, now) for d in held)

    async def is_used(
        self,
        account: AccountId,
        serials: Sequence[str],
        holder: str,
        code: str,
        now: datetime,
    ) -> bool:
        """Whether a code is right for one of the devices, but was already used."""
        held = await self._held(account, serials, holder)
        return any(self._ask(is_used_code, device, code, now) for device in held)

    async def _held(
        self, account: AccountId, serials: Sequence[str], holder: str
    ) -> list[MfaDevice]:
        devices = [
            await self._directory.named(MFA_DEVICE, account, serial)
            for serial in serials
        ]
        return [d for d in devices if d is not None and d.user_id == holder]

    def _ask(
        self,
        question: Callable[..., _Answer],
        device: MfaDevice,
        codes: str | tuple[str, str],
        now: datetime,
    ) -> _Answer:
        return question(
            device.state,
            open_seed(device, self._opener),
            codes,
            period_seconds=device.period_seconds,
            now=now,
        )


def _is_open(state: MfaState, now: datetime) -> bool:
    """Whether a device has wrong codes, and no lock that still holds."""
    return state.failures > 0 and (
        state.locked_until is None or now >= state.locked_until
    )
