"""*Accounts*: the account one is in, and the roles elsewhere that one may switch to.

Which accounts the installation has is its operator's business. Shown is what one's own
policies name, so that nobody learns of an account that they have nothing to do with.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.console.admin.visit import Visit, visited
from broker.console.desk import SIGN_IN
from broker.console.inside import Inside, Route
from broker.model.arn import Arn
from broker.policy import PolicyType

HERE = "accounts"
PATH = "/console/accounts"
_ASSUME = "sts:assumerole"
_ROLES_MAX = 200
_ROLE = re.compile(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)


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
    found = await visit.perform("signin", "GetOwnPermissions")
    arns = dict.fromkeys((*_named_roles(found["Layers"]), *visit.who.arrived.history))
    here = visit.who.principal.principal_arn
    roles = [arn for arn in sorted(arns) if arn != here][:_ROLES_MAX]
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
        cut=len(arns) > _ROLES_MAX,
    )


def _named_roles(layers: Iterable[tuple[PolicyType, Any]]) -> Iterator[str]:
    """Roles that the session's own policies let it assume by name."""
    policies: Mapping[PolicyType, Any] = dict(layers)
    identity = policies.get(PolicyType.IDENTITY)
    if identity is None:
        return
    candidates = identity.candidates(_ASSUME)
    denied = {
        arn
        for statement in candidates.denies
        if not statement.source.conditions and not statement.source.not_resource
        for arn in statement.source.resources or ()
    }
    if "*" in denied:
        return
    for statement in candidates.allows:
        if statement.source.not_resource:
            continue
        for arn in statement.source.resources or ():
            if arn not in denied and _ROLE.fullmatch(arn):
                yield arn
