"""One visit of an administrators' page: who came, what they ask, what they get done.

Handlers take a `Visit` and return a page. What they are refused is a page in the
frame that names the missing permission.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SignedIn
from broker.console.context import Precondition
from broker.console.forms import Form, newlines
from broker.console.page_frame import PageFrame
from broker.console.rendering import Handler, see_other
from broker.errors import BrokerError, ServiceUnavailable

OK = 200


class Visit:
    """A signed-in person's request; a form that changes things was held to them."""

    def __init__(
        self, frame: PageFrame, request: Request, form: Form, who: SignedIn
    ) -> None:
        self.frame = frame
        self.request = request
        self.form = form
        self.who = who

    @property
    def posted(self) -> bool:
        """Whether something is to change."""
        return self.request.method == "POST"

    @property
    def posted_form(self) -> Form:
        """The form if it was posted; else an empty one: a link may be a stranger's."""
        return self.form if self.posted else Form([])

    def text(self, name: str) -> str:
        """A field with a file's line ends and no white space around it.

        Empty when it was not sent.
        """
        return newlines(self.form.find(name) or "").strip()

    def ticked(self, name: str) -> bool:
        """Whether a box was ticked."""
        return self.form.find(name) is not None

    async def iam(self, action: str, **given: object) -> Mapping[str, Any]:
        """An IAM action in the person's name; members that are None are not given.

        Raises:
            BrokerError: it failed, and the audit says so.
        """
        return await self.perform("iam", action, **given)

    async def iam_if(
        self, first: Precondition, action: str, **given: object
    ) -> Mapping[str, Any]:
        """The same, unless ``first`` raises; it is asked in the same transaction.

        Raises:
            BrokerError: it failed, and the audit says so.
        """
        return await self.frame.perform(
            self.request, self.who, ("iam", action), given, first=first
        )

    async def perform(
        self, service: str, action: str, **given: object
    ) -> Mapping[str, Any]:
        """An action of any service in the person's name.

        Raises:
            BrokerError: it failed, and the audit says so.
        """
        return await self.frame.perform(
            self.request, self.who, (service, action), given
        )

    async def show(
        self, template: str, here: str, status: int = OK, **context: object
    ) -> Response:
        """A page in the frame; ``here`` is its entry in the navigation."""
        return await self.frame.show(
            self.request, self.who, template, here, status, **context
        )


Page = Callable[[Visit], Awaitable[Response]]


def visited(frame: PageFrame, here: str, page: Page, *, long: bool = False) -> Handler:
    """The handler of a page; ``here`` is its entry in the navigation.

    ``long`` is for pages whose form may hold a whole policy.
    """

    async def answer(request: Request) -> Response:
        entered = await frame.enter(request, long=long)
        if isinstance(entered, Response):
            return entered
        visit = Visit(frame, request, *entered)
        try:
            return await page(visit)
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            return await frame.refuse(request, visit.who, error, here)

    return answer


def words(error: BrokerError) -> str:
    """What an error says to a person."""
    return error.words


def address(path: str, /, **query: str) -> str:
    """An address with its query; what is empty is left out."""
    kept = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{kept}" if kept else path


def go(path: str, /, **query: str) -> Response:
    """On to another page, after something was done."""
    return see_other(address(path, **query))
