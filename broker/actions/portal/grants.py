"""What a client of the portal holds: a code or a device code, then a refresh token.

Source: RFC 6749 4.1; RFC 8628; RFC 9700 4.14.2.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from broker.entropy import random_bytes
from broker.sessions.grants import Code, Family, Grants
from broker.sessions.handles import Handles
from broker.sessions.one_time_use import OneTimeUse, one_time_use
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache

DEVICE_LIFE = timedelta(minutes=10)
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_HALF = 4
_TRIES = 5
"""To find a user code that is not in use, of 25.6 billion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalCode(Code):
    """A code for a sign-in to the portal, named by its handle."""

    portal: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalFamily(Family):
    """A client's login that can be renewed."""

    portal: str = field(repr=False)


PortalGrants = Grants[PortalCode, PortalFamily]


def portal_grants(cache: Cache, vault: Vault) -> PortalGrants:
    """The codes and refresh tokens of the portal's clients."""
    return Grants(cache, vault, "portal-login", code=PortalCode, family=PortalFamily)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """A device's request: which client, from where, and the person's answer.

    ``portal`` is the handle of the sign-in that it was given, empty before. ``place``
    is the account in its start URL: a number or an alias.
    """

    client_id: str
    client_name: str
    place: str
    address: str
    agent: str
    asked_at: int
    portal: str = field(default="", repr=False)
    denied: bool = False


class DeviceRequests:
    """Keeps them in the cache, by the device's code and by the person's.

    Every method raises ``ServiceUnavailable`` when the cache is away.
    """

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._devices = Handles(cache, vault, "portal-device")
        self._answered = Handles(cache, vault, "portal-device-answer")
        self._user_codes = Handles(cache, vault, "portal-user-code")

    async def begin(self, request: DeviceRequest, now: datetime) -> tuple[str, str]:
        """The device's code, and the one that its owner types or compares."""
        expires_at = now + DEVICE_LIFE
        device_code = await self._devices.put(asdict(request), expires_at)
        for _ in range(_TRIES):
            user_code = _new_user_code()
            entry = {"device": device_code}
            if await self._user_codes.claim(user_code, entry, expires_at):
                return device_code, user_code
        raise RuntimeError("every user code was taken")

    async def find(self, device_code: str) -> DeviceRequest | None:
        """What the device asked and what it was answered."""
        value = await self._answered.find(device_code)
        value = value or await self._devices.find(device_code)
        return DeviceRequest(**value) if value else None

    async def find_by_user_code(self, user_code: str) -> DeviceRequest | None:
        """The request that still waits for an answer."""
        _, request = await self._find_waiting(user_code)
        return request

    async def answer(self, user_code: str, portal: str, now: datetime) -> bool:
        """Give the device a sign-in, or none; whether it still waited for an answer.

        One step of the cache decides: an answer that failed can be given again.
        """
        device_code, request = await self._find_waiting(user_code)
        if request is None:
            return False
        answered = replace(request, portal=portal, denied=not portal)
        is_first = await self._answered.claim(
            device_code, asdict(answered), now + DEVICE_LIFE
        )
        if is_first:
            await self._user_codes.forget(user_code)
        return is_first

    async def forget(self, device_code: str) -> None:
        """The device's code is used up."""
        await self._devices.forget(device_code)
        await self._answered.forget(device_code)

    async def _find_waiting(self, user_code: str) -> tuple[str, DeviceRequest | None]:
        """The device's code, and its request if it was not answered yet."""
        entry = await self._user_codes.find(user_code)
        device_code: str = entry["device"] if entry else ""
        request = await self.find(device_code) if entry else None
        if request is None or request.portal or request.denied:
            return device_code, None
        return device_code, request


def use_of_device_code(device_code: str, now: datetime) -> OneTimeUse:
    """The one exchange that a device's code is good for."""
    return one_time_use("portal-device", device_code, until=now + 2 * DEVICE_LIFE)


def read_user_code(typed: str) -> str:
    """A user code as it is kept, however it was typed; empty if it is none."""
    letters = [letter for letter in typed.upper()[:32] if letter in _LETTERS]
    if len(letters) != 2 * _HALF:
        return ""
    return f"{''.join(letters[:_HALF])}-{''.join(letters[_HALF:])}"


def _new_user_code() -> str:
    letters = "".join(_letter() for _ in range(2 * _HALF))
    return f"{letters[:_HALF]}-{letters[_HALF:]}"


def _letter() -> str:
    """One of twenty, all alike: what falls beyond their multiples is drawn again."""
    most = 256 - 256 % len(_LETTERS)
    while True:
        (byte,) = random_bytes(1)
        if byte < most:
            return _LETTERS[byte % len(_LETTERS)]
