"""What accounts are called in the portal."""

from broker.kinds.organisations import Organisations
from broker.model.account import AccountId
from broker.sessions.portal import OpenPortal
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.kinds import ACCOUNT


class AccountNames:
    """Finds an account's name: its organisation's, its alias, or else its number."""

    def __init__(self, fresh: FreshDirectory, organisations: Organisations) -> None:
        self._fresh = fresh
        self._organisations = organisations

    async def get(self, portal: OpenPortal, number: AccountId) -> str:
        """The name that the sign-in's person sees; the account need not exist."""
        organisation = self._organisations.find(portal.organisation)
        member = organisation and organisation.members.get(number)
        if member and member.display_name:
            return member.display_name
        account = await self._fresh.find(ACCOUNT, number)
        return (account.alias if account else None) or number
