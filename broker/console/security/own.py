"""Who looks at their own credentials, and calls about themselves."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.console.admin.visit import Visit, visited, words
from broker.console.page_frame import PageFrame
from broker.console.rendering import Handler
from broker.errors import AccessDenied
from broker.model.principal import PrincipalType

HERE = "security"
HOME = "/console/security"
SERVICES = "/console/security/services"

_PERSONAL = frozenset({PrincipalType.USER, PrincipalType.ACCOUNT})

Page = Callable[["OwnCredentials"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class OwnList:
    """What a list has, or why it is not shown."""

    rows: tuple[Mapping[str, Any], ...] = ()
    refused: str = ""


class OwnCredentials:
    """A visit of a user, or of root, who has credentials of their own."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.user_name = visit.who.principal.username

    @property
    def is_root(self) -> bool:
        """Whether it is the account's root, who has no name."""
        return self.user_name is None

    async def iam(self, action: str, **given: object) -> Mapping[str, Any]:
        """An IAM action about oneself.

        Raises:
            BrokerError: it failed, and the audit says so.
        """
        return await self.visit.iam(action, UserName=self.user_name, **given)

    async def listed(self, action: str, member: str) -> OwnList:
        """Everything of a kind, which is a handful; a refusal in its place."""
        try:
            return OwnList(tuple((await self.iam(action))[member]))
        except AccessDenied as error:
            return OwnList(refused=words(error))

    async def show(
        self, template: str, problem: str = "", status: int = 200, **context: object
    ) -> Response:
        """A page of this part of the console."""
        return await self.visit.show(
            f"security/{template}",
            HERE,
            status,
            problem=problem,
            user_name=self.user_name,
            is_root=self.is_root,
            **context,
        )


def owned(frame: PageFrame, page: Page) -> Handler:
    """The handler of a page for whoever has credentials of their own.

    Somebody else is told what applies to them.
    """

    async def answer(visit: Visit) -> Response:
        if visit.who.principal.type not in _PERSONAL:
            return await visit.show("security/elsewhere.html", HERE)
        return await page(OwnCredentials(visit))

    return visited(frame, HERE, answer)
