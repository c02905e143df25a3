"""Passkeys: owners, names, and the use of their counters.

A serial number is ``arn:aws:iam::ACCOUNT:u2f/user/NAME/KEY-ID``, and
``u2f/root/KEY-ID`` for root, as AWS writes those of FIDO security keys. A passkey is in
use from registration on; deactivating it deletes it.

Source: IAM User Guide, "Assign a passkey or security key"; API Reference,
``DeactivateMFADevice`` and ``GetMFADevice``.
"""

import asyncio
import re
import threading
from datetime import datetime

from msgspec.structs import replace

from broker import errors
from broker.kinds.limits import Quota, require_within
from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.credentials import Passkey
from broker.model.entities import User
from broker.protocols.webauthn import (
    Credential,
    RelyingParty,
    load,
    verify_authentication,
)
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import MFA_DEVICE, PASSKEY
from broker.stores.directory.port import Directory, DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError, StoreUnavailableError

_LOADED = threading.Event()
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_ATTEMPTS = 4
"""Each means that another sign-in with the same passkey was faster."""

MISSING_DEVICE = "MFA Device with serial number {} does not exist."


async def ready_for_passkeys() -> None:
    """Import the passkey library in a thread: it takes a tenth of a second."""
    if not _LOADED.is_set():
        await asyncio.to_thread(load)
        _LOADED.set()


def is_passkey(serial: str) -> bool:
    """Whether a serial number is a passkey's."""
    return serial.startswith("arn:aws:iam::") and ":u2f/" in serial


def passkey_handle(holder: str) -> bytes:
    """What an authenticator knows its user by: the unique id (root: the account's)."""
    return holder.encode("ascii")


def as_credential(passkey: Passkey) -> Credential:
    """The passkey as the specification sees it."""
    return Credential(
        credential_id=passkey.credential_id,
        public_key=passkey.public_key,
        sign_count=passkey.sign_count,
        transports=passkey.transports,
        aaguid=passkey.aaguid,
        synced=passkey.synced,
    )


def require_passkey_name(name: str) -> str:
    """The name, if it is one that MFA devices may have.

    Raises:
        ValidationError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise errors.ValidationError(
            "A device's name has 1 to 64 letters, digits or any of + = , . @ _ -"
        )
    return name


async def require_room(
    directory: DirectoryReader, account: Account, holder: str
) -> None:
    """Refuse one more MFA device of a user, of any kind.

    Raises:
        LimitExceeded: there are as many as may be.
    """
    held = len(await directory.all_of(MFA_DEVICE, account.account_id, user_id=holder))
    held += len(await directory.all_of(PASSKEY, account.account_id, user_id=holder))
    require_within(account, Quota.MFA_DEVICES_PER_USER, held + 1)


async def register_passkey(
    change: DirectoryChange,
    account: Account,
    user: User | None,
    *,
    name: str,
    credential: Credential,
    now: datetime,
) -> Passkey:
    """Give a verified credential to a user; to root for None.

    Raises:
        ValidationError: the name is none.
        LimitExceeded: the user has as many devices as may be.
        EntityAlreadyExists: the account knows the credential.
    """
    number = account.account_id
    holder = number if user is None else user.user_id
    require_passkey_name(name)
    await require_room(change, account, holder)
    owner = "root" if user is None else f"user/{user.name}"
    passkey = Passkey(
        account=number,
        serial=iam_arn(number, f"u2f/{owner}/{name}-{new_unique_id('')}"),
        user_id=holder,
        credential_id=credential.credential_id,
        public_key=credential.public_key,
        enabled_at=now,
        sign_count=credential.sign_count,
        transports=credential.transports,
        aaguid=credential.aaguid,
        synced=credential.synced,
    )
    try:
        await change.insert(PASSKEY, passkey)
    except AlreadyExistsError as error:
        raise errors.EntityAlreadyExists(
            "This passkey is registered in this account already."
        ) from error
    return passkey


def missing_device(serial: str) -> errors.NoSuchEntity:
    """The error for a device that is not there, of whatever kind."""
    return errors.NoSuchEntity(MISSING_DEVICE.format(serial))


async def require_passkey_of(
    directory: DirectoryReader, account: AccountId, serial: str, holder: str
) -> Passkey:
    """A passkey of a user (root: the account's number).

    Raises:
        NoSuchEntity: there is none, or it is not this user's.
    """
    passkey = await directory.named(PASSKEY, account, serial)
    if passkey is None:
        raise missing_device(serial)
    if passkey.user_id != holder:
        raise errors.NoSuchEntity("MFA Device invalid for user.")
    return passkey


class PasskeyProofs:
    """Passkeys whose use is noted durably."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def list_credentials(
        self, account: AccountId, holder: str
    ) -> tuple[Credential, ...]:
        """What the holder could show; raises ``StoreUnavailableError``."""
        held = await self._directory.all_of(PASSKEY, account, user_id=holder)
        if held:
            await ready_for_passkeys()
        return tuple(as_credential(passkey) for passkey in held)

    async def accept(
        self,
        account: AccountId,
        holder: str,
        party: RelyingParty,
        answer: str,
        *,
        challenge: bytes,
        now: datetime,
    ) -> Passkey:
        """The holder's passkey that an answer proves, its new count written down.

        ``challenge`` must be one that counts no more after this.

        Raises:
            WebauthnRejected: it proves none of the holder's.
            ServiceUnavailable: the directory is away.
        """
        await ready_for_passkeys()
        try:
            for _ in range(_ATTEMPTS):
                held = await self._directory.all_of(PASSKEY, account, user_id=holder)
                proved, count = verify_authentication(
                    party,
                    answer,
                    challenge=challenge,
                    user_handle=passkey_handle(holder),
                    known=[as_credential(passkey) for passkey in held],
                )
                passkey = next(p for p in held if p.credential_id == proved)
                used = replace(passkey, sign_count=count, last_used_at=now)
                if await self._directory.replace_passkey_use(passkey, used):
                    return used
        except StoreUnavailableError as error:
            raise errors.ServiceUnavailable(
                detail=f"the passkey cannot be verified: {error}"
            ) from error
        raise errors.ServiceUnavailable(detail="the passkey's count kept changing")
