"""Second factors: one-time code devices and passkeys."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.credentials import MfaDevice, MfaState, Passkey
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.entities import EntityReader


class MfaDeviceReader(Protocol):
    """One-time code devices."""

    async def find_mfa_device(
        self, account: AccountId, serial: str
    ) -> MfaDevice | None: ...

    async def list_mfa_devices(
        self, account: AccountId, user_id: str
    ) -> tuple[MfaDevice, ...]:
        """The devices that a user (or root: the account's number) has in use."""
        ...

    async def list_virtual_mfa_devices(
        self, account: AccountId, page: PageRequest, *, assigned: bool | None = None
    ) -> Page[MfaDevice]: ...

    async def list_all_mfa_devices(
        self, account: AccountId
    ) -> tuple[MfaDevice, ...]: ...


class PasskeyReader(Protocol):
    """Passkeys."""

    async def find_passkey(self, account: AccountId, serial: str) -> Passkey | None: ...

    async def list_passkeys(
        self, account: AccountId, user_id: str | None = None
    ) -> tuple[Passkey, ...]:
        """The passkeys of a user (root: the account's number); all for None."""
        ...


class SecondFactorReader(MfaDeviceReader, PasskeyReader, Protocol):
    """Second factors of both kinds, which share one quota."""


class MfaDeviceChange(MfaDeviceReader, EntityReader, Protocol):
    """Writes to one-time code devices."""

    async def insert_mfa_device(self, device: MfaDevice) -> None: ...

    async def update_mfa_device(self, device: MfaDevice) -> None:
        """All but its state, which a code's use may change at any time."""
        ...

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        """Compare and set: whether the device still was in ``device.state``."""
        ...

    async def delete_mfa_device(self, device: MfaDevice) -> None: ...


class PasskeyChange(PasskeyReader, Protocol):
    """Writes to passkeys."""

    async def insert_passkey(self, passkey: Passkey) -> None:
        """Raises ``AlreadyExistsError`` for a credential that the account knows."""
        ...

    async def delete_passkey(self, passkey: Passkey) -> None: ...


class MfaStateWriter(Protocol):
    """Makes the use of a code durable, outside any transaction."""

    async def find_mfa_device(
        self, account: AccountId, serial: str
    ) -> MfaDevice | None: ...

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        """Compare and set: whether the device still was in ``device.state``.

        Durable when it returns. It decides nothing else, so the account's generation
        stays.
        """
        ...


class PasskeyUseWriter(Protocol):
    """Makes the use of a passkey durable, outside any transaction."""

    async def list_passkeys(
        self, account: AccountId, user_id: str | None = None
    ) -> tuple[Passkey, ...]: ...

    async def replace_passkey_use(self, passkey: Passkey, used: Passkey) -> bool:
        """Compare and set ``sign_count`` and ``last_used_at``.

        Whether the passkey still was there with ``passkey.sign_count``. Durable when
        it returns; the account's generation stays.
        """
        ...
