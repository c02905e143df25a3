"""Second factors: what a user (or the root) can show besides a password."""

from broker.model.account import AccountId
from broker.stores.directory.kinds import MFA_DEVICE, PASSKEY
from broker.stores.directory.port import DirectoryReader


async def list_factors(
    directory: DirectoryReader, account: AccountId, holder: str
) -> tuple[str, ...]:
    """The serial numbers of all of them; ``holder`` is the account's number for root.

    A user who has one must use it to sign in.
    """
    devices = await directory.all_of(MFA_DEVICE, account, user_id=holder)
    passkeys = await directory.all_of(PASSKEY, account, user_id=holder)
    return (
        *(device.serial for device in devices),
        *(passkey.serial for passkey in passkeys),
    )
