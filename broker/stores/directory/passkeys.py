"""Passkeys of users and of root."""

from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.sql import Select, Update

from broker.model.account import AccountId
from broker.model.credentials import Passkey
from broker.stores.directory.statements import (
    AnyRow,
    Reads,
    Writes,
    dump,
    load_texts,
    name_key,
)
from broker.stores.schema import PASSKEYS
from broker.stores.times import from_micros, to_micros


class PasskeyReads(Reads):
    """See ``CredentialReader``."""

    async def find_passkey(self, account: AccountId, serial: str) -> Passkey | None:
        row = await self.find_by(PASSKEYS, account=account, serial_key=name_key(serial))
        return None if row is None else _read_passkey(row)

    async def list_passkeys(
        self, account: AccountId, user_id: str | None = None
    ) -> tuple[Passkey, ...]:
        statement = select(PASSKEYS).where(PASSKEYS.c.account == account)
        if user_id is not None:
            statement = statement.where(PASSKEYS.c.user_id == user_id)
        return await self._passkeys(statement)

    async def _passkeys(self, statement: Select[Any]) -> tuple[Passkey, ...]:
        rows = await self.rows(statement.order_by(PASSKEYS.c.serial_key))
        return tuple(_read_passkey(row) for row in rows)


class PasskeyWrites(PasskeyReads, Writes):
    """See ``CredentialChange``."""

    async def insert_passkey(self, passkey: Passkey) -> None:
        await self.insert_new(PASSKEYS, _passkey_values(passkey), "passkey")

    async def delete_passkey(self, passkey: Passkey) -> None:
        await self.run(
            delete(PASSKEYS).where(
                PASSKEYS.c.account == passkey.account,
                PASSKEYS.c.serial_key == name_key(passkey.serial),
            )
        )


def replace_use(passkey: Passkey, used: Passkey) -> Update:
    """The compare-and-set of a passkey's count and last use."""
    return (
        update(PASSKEYS)
        .where(
            PASSKEYS.c.account == passkey.account,
            PASSKEYS.c.serial_key == name_key(passkey.serial),
            PASSKEYS.c.user_id == passkey.user_id,
            PASSKEYS.c.credential_id == passkey.credential_id,
            PASSKEYS.c.sign_count == passkey.sign_count,
        )
        .values(sign_count=used.sign_count, last_used_at=_micros(used))
    )


def _read_passkey(row: AnyRow) -> Passkey:
    used = row.last_used_at
    return Passkey(
        account=row.account,
        serial=row.serial,
        user_id=row.user_id,
        credential_id=row.credential_id,
        public_key=row.public_key,
        enabled_at=from_micros(row.enabled_at),
        sign_count=row.sign_count,
        transports=load_texts(row.transports),
        aaguid=row.aaguid,
        synced=bool(row.synced),
        last_used_at=None if used is None else from_micros(used),
    )


def _passkey_values(passkey: Passkey) -> dict[str, object]:
    return {
        "account": passkey.account,
        "serial_key": name_key(passkey.serial),
        "serial": passkey.serial,
        "user_id": passkey.user_id,
        "credential_id": passkey.credential_id,
        "public_key": passkey.public_key,
        "enabled_at": to_micros(passkey.enabled_at),
        "sign_count": passkey.sign_count,
        "transports": dump(passkey.transports),
        "aaguid": passkey.aaguid,
        "synced": int(passkey.synced),
        "last_used_at": _micros(passkey),
    }


def _micros(passkey: Passkey) -> int | None:
    used = passkey.last_used_at
    return None if used is None else to_micros(used)
