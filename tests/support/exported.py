"""An account's template in one piece."""

from broker.model.account import Account
from broker.stores.directory.port import DirectoryReader
from broker.template.reader import export_account


async def exported_text(directory: DirectoryReader, account: Account) -> str:
    """What `broker export` prints."""
    return "".join([part async for part in export_account(directory, account)])
