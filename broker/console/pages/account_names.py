"""*Accounts*: the current account, and roles in other accounts to switch to.

Only accounts that the user's own policies name are shown: the list of all accounts is
known to the operator alone.
"""

from dataclasses import dataclass

from starlette.responses import Response

from broker.console.context import SIGN_IN
from broker.console.pages.switchable_roles import SwitchableRoles
from broker.console.visit import PageRoute, Visit
from broker.model.arn import Arn
from broker.stores.directory.kinds import ACCOUNT

HERE = "accounts"
PATH = "/console/accounts"


@dataclass(frozen=True, slots=True)
class OtherAccount:
    """An account and roles in it, sorted by ARN."""

    account: str
    roles: tuple[str, ...]


async def _page(visit: Visit) -> Response:
    deps = visit.deps
    number = visit.who.session.account
    account = await deps.fresh.find(ACCOUNT, number)
    alias = account.alias if account else None
    offered = await SwitchableRoles(visit.frame).offer(visit.request, visit.who)
    roles = sorted((*offered.named, *offered.recent))
    accounts = sorted({Arn.parse(arn).account for arn in roles} - {number})
    return await visit.show(
        "accounts.html",
        number=number,
        created=account.created_at if account else None,
        sign_in=f"{deps.public_origin}{SIGN_IN}/{alias or number}",
        places=[
            OtherAccount(one, tuple(a for a in roles if Arn.parse(a).account == one))
            for one in (number, *accounts)
        ],
        cut=offered.cut,
    )


PAGES = (PageRoute(PATH, HERE, _page),)
