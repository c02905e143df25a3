"""The second factor of a signed call: a code of a device that the caller owns."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.authn.totp import find_step
from broker.errors import AccessDenied, ServiceUnavailable, ValidationError
from broker.model.account import AccountId
from broker.model.caller import Caller
from broker.model.principal import PrincipalType
from broker.stores.errors import StoreUnavailableError

GUESSES_PER_SECOND = 2
"""Codes that may be tried for one device; a million would find the right one."""

_UNKNOWN = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
_WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code. "


@dataclass(frozen=True, slots=True, kw_only=True)
class MfaDevice:
    """A device that makes codes.

    ``user_id`` is its user's unique id, None for the account's root. ``last_step`` is
    the step of the code that was accepted last.
    """

    account: AccountId
    serial: str
    user_id: str | None
    seed: bytes = field(repr=False)
    last_step: int | None = None


class MfaDevices(Protocol):
    """Where devices are; raises ``StoreUnavailableError`` when that is away."""

    async def find_device(self, account: AccountId, serial: str) -> MfaDevice | None:
        """The device with its seed opened, if it is switched on for somebody."""
        ...

    async def spend_step(self, device: MfaDevice, step: int) -> bool:
        """Make ``step`` the last one, durably; False when another call was first."""
        ...


class Rate(Protocol):
    """Says whether something may happen once more in this second."""

    async def allow(self, space: str, key: bytes, *, per_second: int) -> bool:
        """Count one, and say whether it is within the limit."""
        ...


class NoDevices:
    """An installation where nobody has a device."""

    async def find_device(self, _account: AccountId, _serial: str) -> MfaDevice | None:
        """No device."""
        return None

    async def spend_step(self, _device: MfaDevice, _step: int) -> bool:
        """No code is right."""
        return False


class MfaVerifier:
    """Verifies ``SerialNumber`` and ``TokenCode``; each code counts once."""

    def __init__(self, devices: MfaDevices, rate: Rate) -> None:
        self._devices = devices
        self._rate = rate

    async def verify(
        self, caller: Caller, serial: str | None, code: str | None, now: datetime
    ) -> int | None:
        """When the factor was shown (seconds since 1970); None when none was sent.

        Raises:
            ValidationError: one of the two parameters without the other.
            AccessDenied: no such device of this caller, or no code of now.
            ServiceUnavailable: it cannot be told.
        """
        if serial is None and code is None:
            return None
        if serial is None or code is None:
            raise ValidationError(
                "SerialNumber and TokenCode must be sent together, or neither of them."
            )
        try:
            await self._require(caller, serial, code, now)
        except StoreUnavailableError as error:
            raise ServiceUnavailable(detail=f"a store is away: {error}") from error
        return int(now.timestamp())

    async def _require(
        self, caller: Caller, serial: str, code: str, now: datetime
    ) -> None:
        device = await self._devices.find_device(caller.account, serial)
        if device is None or not _owns(caller, device):
            raise AccessDenied(_UNKNOWN, detail=f"{serial} is no device of the caller")
        key = f"{device.account}/{device.serial}".encode()
        if not await self._rate.allow("mfa", key, per_second=GUESSES_PER_SECOND):
            raise AccessDenied(_WRONG, detail=f"too many codes for {serial}")
        at = int(now.timestamp())
        step = find_step(device.seed, code, at=at, after=device.last_step)
        if step is None or not await self._devices.spend_step(device, step):
            raise AccessDenied(_WRONG, detail=f"not a fresh code of {serial}")


def _owns(caller: Caller, device: MfaDevice) -> bool:
    """Users and root show their factor with a long-term key, sessions never."""
    if caller.session is not None:
        return False
    principal = caller.principal
    if device.user_id is None:
        return principal.type is PrincipalType.ACCOUNT
    return (
        principal.type is PrincipalType.USER and principal.unique_id == device.user_id
    )
