"""What a start address names: an account, or an organisation of accounts."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from broker.console.context import ConsoleContext
from broker.console.destinations import is_at_or_below
from broker.console.sign_in_options import SignInOptions
from broker.kinds.organisations import Organisation
from broker.model.account import AccountId
from broker.sessions.portal import OpenPortal

PORTAL = "/portal"
PLACE = "place"
"""The parameter that names the place, on pages that are for all of them."""

_SHARED = frozenset({"authorize", "device"})


@dataclass(frozen=True, slots=True)
class PortalPlace:
    """A place that exists: one of the two is not None."""

    account: AccountId | None
    organisation: Organisation | None

    def is_reached_by(self, portal: OpenPortal) -> bool:
        """Whether a sign-in is one to this place."""
        if self.organisation is not None:
            return portal.organisation == self.organisation.name
        return (
            not portal.organisation
            and self.account is not None
            and portal.reaches(self.account)
        )

    def admits_users(self, account: AccountId) -> bool:
        """Whether an account's IAM users can sign in to it."""
        if self.organisation is not None:
            return self.organisation.admits_users(account)
        return account == self.account


class PortalPlaces:
    """Finds places; an organisation comes before an account with its name as alias."""

    def __init__(self, context: ConsoleContext) -> None:
        self._organisations = context.deps.organisations
        self._options = SignInOptions(context)

    async def find(self, name: str) -> PortalPlace | None:
        """The place of a name; an account's number need not exist."""
        organisation = self._organisations.find(name)
        if organisation is not None:
            return PortalPlace(None, organisation)
        number = await self._options.find_number(name)
        return None if number is None else PortalPlace(number, None)

    def organisation_of(self, destination: str) -> Organisation | None:
        """The organisation that a page of the portal belongs to."""
        return self._organisations.find(place_of(destination))


def place_of(destination: str) -> str:
    """The name of the place that a sign-in was to lead to; empty if to none."""
    if not is_at_or_below(destination, PORTAL):
        return ""
    parts = urlsplit(destination)
    name = parts.path.removeprefix(f"{PORTAL}/").partition("/")[0]
    if name in _SHARED:
        name = parse_qs(parts.query).get(PLACE, [""])[0]
    return name
