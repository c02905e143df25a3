"""All pages of the console, from its own routes, with an address for each.

A page that cannot be shown by its path alone needs an example here; the tests that
walk all pages say which one is missing.
"""

from broker.administration.pages import ADMINISTRATION
from broker.compose import app as composition
from broker.console.routes import console_routes
from tests.support.rows import of_file
from tests.support.signin import ACCOUNT, SignInWorld

_USER = f"arn:aws:iam::{ACCOUNT}:user/dana"
_OIDC = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example.com/tenant"

OUTSIDE = of_file(__file__, "OUTSIDE")
"""Addresses of the pages of nobody, by route."""

EXAMPLES: dict[str, list[str]] = of_file(__file__, "EXAMPLES")
"""Addresses by route, where the route itself is none or not enough."""

for _page in ("user", "groups", "tags", "credentials", "delete", "permissions"):
    EXAMPLES[f"/console/users/{_page}"] = [f"/console/users/{_page}?name=dana"]
for _kind, _name in (("users", "dana"), ("groups", "Finance")):
    for _page in ("permissions", "attach"):
        EXAMPLES[f"/console/{_kind}/{_page}"] = [
            f"/console/{_kind}/{_page}?name={_name}"
        ]

NO_PAGES = set(of_file(__file__, "NO_PAGES"))
"""Routes that answer with a redirect, a file, or only in the middle of something."""

OWN = "/console/security"
"""Below it are pages for users with a password, and for root."""


def routes_of(world: SignInWorld) -> set[str]:
    """The console's routes that answer to GET."""
    deps = composition.console_deps(world.services, ())
    routes = console_routes(deps, ADMINISTRATION)
    return {route.path for route in routes if "GET" in (route.methods or ())}


def addresses_inside(world: SignInWorld) -> list[str]:
    """The addresses of all pages of somebody who is signed in."""
    routes = routes_of(world) - NO_PAGES - set(OUTSIDE)
    return sorted(a for route in routes for a in EXAMPLES.get(route, [route]))
