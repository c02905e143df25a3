"""The documentation at ``/docs``: the site that `make docs` builds into the package.

The pages are public and the same for everyone. An installation made from sources
without building them says so.
"""

from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

SITE = Path(__file__).parent / "site"
START = "/docs/"
_NOT_BUILT = (
    "This installation was made without its documentation. `make docs` in the source"
    " folder builds it; the same pages are there as Markdown, in docs/.\n"
)
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " font-src 'self'; connect-src 'self'; form-action 'self';"
        " frame-ancestors 'none'; base-uri 'none'"
    ),
}
_NOT_FOUND = 404


class _Site(StaticFiles):
    """Its files, with the headers of a site that runs scripts of its own only."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; a sentence if there is none."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != _NOT_FOUND:
                raise
            return PlainTextResponse("There is no such page.\n", _NOT_FOUND)
        response.headers.update(_HEADERS)
        return response


def is_built(site: Path = SITE) -> bool:
    """Whether this installation has the pages."""
    return (site / "index.html").exists()


def documentation_routes(site: Path = SITE) -> APIRouter:
    """``/docs`` and everything below."""
    router = APIRouter()

    @router.get("/docs")
    async def start() -> Response:
        # Relative: the scheme that clients see is the proxy's business.
        return RedirectResponse(START)

    if is_built(site):
        router.mount("/docs", _Site(directory=site, html=True))
    else:

        @router.get("/docs/{path:path}")
        async def not_built(path: str) -> Response:  # noqa: ARG001  # the route's
            return PlainTextResponse(_NOT_BUILT, _NOT_FOUND)

    return router
