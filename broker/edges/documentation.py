"""The documentation at ``/docs``: the site that `make docs` builds into the package.

The pages are public and the same for everyone. They may be built while the broker runs;
an installation made from sources without building them says so.
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

    def __init__(self, site: Path) -> None:
        super().__init__(directory=site, html=True, check_dir=False)
        self.config_checked = True  # else a missing folder fails every request
        self._site = site

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; a sentence if there is none."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != _NOT_FOUND:
                raise
            text = "There is no such page.\n" if find_start(self._site) else _NOT_BUILT
            return PlainTextResponse(text, _NOT_FOUND)
        response.headers.update(_HEADERS)
        return response


def find_start(site: Path = SITE) -> str:
    """Where the pages begin; empty if this installation has none."""
    return START if (site / "index.html").exists() else ""


def documentation_routes(site: Path = SITE) -> APIRouter:
    """``/docs`` and everything below."""
    router = APIRouter()

    @router.get("/docs")
    async def start() -> Response:
        # Relative: the scheme that clients see is the proxy's business.
        return RedirectResponse(START)

    router.mount("/docs", _Site(site))
    return router
