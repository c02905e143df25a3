"""MFA devices, certificates, SSH keys and service-specific credentials."""

from operator import attrgetter
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.sql import Select, Update

from broker.model.account import AccountId
from broker.model.credentials import (
    CredentialKind,
    CredentialStatus,
    MfaDevice,
    MfaState,
    ServerCertificate,
    UserCredential,
)
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import (
    MAPPING,
    TIME,
    AnyRow,
    ColumnFormat,
    EntityTable,
    dump_mapping,
    key_of_name,
    load_mapping,
    name_key,
)
from broker.stores.directory.statements import Reads, Writes, under_path
from broker.stores.schema import MFA_DEVICES, SERVER_CERTIFICATES, USER_CREDENTIALS
from broker.stores.times import from_micros, to_micros

_NOT_LOCKED = 0

_CREDENTIAL_TABLE = EntityTable(
    USER_CREDENTIALS,
    UserCredential,
    kind=ColumnFormat(attrgetter("value"), CredentialKind),
    status=ColumnFormat(attrgetter("value"), CredentialStatus),
    created_at=TIME,
    expires_at=TIME,
    details=MAPPING,
)
_CERTIFICATE_TABLE = EntityTable(
    SERVER_CERTIFICATES,
    ServerCertificate,
    derived={"name_key": key_of_name},
    uploaded_at=TIME,
    expires_at=TIME,
    tags=MAPPING,
)


class CredentialReads(Reads):
    """See ``CredentialReader``."""

    async def find_mfa_device(
        self, account: AccountId, serial: str
    ) -> MfaDevice | None:
        row = await self.find_by(
            MFA_DEVICES, account=account, serial_key=name_key(serial)
        )
        return None if row is None else _read_device(row)

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
        return await self.page(statement, page, MFA_DEVICES.c.serial_key, _read_device)

    async def find_credential(
        self, account: AccountId, credential_id: str
    ) -> UserCredential | None:
        return await self.find_entity(
            _CREDENTIAL_TABLE, account=account, credential_id=credential_id
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
            _CREDENTIAL_TABLE,
            statement.order_by(
                USER_CREDENTIALS.c.created_at, USER_CREDENTIALS.c.credential_id
            ),
        )

    async def find_server_certificate(
        self, account: AccountId, name: str
    ) -> ServerCertificate | None:
        return await self.find_entity(
            _CERTIFICATE_TABLE, account=account, name_key=name_key(name)
        )

    async def list_server_certificates(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[ServerCertificate]:
        statement = select(SERVER_CERTIFICATES).where(
            SERVER_CERTIFICATES.c.account == account,
            under_path(SERVER_CERTIFICATES.c.path, path_prefix),
        )
        return await self.page(
            statement, page, SERVER_CERTIFICATES.c.name_key, _CERTIFICATE_TABLE.read
        )

    async def _devices(self, statement: Select[Any]) -> tuple[MfaDevice, ...]:
        rows = await self.rows(statement.order_by(MFA_DEVICES.c.serial_key))
        return tuple(_read_device(row) for row in rows)


class CredentialWrites(CredentialReads, Writes):
    """See ``CredentialChange``."""

    async def insert_mfa_device(self, device: MfaDevice) -> None:
        await self.insert_new(MFA_DEVICES, _device_values(device), "MFA device")

    async def update_mfa_device(self, device: MfaDevice) -> None:
        await self.update_by(
            MFA_DEVICES,
            _device_settings(device),
            account=device.account,
            serial_key=name_key(device.serial),
        )

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        return await self.run(replace_state(device, state)) == 1

    async def delete_mfa_device(self, device: MfaDevice) -> None:
        await self.delete_by(
            MFA_DEVICES, account=device.account, serial_key=name_key(device.serial)
        )

    async def insert_credential(self, credential: UserCredential) -> None:
        await self.insert_entity(_CREDENTIAL_TABLE, credential, credential.kind.value)

    async def update_credential(self, credential: UserCredential) -> None:
        await self.update_entity(_CREDENTIAL_TABLE, credential, "credential_id")

    async def delete_credential(self, credential: UserCredential) -> None:
        await self.delete_by(USER_CREDENTIALS, credential_id=credential.credential_id)

    async def insert_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.insert_entity(_CERTIFICATE_TABLE, certificate, "server certificate")

    async def update_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.update_named(
            SERVER_CERTIFICATES,
            _CERTIFICATE_TABLE.values(certificate),
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
        for name, value in _state_values(device.state).items()
    ]
    return (
        update(MFA_DEVICES)
        .where(
            MFA_DEVICES.c.account == device.account,
            MFA_DEVICES.c.serial_key == name_key(device.serial),
            MFA_DEVICES.c.user_id.is_not_distinct_from(device.user_id),
            *known,
        )
        .values(**_state_values(state))
    )


def _read_device(row: AnyRow) -> MfaDevice:
    locked = row.locked_until
    return MfaDevice(
        account=row.account,
        serial=row.serial,
        virtual=bool(row.is_virtual),
        sealed_seed=row.sealed_seed,
        created_at=from_micros(row.created_at),
        period_seconds=row.period_seconds,
        user_id=row.user_id,
        enabled_at=None if row.enabled_at is None else from_micros(row.enabled_at),
        tags=load_mapping(row.tags),
        state=MfaState(
            last_step=row.last_step,
            drift=row.drift,
            failures=row.failures,
            locked_until=None if locked == _NOT_LOCKED else from_micros(locked),
        ),
    )


def _device_values(device: MfaDevice) -> dict[str, object]:
    return {**_device_settings(device), **_state_values(device.state)}


def _device_settings(device: MfaDevice) -> dict[str, object]:
    enabled = device.enabled_at
    return {
        "account": device.account,
        "serial": device.serial,
        "serial_key": name_key(device.serial),
        "is_virtual": int(device.virtual),
        "sealed_seed": device.sealed_seed,
        "created_at": to_micros(device.created_at),
        "period_seconds": device.period_seconds,
        "user_id": device.user_id,
        "enabled_at": None if enabled is None else to_micros(enabled),
        "tags": dump_mapping(device.tags),
    }


def _state_values(state: MfaState) -> dict[str, int]:
    locked = state.locked_until
    return {
        "last_step": state.last_step,
        "drift": state.drift,
        "failures": state.failures,
        "locked_until": _NOT_LOCKED if locked is None else to_micros(locked),
    }
