"""A request to a signed-in page: its form, its session, and calls in its name.

Handlers take a `Visit` and return a page. A refusal becomes a page in the frame that
names the missing permission.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession, EndedSession
from broker.console.context import Precondition
from broker.console.deps import ConsoleDeps
from broker.console.forms import Form, newlines
from broker.console.page_frame import PageFrame
from broker.console.rendering import Handler, see_other
from broker.console.request_info import raw_request
from broker.errors import BrokerError, ServiceUnavailable

OK = 200
GET, POST, BOTH = ("GET",), ("POST",), ("GET", "POST")


class Visit:
    """A request with a session; the CSRF token of a POST has been checked."""

    def __init__(
        self,
        frame: PageFrame,
        request: Request,
        form: Form,
        who: ConsoleSession,
        here: str = "",
    ) -> None:
        self.frame = frame
        self.request = request
        self.form = form
        self.who = who
        self.here = here
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

    @property
    def deps(self) -> ConsoleDeps:
        """What the console's pages are built on."""
        return self.frame.context.deps

    @property
    def now(self) -> datetime:
        """The current time."""
        return self.deps.clock.now()

    @property
    def region(self) -> str:
        """The region that this page's calls are for."""
        return self.deps.endpoints.find_region(raw_request(self.request))

    def text(self, name: str) -> str:
        """A field's text, stripped and with LF line ends; empty when not sent."""
        return newlines(self.form.find(name) or "").strip()

    def is_checked(self, name: str) -> bool:
        """Whether a checkbox was checked."""
        return self.form.find(name) is not None

    async def iam(self, action: str, **params: object) -> Mapping[str, Any]:
        """Perform an IAM action as the session; members that are None are left out.

        Raises:
            BrokerError: The action failed; the failure is audited.
        """
        return await self.perform("iam", action, **params)

    async def perform(
        self,
        service: str,
        action: str,
        first: Precondition | None = None,
        /,
        **params: object,
    ) -> Mapping[str, Any]:
        """Perform an action of any service as the session.

        ``first`` runs in the same transaction before the work.

        Raises:
            BrokerError: The action or ``first`` failed; the failure is audited.
        """
        return await self.frame.perform(
            self.request, self.who, (service, action), params, first=first
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

    async def show(self, template: str, **context: object) -> Response:
        """Show a page in the frame; ``here`` is the name of its menu entry."""
        return await self.frame.show(
            self.request,
            self.who,
            template,
            self.here,
            self.status,
            **{"problem": self.problem, **context},
        )

    def done(self, text: str, path: str, new: str = "", /, **query: str) -> Response:
        """Redirect after a change to a page that says ``text`` once.

        What is ``new`` there is highlighted (`made` in ``ui.html``).
        """
        response = see_other(address(path, **query) + (new and f"#new-{quote(new)}"))
        self.frame.context.flash.put(response, text, self.who.cookie)
        return response


Page = Callable[[Visit], Awaitable[Response]]


class PageRoute(Struct, frozen=True):
    """A page for signed-in users: its path, the name of its menu entry, its handler.

    ``long`` is for pages whose form may hold a whole policy.
    """

    path: str
    here: str
    page: Page
    methods: tuple[str, ...] = GET
    long: bool = False

    def handler(self, frame: PageFrame) -> Handler:
        """The page in the frame; errors are pages in it, with the menu."""

        async def answer(request: Request) -> Response:
            who: ConsoleSession | EndedSession | None = None
            try:
                entered = await frame.enter(request, long=self.long)
                if isinstance(entered, Response):
                    return entered
                form, who = entered
                return await self.page(Visit(frame, request, form, who, self.here))
            except ServiceUnavailable:
                raise
            except BrokerError as error:
                who = who or await frame.context.find_session(request)
                if not isinstance(who, ConsoleSession):
                    raise
                return await frame.refuse(request, who, error, self.here)

        return answer


def address(path: str, /, **query: str) -> str:
    """A path with its query; empty parameters are left out."""
    kept = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{kept}" if kept else path


def go(path: str, /, **query: str) -> Response:
    """Redirect to another page after a change."""
    return see_other(address(path, **query))
