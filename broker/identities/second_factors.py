"""Second factors: what a user (or the root) can show besides a password."""

from broker.model.account import AccountId
from broker.stores.directory.port.mfa import SecondFactorReader


async def list_factors(
    directory: SecondFactorReader, account: AccountId, holder: str
) -> tuple[str, ...]:
    """The serial numbers of all of them; ``holder`` is the account's number for root.

    A user who has one must use it to sign in.
    """
    devices = await directory.list_mfa_devices(account, holder)
    passkeys = await directory.list_passkeys(account, holder)
    return (
        *(device.serial for device in devices),
        *(passkey.serial for passkey in passkeys),
    )
