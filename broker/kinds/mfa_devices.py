"""MFA devices: creation, assignment, deletion."""

import base64
from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from broker import errors
from broker.kinds.limits import Quota
from broker.kinds.mfa_codes import judge_pair, open_seed
from broker.kinds.names import require_path
from broker.kinds.passkeys import MISSING_DEVICE, missing_device, require_room
from broker.kinds.rules import Named, insert
from broker.kinds.rules import require_room as require_room_in
from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.credentials import MFA_SEAL, MfaDevice, MfaState
from broker.model.sealing import Opener, Sealer
from broker.runtime.entropy import random_bytes
from broker.stores.directory.identities import replace_state
from broker.stores.directory.kinds import MFA_DEVICE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

_SEED_BYTES = 40
"""As AWS's; RFC 4226 asks for 16 at least."""

_TAKEN = "MFA device already exists."


MFA_DEVICES = Named(
    kind=MFA_DEVICE,
    quota=Quota.MFA_DEVICES,
    view=lambda device: {"SerialNumber": device.serial},
    missing=MISSING_DEVICE,
    name="SerialNumber",
    resource="mfa",
    one="VirtualMFADevice",
    many="VirtualMFADevices",
)
require_mfa_device = MFA_DEVICES.require


async def require_mfa_device_of(
    directory: DirectoryReader, account: AccountId, serial: str, holder: str
) -> MfaDevice:
    """A device that a user (root: the account's number) has in use.

    Raises:
        NoSuchEntity: there is none, or it is not this user's.
    """
    device = await require_mfa_device(directory, account, serial)
    if device.user_id != holder:
        raise errors.NoSuchEntity("MFA Device invalid for user.")
    return device


async def create_virtual_device(
    change: DirectoryChange,
    account: Account,
    *,
    name: str,
    path: str = "/",
    tags: Mapping[str, str],
    sealer: Sealer,
    now: datetime,
) -> tuple[MfaDevice, str]:
    """Create an unassigned device; its Base32 seed is shown only now.

    Raises:
        EntityAlreadyExists: path and name are taken.
        LimitExceeded: the account has too many devices.
    """
    require_path(path)
    await require_room_in(change, account, MFA_DEVICE, Quota.MFA_DEVICES)
    seed = random_bytes(_SEED_BYTES)
    device = _sealed_device(
        account.account_id,
        iam_arn(account.account_id, f"mfa{path}{name}"),
        seed,
        sealer=sealer,
        virtual=True,
        now=now,
    )
    await insert(change, MFA_DEVICE, replace(device, tags=tags), _TAKEN)
    return device, base64.b32encode(seed).decode("ascii")


async def import_token(
    change: DirectoryChange,
    account: Account,
    *,
    serial: str,
    seed: bytes,
    period_seconds: int,
    sealer: Sealer,
    now: datetime,
) -> MfaDevice:
    """Register a hardware token, so that it can be assigned to a user.

    Raises:
        EntityAlreadyExists: there is one of this serial number.
    """
    device = _sealed_device(
        account.account_id, serial, seed, sealer=sealer, virtual=False, now=now
    )
    device = replace(device, period_seconds=period_seconds)
    await insert(change, MFA_DEVICE, device, _TAKEN)
    return device


async def enable_device(
    change: DirectoryChange,
    account: Account,
    device: MfaDevice,
    holder: str,
    codes: tuple[str, str],
    *,
    opener: Opener,
    now: datetime,
) -> None:
    """Assign a device to a user (root: the account's number) who shows two codes.

    Raises:
        EntityAlreadyExists: it is in use.
        InvalidAuthenticationCode: they are not two consecutive codes of it.
        LimitExceeded: the user has as many devices as may be.
    """
    if device.user_id is not None:
        raise errors.EntityAlreadyExists("MFA Device is already in use.")
    await require_room(change, account, holder)
    await resync_device(change, device, codes, opener=opener, now=now)
    await change.update(MFA_DEVICE, replace(device, user_id=holder, enabled_at=now))


async def resync_device(
    change: DirectoryChange,
    device: MfaDevice,
    codes: tuple[str, str],
    *,
    opener: Opener,
    now: datetime,
) -> None:
    """Learn a device's clock from two codes, and lift its lock.

    Raises:
        InvalidAuthenticationCode: they are not two consecutive codes of it.
        ConcurrentModification: one of them was just used.
    """
    state = require_codes(device, codes, opener=opener, now=now)
    if await change.run(replace_state(device, state)) != 1:
        raise errors.ConcurrentModification(
            "The request was rejected because multiple requests to change this"
            " object were submitted simultaneously. Wait a few minutes and submit"
            " your request again."
        )


async def deactivate_device(change: DirectoryChange, device: MfaDevice) -> None:
    """Unassign a device; its used codes stay used."""
    await change.update(MFA_DEVICE, replace(device, user_id=None, enabled_at=None))


async def delete_virtual_device(change: DirectoryChange, device: MfaDevice) -> None:
    """Remove a virtual device.

    Raises:
        NoSuchEntity: it is a hardware token.
        DeleteConflict: it is in use.
    """
    if not device.virtual:
        raise missing_device(device.serial)
    if device.user_id is not None:
        raise errors.DeleteConflict("MFA VirtualDevice in use. Must deactivate first.")
    await change.remove(MFA_DEVICE, device)


def require_codes(
    device: MfaDevice, codes: tuple[str, str], *, opener: Opener, now: datetime
) -> MfaState:
    """The device's state after two consecutive codes of it.

    Raises:
        InvalidAuthenticationCode: they are none.
    """
    state: MfaState | None = judge_pair(
        device.state,
        open_seed(device, opener),
        codes,
        period_seconds=device.period_seconds,
        now=now,
    )
    if state is None:
        raise errors.InvalidAuthenticationCode(
            "Authentication code for device is not valid."
        )
    return state


def _sealed_device(
    account: AccountId,
    serial: str,
    seed: bytes,
    *,
    sealer: Sealer,
    virtual: bool,
    now: datetime,
) -> MfaDevice:
    purpose, column = MFA_SEAL
    return MfaDevice(
        account=account,
        serial=serial,
        virtual=virtual,
        sealed_seed=sealer.seal(purpose, account, serial, column, seed),
        created_at=now,
    )
