"""Second factors: virtual devices, and the use of codes and passkeys."""

from collections.abc import Collection

from sqlalchemy import select, update
from sqlalchemy.sql import Update

from broker.model.account import AccountId
from broker.model.credentials import (
    CredentialKind,
    MfaDevice,
    MfaState,
    Passkey,
    UserCredential,
)
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import name_key
from broker.stores.directory.kinds import MFA_DEVICE, USER_CREDENTIAL, mfa_state_values
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import MFA_DEVICES, PASSKEYS, USER_CREDENTIALS
from broker.stores.times import to_micros


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


async def list_credentials_of(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> tuple[UserCredential, ...]:
    """These users' credentials of all kinds."""
    column = USER_CREDENTIALS.c.user_id
    of_account = select(USER_CREDENTIALS).where(
        USER_CREDENTIALS.c.account == account,
        USER_CREDENTIALS.c.kind.in_(tuple(CredentialKind)),  # for the index
    )
    return await directory.list_entities_of(
        USER_CREDENTIAL.stored, of_account, column, user_ids
    )


async def list_virtual_mfa_devices(
    directory: DirectoryReader,
    account: AccountId,
    page: PageRequest,
    *,
    assigned: bool | None = None,
) -> Page[MfaDevice]:
    """Virtual devices; only assigned or only unassigned ones, if asked for."""
    statement = select(MFA_DEVICES).where(
        MFA_DEVICES.c.account == account, MFA_DEVICES.c.is_virtual == 1
    )
    if assigned is not None:
        user = MFA_DEVICES.c.user_id
        statement = statement.where(user.is_not(None) if assigned else user.is_(None))
    return await directory.page(
        statement, page, MFA_DEVICES.c.serial_key, MFA_DEVICE.stored.read
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
