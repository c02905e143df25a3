"""A request to a signed-in page: its form, its session, and calls in its name.

Handlers take a `Visit` and return a page. A refusal becomes a page in the frame that
names the missing permission.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
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
    """A request with a session; the CSRF token of a POST has been checked."""

    def __init__(
        self, frame: PageFrame, request: Request, form: Form, who: SignedIn
    ) -> None:
        self.frame = frame
        self.request = request
        self.form = form
        self.who = who
        self.refusal: BrokerError | None = None
        self.problem = ""
        self.status = OK

    @property
    def posted(self) -> bool:
        """Whether the request is a POST, which may change things."""
        return self.request.method == "POST"

    @property
    def posted_form(self) -> Form:
        """The form of a POST; empty for a GET, whose link anyone may have written."""
        return self.form if self.posted else Form([])

    def text(self, name: str) -> str:
        """A field's text, stripped and with LF line ends; empty when not sent."""
        return newlines(self.form.find(name) or "").strip()

    def is_checked(self, name: str) -> bool:
        """Whether a checkbox was checked."""
        return self.form.find(name) is not None

    async def iam(self, action: str, **given: object) -> Mapping[str, Any]:
        """Perform an IAM action as the session; members that are None are left out.

        Raises:
            BrokerError: The action failed; the failure is audited.
        """
        return await self.perform("iam", action, **given)

    async def iam_if(
        self, first: Precondition, action: str, **given: object
    ) -> Mapping[str, Any]:
        """Like `iam`, but run ``first`` in the same transaction before the work.

        Raises:
            BrokerError: The action or ``first`` failed; the failure is audited.
        """
        return await self.frame.perform(
            self.request, self.who, ("iam", action), given, first=first
        )

    async def perform(
        self, service: str, action: str, **given: object
    ) -> Mapping[str, Any]:
        """Perform an action of any service as the session.

        Raises:
            BrokerError: The action failed; the failure is audited.
        """
        return await self.frame.perform(
            self.request, self.who, (service, action), given
        )

    @contextmanager
    def attempt(
        self, describe: Callable[[BrokerError], str] = attrgetter("words")
    ) -> Iterator[None]:
        """Make a change; if it is refused, ``refusal`` says so and `show` says why.

        Raises:
            ServiceUnavailable: A store is unavailable.
        """
        try:
            yield
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            self.refusal = error
            self.problem, self.status = describe(error), error.status

    async def show(self, template: str, here: str, **context: object) -> Response:
        """Show a page in the frame; ``here`` is the name of its menu entry."""
        return await self.frame.show(
            self.request,
            self.who,
            template,
            here,
            self.status,
            **{"problem": self.problem, **context},
        )

    def done(self, text: str, path: str, /, **query: str) -> Response:
        """Redirect after a change to a page that says ``text`` once."""
        response = go(path, **query)
        self.frame.context.flash.put(response, text, self.who.cookie)
        return response


Page = Callable[[Visit], Awaitable[Response]]


def visited(frame: PageFrame, here: str, page: Page, *, long: bool = False) -> Handler:
    """Make a handler of a page; ``here`` is the name of its menu entry.

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


def address(path: str, /, **query: str) -> str:
    """A path with its query; empty parameters are left out."""
    kept = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{kept}" if kept else path


def go(path: str, /, **query: str) -> Response:
    """Redirect to another page after a change."""
    return see_other(address(path, **query))
