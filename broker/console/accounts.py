"""*Accounts*: the account one is in, and the roles elsewhere that one may switch to.

Which accounts the installation has is its operator's business. Shown is what one's own
policies name, so that nobody learns of an account that they have nothing to do with.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.responses import Response

from broker.console.admin.visit import Visit, visited
from broker.console.desk import SIGN_IN
from broker.console.inside import Inside, Route
from broker.console.switchable import Switchable
from broker.model.arn import Arn

HERE = "accounts"
PATH = "/console/accounts"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An account and the roles in it, by name."""

    account: str
    roles: tuple[str, ...]


class Accounts:
    """The page."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def routes(self) -> Iterable[Route]:
        """Where the page is."""
        return ((PATH, ["GET"], visited(self._inside, HERE, _page)),)


async def _page(visit: Visit) -> Response:
    deps = visit.inside.desk.deps
    number = visit.who.session.account
    account = await deps.fresh.find_account(number)
    alias = account.alias if account else None
    offered = await Switchable(visit.inside).offer(visit.request, visit.who)
    roles = sorted((*offered.named, *offered.recent))
    accounts = sorted({Arn.parse(arn).account for arn in roles} - {number})
    return await visit.show(
        "accounts.html",
        HERE,
        number=number,
        created=account.created_at if account else None,
        sign_in=f"{deps.public_origin}{SIGN_IN}/{alias or number}",
        places=[
            Elsewhere(one, tuple(a for a in roles if Arn.parse(a).account == one))
            for one in (number, *accounts)
        ],
        cut=offered.cut,
    )
