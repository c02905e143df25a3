"""Device codes: a device shows a code, and a person allows it elsewhere.

Source: RFC 8628.
"""

from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import asdict, replace

from broker.actions.portal.clients import Clients
from broker.model.secret import Confidential, Hidden
from broker.runtime.entropy import new_handle, random_bytes
from broker.sessions.ends import OneTimeUse, one_time_use
from broker.sessions.grants import Grants
from broker.sessions.handles import Handles, SealedTexts
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache, HandleStore

DEVICE_LIFE = timedelta(minutes=10)
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_HALF = 4
_TRIES = 5
"""To find a user code that is not in use, of 25.6 billion."""


class DeviceRequest(Confidential, frozen=True, kw_only=True):
    """A device's request: which client, from where, and the code that a person enters.

    ``client_id`` is its digest. ``place`` is the account in its start URL: a number or
    an alias.
    """

    client_id: str
    client_name: str
    place: str
    address: str
    agent: str
    asked_at: int
    user_code: Hidden[str] = ""
    number: Hidden[str] = ""

    @property
    def ends_at(self) -> datetime:
        """When it expires."""
        return datetime.fromtimestamp(self.asked_at, UTC) + DEVICE_LIFE

    @property
    def use(self) -> OneTimeUse:
        """The one exchange that it is good for."""
        return one_time_use("portal-device", self.number, until=self.ends_at)


class DeviceRequests:
    """Requests of devices that wait, and what people answered them.

    The device's code is the request, sealed. The cache only knows which request has a
    user code, and each poll tells it again; the answers are in the database. Every
    method raises ``ServiceUnavailable`` when what it asks is away.
    """

    def __init__(self, cache: Cache, handles: HandleStore, vault: Vault) -> None:
        self._codes = SealedTexts(vault, "portal-device")
        self._answers = Handles(handles, vault, "portal-device-answer")
        self._user_codes = Handles(cache, vault, "portal-user-code")

    async def begin(self, request: DeviceRequest) -> tuple[str, str]:
        """The device's code, and the one that its owner types or compares."""
        for _ in range(_TRIES):
            user_code = _new_user_code()
            made = replace(request, user_code=user_code, number=new_handle())
            if await self.wait(made):
                return self._codes.seal(asdict(made), made.ends_at), user_code
        raise RuntimeError("every user code was taken")

    def find(self, device_code: str, now: datetime) -> DeviceRequest | None:
        """What the device asked."""
        value = self._codes.find_opened(device_code, now)
        return DeviceRequest(**value) if value else None

    async def find_answer(self, request: DeviceRequest) -> str | None:
        """The handle of the sign-in that it was given; empty if it was denied."""
        value = await self._answers.find(request.number)
        return value["portal"] if value else None

    async def wait(self, request: DeviceRequest) -> bool:
        """Let the request be found by its user code; False when that is taken."""
        return await self._user_codes.claim(
            request.user_code, asdict(request), request.ends_at
        )

    async def find_by_user_code(self, user_code: str) -> DeviceRequest | None:
        """The request that still waits for an answer."""
        value = await self._user_codes.find(user_code)
        request = DeviceRequest(**value) if value else None
        if request is None or await self.find_answer(request) is not None:
            return None
        return request

    async def answer(self, user_code: str, portal: str) -> bool:
        """Give the device a sign-in, or none; whether it still waited for an answer.

        One step of the database decides: an answer that failed can be given again.
        """
        request = await self.find_by_user_code(user_code)
        return request is not None and await self._answers.claim(
            request.number, {"portal": portal}, request.ends_at
        )


def read_user_code(typed: str) -> str:
    """A user code as it is kept, however it was typed; empty if it is none."""
    letters = [letter for letter in typed.upper()[:32] if letter in _LETTERS]
    if len(letters) != 2 * _HALF:
        return ""
    return f"{''.join(letters[:_HALF])}-{''.join(letters[_HALF:])}"


def _new_user_code() -> str:
    """Eight letters, of which 16 bytes make none measurably more likely."""
    number, letters = int.from_bytes(random_bytes(16)), ""
    for _ in range(2 * _HALF):
        number, letter = divmod(number, len(_LETTERS))
        letters += _LETTERS[letter]
    return f"{letters[:_HALF]}-{letters[_HALF:]}"


class PortalLogins(Struct, frozen=True):
    """Where clients register, and what they are given."""

    clients: Clients
    grants: Grants
    devices: DeviceRequests


def portal_logins(cache: Cache, handles: HandleStore, vault: Vault) -> PortalLogins:
    """Those of an installation."""
    return PortalLogins(
        Clients(vault),
        Grants(handles, vault, "portal-login"),
        DeviceRequests(cache, handles, vault),
    )
