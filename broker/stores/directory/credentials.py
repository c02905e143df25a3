"""MFA devices, certificates, SSH keys and service-specific credentials."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.sql import Select, Update

from broker.model.account import AccountId
from broker.model.credentials import (
    CredentialKind,
    MfaDevice,
    MfaState,
    ServerCertificate,
    UserCredential,
)
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    name_key,
)
from broker.stores.directory.kinds import (
    MFA_DEVICE,
    SERVER_CERTIFICATE,
    USER_CREDENTIAL,
    mfa_state_values,
)
from broker.stores.directory.statements import under_path
from broker.stores.directory.store import EntityReads, EntityWrites
from broker.stores.schema import MFA_DEVICES, SERVER_CERTIFICATES, USER_CREDENTIALS


class CredentialReads(EntityReads):
    """See ``CredentialReader``."""

    async def find_mfa_device(
        self, account: AccountId, serial: str
    ) -> MfaDevice | None:
        row = await self.find_by(
            MFA_DEVICES, account=account, serial_key=name_key(serial)
        )
        return None if row is None else MFA_DEVICE.stored.read(row)

    async def list_mfa_devices(
        self, account: AccountId, user_id: str
    ) -> tuple[MfaDevice, ...]:
        return await self._devices(
            select(MFA_DEVICES).where(
                MFA_DEVICES.c.account == account, MFA_DEVICES.c.user_id == user_id
            )
        )

    async def list_all_mfa_devices(self, account: AccountId) -> tuple[MfaDevice, ...]:
        return await self._devices(
            select(MFA_DEVICES).where(MFA_DEVICES.c.account == account)
        )

    async def list_virtual_mfa_devices(
        self, account: AccountId, page: PageRequest, *, assigned: bool | None = None
    ) -> Page[MfaDevice]:
        statement = select(MFA_DEVICES).where(
            MFA_DEVICES.c.account == account, MFA_DEVICES.c.is_virtual == 1
        )
        if assigned is not None:
            user = MFA_DEVICES.c.user_id
            statement = statement.where(
                user.is_not(None) if assigned else user.is_(None)
            )
        return await self.page(
            statement, page, MFA_DEVICES.c.serial_key, MFA_DEVICE.stored.read
        )

    async def find_credential(
        self, account: AccountId, credential_id: str
    ) -> UserCredential | None:
        return await self.find_entity(
            USER_CREDENTIAL.stored, account=account, credential_id=credential_id
        )

    async def list_credentials(
        self, account: AccountId, kind: CredentialKind, user_id: str | None = None
    ) -> tuple[UserCredential, ...]:
        statement = select(USER_CREDENTIALS).where(
            USER_CREDENTIALS.c.account == account,
            USER_CREDENTIALS.c.kind == kind.value,
        )
        if user_id is not None:
            statement = statement.where(USER_CREDENTIALS.c.user_id == user_id)
        return await self.list_entities(
            USER_CREDENTIAL.stored,
            statement.order_by(
                USER_CREDENTIALS.c.created_at, USER_CREDENTIALS.c.credential_id
            ),
        )

    async def list_credentials_of(
        self, account: AccountId, user_ids: Collection[str]
    ) -> tuple[UserCredential, ...]:
        column = USER_CREDENTIALS.c.user_id
        of_account = select(USER_CREDENTIALS).where(
            USER_CREDENTIALS.c.account == account,
            USER_CREDENTIALS.c.kind.in_(tuple(CredentialKind)),  # for the index
        )
        return await self.list_entities_of(
            USER_CREDENTIAL.stored, of_account, column, user_ids
        )

    async def find_server_certificate(
        self, account: AccountId, name: str
    ) -> ServerCertificate | None:
        return await self.find_entity(
            SERVER_CERTIFICATE.stored, account=account, name_key=name_key(name)
        )

    async def list_server_certificates(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[ServerCertificate]:
        statement = select(SERVER_CERTIFICATES).where(
            SERVER_CERTIFICATES.c.account == account,
            under_path(SERVER_CERTIFICATES.c.path, path_prefix),
        )
        return await self.page(
            statement,
            page,
            SERVER_CERTIFICATES.c.name_key,
            SERVER_CERTIFICATE.stored.read,
        )

    async def _devices(self, statement: Select[Any]) -> tuple[MfaDevice, ...]:
        rows = await self.rows(statement.order_by(MFA_DEVICES.c.serial_key))
        return tuple(MFA_DEVICE.stored.read(row) for row in rows)


class CredentialWrites(CredentialReads, EntityWrites):
    """See ``CredentialChange``."""

    async def insert_mfa_device(self, device: MfaDevice) -> None:
        await self.insert_new(
            MFA_DEVICES, MFA_DEVICE.stored.values(device), "MFA device"
        )

    async def update_mfa_device(self, device: MfaDevice) -> None:
        await self.update(MFA_DEVICE, device)

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        return await self.run(replace_state(device, state)) == 1

    async def delete_mfa_device(self, device: MfaDevice) -> None:
        await self.delete_by(
            MFA_DEVICES, account=device.account, serial_key=name_key(device.serial)
        )

    async def insert_credential(self, credential: UserCredential) -> None:
        await self.insert_entity(
            USER_CREDENTIAL.stored, credential, credential.kind.value
        )

    async def update_credential(self, credential: UserCredential) -> None:
        await self.update_entity(USER_CREDENTIAL.stored, credential, "credential_id")

    async def delete_credential(self, credential: UserCredential) -> None:
        await self.delete_by(USER_CREDENTIALS, credential_id=credential.credential_id)

    async def insert_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.insert_entity(
            SERVER_CERTIFICATE.stored, certificate, "server certificate"
        )

    async def update_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.update_named(
            SERVER_CERTIFICATES,
            SERVER_CERTIFICATE.stored.values(certificate),
            "server certificate",
            "certificate_id",
        )

    async def delete_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.delete_by(
            SERVER_CERTIFICATES, certificate_id=certificate.certificate_id
        )


def replace_state(device: MfaDevice, state: MfaState) -> Update:
    """The compare-and-set of a device's state."""
    known = [
        MFA_DEVICES.c[name] == value
        for name, value in mfa_state_values(device.state).items()
    ]
    return (
        update(MFA_DEVICES)
        .where(
            MFA_DEVICES.c.account == device.account,
            MFA_DEVICES.c.serial_key == name_key(device.serial),
            MFA_DEVICES.c.user_id.is_not_distinct_from(device.user_id),
            *known,
        )
        .values(**mfa_state_values(state))
    )
