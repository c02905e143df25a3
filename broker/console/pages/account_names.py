"""*Accounts*: the current account, and roles in other accounts to switch to.

Only accounts that the user's own policies name are shown: the list of all accounts is
known to the operator alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from starlette.responses import Response

from broker.console.context import SIGN_IN
from broker.console.page_frame import PageFrame, Route
from broker.console.pages.switchable_roles import SwitchableRoles
from broker.console.visit import Visit, visited
from broker.model.arn import Arn

HERE = "accounts"
PATH = "/console/accounts"


@dataclass(frozen=True, slots=True)
class OtherAccount:
    """An account and roles in it, sorted by ARN."""

    account: str
    roles: tuple[str, ...]


class AccountNames:
    """The page."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Its route."""
        return ((PATH, ["GET"], visited(self._frame, HERE, _page)),)


async def _page(visit: Visit) -> Response:
    deps = visit.frame.context.deps
    number = visit.who.session.account
    account = await deps.fresh.find_account(number)
    alias = account.alias if account else None
    offered = await SwitchableRoles(visit.frame).offer(visit.request, visit.who)
    roles = sorted((*offered.named, *offered.recent))
    accounts = sorted({Arn.parse(arn).account for arn in roles} - {number})
    return await visit.show(
        "accounts.html",
        HERE,
        number=number,
        created=account.created_at if account else None,
        sign_in=f"{deps.public_origin}{SIGN_IN}/{alias or number}",
        places=[
            OtherAccount(one, tuple(a for a in roles if Arn.parse(a).account == one))
            for one in (number, *accounts)
        ],
        cut=offered.cut,
    )
