"""The part of the directory's port about credentials and roles for machines.

What `port` promises of names, lists and absent entities holds here too.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from broker.model.account import AccountId
from broker.model.credentials import (
    CredentialKind,
    MfaDevice,
    MfaState,
    Passkey,
    ServerCertificate,
    UserCredential,
)
from broker.model.machines import DeletionTask, InstanceProfile
from broker.model.page import Page, PageRequest


class CredentialReader(Protocol):
    """Reads; see ``DirectoryReader``."""

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

    async def find_passkey(self, account: AccountId, serial: str) -> Passkey | None: ...
    async def list_passkeys(
        self, account: AccountId, user_id: str | None = None
    ) -> tuple[Passkey, ...]:
        """The passkeys of a user (root: the account's number); everybody's for None."""
        ...

    async def find_credential(
        self, account: AccountId, credential_id: str
    ) -> UserCredential | None: ...
    async def list_credentials(
        self, account: AccountId, kind: CredentialKind, user_id: str | None = None
    ) -> tuple[UserCredential, ...]:
        """A user's credentials of a kind, oldest first; everybody's for None."""
        ...

    async def find_server_certificate(
        self, account: AccountId, name: str
    ) -> ServerCertificate | None: ...
    async def list_server_certificates(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[ServerCertificate]: ...

    async def find_instance_profile(
        self, account: AccountId, name: str
    ) -> InstanceProfile | None: ...
    async def list_instance_profiles(
        self,
        account: AccountId,
        path_prefix: str,
        page: PageRequest,
        *,
        role_id: str | None = None,
    ) -> Page[InstanceProfile]:
        """Those below a path, or only those that hold a role."""
        ...

    async def list_profiles_of_roles(
        self, account: AccountId, role_ids: Collection[str]
    ) -> Mapping[str, tuple[InstanceProfile, ...]]:
        """The instance profiles that hold these roles; roles without are left out."""
        ...

    async def find_deletion_task(
        self, account: AccountId, task_id: str
    ) -> DeletionTask | None: ...


class CredentialChange(CredentialReader, Protocol):
    """Writes inside a transaction; see ``DirectoryChange``."""

    async def insert_mfa_device(self, device: MfaDevice) -> None: ...
    async def update_mfa_device(self, device: MfaDevice) -> None:
        """All but its state, which a code's use may change at any time."""
        ...

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        """Compare and set: whether the device still was in ``device.state``."""
        ...

    async def delete_mfa_device(self, device: MfaDevice) -> None: ...

    async def insert_passkey(self, passkey: Passkey) -> None:
        """Raises ``AlreadyExistsError`` for a credential that the account knows."""
        ...

    async def delete_passkey(self, passkey: Passkey) -> None: ...

    async def insert_credential(self, credential: UserCredential) -> None: ...
    async def update_credential(self, credential: UserCredential) -> None: ...
    async def delete_credential(self, credential: UserCredential) -> None: ...

    async def insert_server_certificate(
        self, certificate: ServerCertificate
    ) -> None: ...
    async def update_server_certificate(
        self, certificate: ServerCertificate
    ) -> None: ...
    async def delete_server_certificate(
        self, certificate: ServerCertificate
    ) -> None: ...

    async def insert_instance_profile(self, profile: InstanceProfile) -> None: ...
    async def update_instance_profile(self, profile: InstanceProfile) -> None: ...
    async def delete_instance_profile(self, profile: InstanceProfile) -> None: ...

    async def insert_deletion_task(self, task: DeletionTask) -> None: ...


class MfaStateWriter(Protocol):
    """Where the use of a code is made durable, outside any transaction."""

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
    """Where the use of a passkey is made durable, outside any transaction."""

    async def list_passkeys(
        self, account: AccountId, user_id: str | None = None
    ) -> tuple[Passkey, ...]: ...

    async def replace_passkey_use(self, passkey: Passkey, used: Passkey) -> bool:
        """Compare and set ``sign_count`` and ``last_used_at``.

        Whether the passkey still was there with ``passkey.sign_count``. Durable when
        it returns; the account's generation stays.
        """
        ...
