"""MFA devices, certificates, SSH keys and service-specific credentials."""

from typing import Any

from sqlalchemy import delete, select, update
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
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    Writes,
    dump_mapping,
    load_mapping,
    name_key,
    under_path,
)
from broker.stores.schema import MFA_DEVICES, SERVER_CERTIFICATES, USER_CREDENTIALS
from broker.stores.times import from_micros, to_micros

_NOT_LOCKED = 0


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
        row = await self.find_by(
            USER_CREDENTIALS, account=account, credential_id=credential_id
        )
        return None if row is None else _read_credential(row)

    async def list_credentials(
        self, account: AccountId, kind: CredentialKind, user_id: str | None = None
    ) -> tuple[UserCredential, ...]:
        statement = select(USER_CREDENTIALS).where(
            USER_CREDENTIALS.c.account == account,
            USER_CREDENTIALS.c.kind == kind.value,
        )
        if user_id is not None:
            statement = statement.where(USER_CREDENTIALS.c.user_id == user_id)
        rows = await self.rows(
            statement.order_by(
                USER_CREDENTIALS.c.created_at, USER_CREDENTIALS.c.credential_id
            )
        )
        return tuple(_read_credential(row) for row in rows)

    async def find_server_certificate(
        self, account: AccountId, name: str
    ) -> ServerCertificate | None:
        row = await self.find_by(
            SERVER_CERTIFICATES, account=account, name_key=name_key(name)
        )
        return None if row is None else _read_certificate(row)

    async def list_server_certificates(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[ServerCertificate]:
        statement = select(SERVER_CERTIFICATES).where(
            SERVER_CERTIFICATES.c.account == account,
            under_path(SERVER_CERTIFICATES.c.path, path_prefix),
        )
        return await self.page(
            statement, page, SERVER_CERTIFICATES.c.name_key, _read_certificate
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
        await self.run(
            delete(MFA_DEVICES).where(
                MFA_DEVICES.c.account == device.account,
                MFA_DEVICES.c.serial_key == name_key(device.serial),
            )
        )

    async def insert_credential(self, credential: UserCredential) -> None:
        values = _credential_values(credential)
        await self.insert_new(USER_CREDENTIALS, values, credential.kind.value)

    async def update_credential(self, credential: UserCredential) -> None:
        await self.update_by(
            USER_CREDENTIALS,
            _credential_values(credential),
            credential_id=credential.credential_id,
        )

    async def delete_credential(self, credential: UserCredential) -> None:
        await self.run(
            delete(USER_CREDENTIALS).where(
                USER_CREDENTIALS.c.credential_id == credential.credential_id
            )
        )

    async def insert_server_certificate(self, certificate: ServerCertificate) -> None:
        values = _certificate_values(certificate)
        await self.insert_new(SERVER_CERTIFICATES, values, "server certificate")

    async def update_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.update_named(
            SERVER_CERTIFICATES,
            _certificate_values(certificate),
            "server certificate",
            certificate_id=certificate.certificate_id,
        )

    async def delete_server_certificate(self, certificate: ServerCertificate) -> None:
        await self.run(
            delete(SERVER_CERTIFICATES).where(
                SERVER_CERTIFICATES.c.certificate_id == certificate.certificate_id
            )
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


def _read_credential(row: AnyRow) -> UserCredential:
    return UserCredential(
        account=row.account,
        credential_id=row.credential_id,
        kind=CredentialKind(row.kind),
        user_id=row.user_id,
        status=CredentialStatus(row.status),
        created_at=from_micros(row.created_at),
        fingerprint=row.fingerprint,
        body=row.body,
        sealed=row.sealed,
        expires_at=None if row.expires_at is None else from_micros(row.expires_at),
        details=load_mapping(row.details),
    )


def _credential_values(credential: UserCredential) -> dict[str, object]:
    expires = credential.expires_at
    return {
        "credential_id": credential.credential_id,
        "account": credential.account,
        "kind": credential.kind.value,
        "user_id": credential.user_id,
        "status": credential.status.value,
        "created_at": to_micros(credential.created_at),
        "fingerprint": credential.fingerprint,
        "body": credential.body,
        "sealed": credential.sealed,
        "expires_at": None if expires is None else to_micros(expires),
        "details": dump_mapping(credential.details),
    }


def _read_certificate(row: AnyRow) -> ServerCertificate:
    return ServerCertificate(
        account=row.account,
        certificate_id=row.certificate_id,
        name=row.name,
        path=row.path,
        body=row.body,
        chain=row.chain,
        sealed_key=row.sealed_key,
        uploaded_at=from_micros(row.uploaded_at),
        expires_at=from_micros(row.expires_at),
        tags=load_mapping(row.tags),
    )


def _certificate_values(certificate: ServerCertificate) -> dict[str, object]:
    return {
        "certificate_id": certificate.certificate_id,
        "account": certificate.account,
        "name": certificate.name,
        "name_key": name_key(certificate.name),
        "path": certificate.path,
        "body": certificate.body,
        "chain": certificate.chain,
        "sealed_key": certificate.sealed_key,
        "uploaded_at": to_micros(certificate.uploaded_at),
        "expires_at": to_micros(certificate.expires_at),
        "tags": dump_mapping(certificate.tags),
    }
