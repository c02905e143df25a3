"""What accounts are called in the portal."""

from broker.model.account import AccountId
from broker.sessions.portal import OpenPortal
from broker.stores.directory.fresh import FreshDirectory


class AccountNames:
    """Finds an account's name: its alias, or else its number."""

    def __init__(self, fresh: FreshDirectory) -> None:
        self._fresh = fresh

    async def get(self, _portal: OpenPortal, number: AccountId) -> str:
        """The name that the sign-in's person sees; the account need not exist."""
        account = await self._fresh.find_account(number)
        return (account.alias if account else None) or number
