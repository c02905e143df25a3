"""Passkeys of users and of root."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.sql import Select, Update

from broker.model.account import AccountId
from broker.model.credentials import Passkey
from broker.stores.directory.entity_tables import (
    name_key,
)
from broker.stores.directory.kinds import PASSKEY
from broker.stores.directory.statements import Reads, Writes
from broker.stores.schema import PASSKEYS
from broker.stores.times import to_micros


class PasskeyReads(Reads):
    """See ``CredentialReader``."""

    async def find_passkey(self, account: AccountId, serial: str) -> Passkey | None:
        return await self.find_entity(
            PASSKEY.stored, account=account, serial_key=name_key(serial)
        )

    async def list_passkeys(
        self, account: AccountId, user_id: str | None = None
    ) -> tuple[Passkey, ...]:
        statement = select(PASSKEYS).where(PASSKEYS.c.account == account)
        if user_id is not None:
            statement = statement.where(PASSKEYS.c.user_id == user_id)
        return await self._passkeys(statement)

    async def _passkeys(self, statement: Select[Any]) -> tuple[Passkey, ...]:
        return await self.list_entities(
            PASSKEY.stored, statement.order_by(PASSKEYS.c.serial_key)
        )


class PasskeyWrites(PasskeyReads, Writes):
    """See ``CredentialChange``."""

    async def insert_passkey(self, passkey: Passkey) -> None:
        await self.insert_entity(PASSKEY.stored, passkey, "passkey")

    async def delete_passkey(self, passkey: Passkey) -> None:
        await self.delete_by(
            PASSKEYS, account=passkey.account, serial_key=name_key(passkey.serial)
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


def _micros(passkey: Passkey) -> int | None:
    used = passkey.last_used_at
    return None if used is None else to_micros(used)
