"""A user's visit to the pages of their own credentials."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.console.visit import Page, Visit
from broker.errors import AccessDenied
from broker.model.principal import PrincipalType

HERE = "security"
HOME = "/console/security"
SERVICES = "/console/security/services"

_PERSONAL = frozenset({PrincipalType.USER, PrincipalType.ACCOUNT})

OwnPage = Callable[["OwnCredentials"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class OwnList:
    """The rows of a list, or why it was refused."""

    rows: tuple[Mapping[str, Any], ...] = ()
    refused: str = ""


class OwnCredentials:
    """A visit of an IAM user or the root user, who have credentials of their own."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.user_name = visit.who.principal.username

    @property
    def is_root(self) -> bool:
        """Whether this is the root user, who has no user name."""
        return self.user_name is None

    async def iam(self, action: str, **given: object) -> Mapping[str, Any]:
        """Perform an IAM action on the user's own credentials.

        Raises:
            BrokerError: The action failed; the failure is audited.
        """
        return await self.visit.iam(action, UserName=self.user_name, **given)

    async def list_own(self, action: str, member: str) -> OwnList:
        """List the user's credentials of one kind, or say why that was refused."""
        try:
            return OwnList(tuple((await self.iam(action))[member]))
        except AccessDenied as error:
            return OwnList(refused=error.words)

    async def show(self, template: str, **context: object) -> Response:
        """Show a page from ``templates/security``."""
        return await self.visit.show(
            f"security/{template}",
            user_name=self.user_name,
            is_root=self.is_root,
            **context,
        )


def owned(page: OwnPage) -> Page:
    """Restrict a page to users with credentials of their own.

    Role sessions and federated users get a page that says where theirs come from.
    """

    async def answer(visit: Visit) -> Response:
        if visit.who.principal.type not in _PERSONAL:
            return await visit.show("security/elsewhere.html")
        return await page(OwnCredentials(visit))

    return answer
