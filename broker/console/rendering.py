"""Rendering of templates and errors as pages.

Every page is ``no-store`` and has a content security policy that allows style sheets,
scripts, images and requests from and to this origin only, and nothing inline.
"""

import gzip
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Macro
from markupsafe import Markup, escape
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from broker.console.client_settings import client_variables, services_section
from broker.console.pending_login import LoginMethod
from broker.console.request_info import note, request_id
from broker.console.static_files import StaticFiles
from broker.errors import BrokerError, InternalFailure, Throttling
from broker.proofs.attempts import BUSY, TOO_MANY
from broker.stores.errors import StoreFailedError, refusal_of

_log = structlog.get_logger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

_TEMPLATES = Path(__file__).parent / "templates"
_SEE_OTHER, _FORBIDDEN, _TOO_MANY = 303, 403, 429
_COMPRESSION = 5
_PARTS = re.compile(r"([:/@]+)")
_PRIVATE = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


_static_files = cache(StaticFiles)


@cache
def page_environment(documentation: Callable[[], str]) -> Environment:
    """The templates, with the macros that all of them use: compiled once a process."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["static"] = _static_files().url
    environment.globals["documentation"] = documentation
    environment.globals["at"] = partial(datetime.fromtimestamp, tz=UTC)
    environment.globals["client_variables"] = client_variables
    environment.globals["services_section"] = services_section
    environment.filters["parted"] = parted
    parts = vars(environment.get_template("ui.html").module)
    environment.globals |= {
        name: macro for name, macro in parts.items() if isinstance(macro, Macro)
    }
    return environment


class Pages:
    """Renders pages.

    ``allowed_origins`` are where a form may redirect to: the broker's public origin,
    for pages that are shown under another name, and others. ``documentation`` finds the
    path that every page links to; empty if there is none.
    """

    def __init__(
        self, allowed_origins: Iterable[str], documentation: Callable[[], str] = str
    ) -> None:
        self.files = _static_files()
        self._environment = page_environment(documentation)
        targets = " ".join(("'self'", *(o.rstrip("/") for o in allowed_origins)))
        self._policy = "; ".join(
            (
                "default-src 'none'",
                "style-src 'self'",
                "script-src 'self'",
                "img-src 'self'",
                "connect-src 'self'",
                # Browsers apply form-action to the redirects after a form, too.
                f"form-action {targets}",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            )
        )

    def show(
        self, request: Request, template: str, status: int = 200, **context: object
    ) -> HTMLResponse:
        """Render a page."""
        text = self._environment.get_template(template).render(
            request_id=request_id(request), **context
        )
        return HTMLResponse(
            text, status, headers={**_PRIVATE, "content-security-policy": self._policy}
        )

    def show_error(
        self,
        request: Request,
        error: BrokerError,
        *,
        door: LoginMethod | None = None,
        back: str = "",
        no_role: bool = False,
    ) -> HTMLResponse:
        """Render an error; ``door`` selects the wording.

        ``back`` is a safe URL to start again; ``no_role`` says that a valid response
        gave no role.
        """
        note(request, error_code=error.code)
        status = page_status(error)
        page = self.show(
            request,
            "error.html",
            status,
            code=error.code,
            message=error.words,
            http_status=status,
            door=door,
            back=back,
            no_role=no_role,
        )
        if isinstance(error, Throttling):
            page.headers["retry-after"] = "1"  # all limits behind it are per second
        return page

    def guarded(self, handler: Handler, *, door: LoginMethod | None = None) -> Handler:
        """Wrap a handler so that every failure is a page."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except BrokerError as error:
                return self.show_error(request, error, door=door)
            except StoreFailedError as failure:
                return self.show_error(request, refusal_of(failure), door=door)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception:  # noqa: BLE001  # last resort: no failure without a page
                _log.exception("unexpected failure", request_id=request_id(request))
                return self.show_error(request, InternalFailure(), door=door)

        return answer


def page_status(error: BrokerError) -> int:
    """The HTTP status of a page about an error; 400 for a limit is the API's."""
    return _TOO_MANY if isinstance(error, Throttling) else error.status


def compressed(request: Request, page: HTMLResponse) -> HTMLResponse:
    """Compress a long page for browsers that accept it.

    Only for pages without session secrets: the length of compressed text can leak a
    secret next to attacker-controlled input (BREACH).
    """
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return page
    page.body = gzip.compress(bytes(page.body), _COMPRESSION, mtime=0)
    page.headers["content-encoding"] = "gzip"
    page.headers["content-length"] = str(len(page.body))
    return page


def parted(arn: str) -> Markup:
    """Allow line breaks between the parts of a long name."""
    return Markup(_PARTS.sub(r"\1<wbr>", str(escape(arn))))  # noqa: S704  # escaped


def allow_redirect(page: Response, origin: str) -> None:
    """Let a page's form, or the answer to it, lead to an origin, or to all of a scheme.

    Browsers apply form-action to redirects, too. No policy can name an IPv6 address: for
    one of those, it allows every origin of its scheme.

    Source: Content Security Policy Level 3, 2.3.1 (``host-source``).
    """
    target = "http:" if "[" in origin else origin
    policy = page.headers["content-security-policy"]
    page.headers["content-security-policy"] = policy.replace(
        "form-action 'self'", f"form-action 'self' {target}"
    )


def see_other(url: str, status: int = _SEE_OTHER) -> RedirectResponse:
    """An uncacheable redirect. ``url`` must have been checked."""
    return RedirectResponse(url, status, headers=_PRIVATE)


def status_of(error: BrokerError) -> int:
    """The HTTP status of the page that shows a refusal."""
    return _TOO_MANY if isinstance(error, Throttling) else _FORBIDDEN


def words_of(error: BrokerError) -> str:
    """The text of a refusal for the page."""
    if isinstance(error, Throttling) and error.message != TOO_MANY:
        return BUSY
    return error.words
