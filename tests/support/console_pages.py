"""All pages of the console, from its own routes, with an address for each.

A page that cannot be shown by its path alone needs an example here; the tests that
walk all pages say which one is missing.
"""

from broker.administration.pages import ADMINISTRATION
from broker.compose import app as composition
from broker.console.routes import console_routes
from tests.support.furnished import (
    ANCHOR,
    CERTIFICATE_PROFILE,
    DIRECTORY,
    INSTANCE,
    ORDER,
    POLICY,
)
from tests.support.signin import ACCOUNT, SignInWorld, provider_arn, role_arn

_USER = f"arn:aws:iam::{ACCOUNT}:user/dana"
_OIDC = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example.com/tenant"

OUTSIDE = {
    "/signin": ["/signin", "/signin?account=Not+an+account"],
    "/signin/{account}": [
        f"/signin/{ACCOUNT}",
        "/signin/example",
        "/signin/example?kind=root",
        "/signin/nobody",
    ],
    "/signin/{account}/first-password": [
        "/signin/example/first-password",
        "/signin/nobody/first-password?token=no",
    ],
    "/signin/signed-out": ["/signin/signed-out"],
    "/oauth": ["/oauth?Action=login"],
    "/federation": ["/federation?Action=login&SigninToken=no&Destination=/console/"],
    "/saml/slo/{uuid}": [f"/saml/slo/SAMLSP{ACCOUNT}AAAA", "/saml/slo/nobody"],
    "/v1/authorize": ["/v1/authorize"],
    "/authorize": ["/authorize?client_id=no"],
    "/portal/authorize": ["/portal/authorize"],
    "/portal/device": ["/portal/device", "/portal/device?user_code=no"],
    "/portal/{account}/{rest:path}": [f"/portal/{ACCOUNT}/nowhere"],
    "/console/login": ["/console/login"],
    "/console/{rest:path}": ["/console/nowhere"],
}
"""Addresses of the pages of nobody, by route."""

EXAMPLES: dict[str, list[str]] = {
    "/console/audit": [
        "/console/audit",
        "/console/audit?view=refused&range=24h",
        "/console/audit?since=never",
    ],
    "/console/instances/instance": [f"/console/instances/instance?id={INSTANCE}"],
    "/console/roles-anywhere/anchor": [f"/console/roles-anywhere/anchor?id={ANCHOR}"],
    "/console/roles-anywhere/profile": [
        f"/console/roles-anywhere/profile?id={CERTIFICATE_PROFILE}"
    ],
    "/console/services/service": [
        f"/console/services/service?name={name}" for name in ("orders", "api")
    ],
    "/console/resource-policies": [
        "/console/resource-policies",
        "/console/resource-policies?q=nothing",
    ],
    "/console/resource-policies/edit": [f"/console/resource-policies/edit?arn={ORDER}"],
    "/console/try": ["/console/try", "/console/try?service=api"],
    "/console/services/edit": ["/console/services/edit?name=orders"],
    "/console/policies": ["/console/policies", "/console/policies?q=nothing"],
    "/console/policies/policy": [f"/console/policies/policy?arn={POLICY}"],
    "/console/policies/edit": [f"/console/policies/edit?arn={POLICY}"],
    "/console/roles": ["/console/roles", "/console/roles?q=nothing"],
    "/console/roles/role": ["/console/roles/role?name=Reader"],
    "/console/roles/who": ["/console/roles/who?name=Reader"],
    "/console/roles/trust": ["/console/roles/trust?name=Reader"],
    "/console/inline": ["/console/inline?kind=role&name=Admin&policy=Everything"],
    "/console/summary": [
        "/console/summary?kind=role&name=Admin",
        "/console/summary?kind=user&name=dana",
    ],
    "/console/users": ["/console/users", "/console/users?q=nothing"],
    "/console/groups/group": ["/console/groups/group?name=Finance"],
    "/console/groups/delete": ["/console/groups/delete?name=Finance"],
    "/console/access": [
        f"/console/access?arn={role_arn('Reader')}",
        f"/console/access?arn={_USER}",
    ],
    "/console/providers/provider": [
        f"/console/providers/provider?arn={arn}"
        for arn in (provider_arn(), _OIDC, DIRECTORY)
    ],
    "/console/providers/options": [
        f"/console/providers/options?arn={arn}" for arn in (provider_arn(), _OIDC)
    ],
    "/console/providers/scim": [
        f"/console/providers/scim?arn={provider_arn()}",
        f"/console/providers/scim?arn={provider_arn()}&q=nobody&state=inactive&page=9",
        f"/console/providers/scim?arn={_OIDC}",
    ],
    "/console/providers/diagnose": [
        f"/console/providers/diagnose?arn={arn}" for arn in (provider_arn(), _OIDC)
    ],
    "/console/security/upload": [
        f"/console/security/upload?kind={kind}" for kind in ("ssh-key", "certificate")
    ],
    "/console/security/remove": ["/console/security/remove?kind=access-key&id=AKIA"],
    "/console/security/mfa/remove": ["/console/security/mfa/remove?serial=GAHT12345"],
    "/console/security/mfa/resync": ["/console/security/mfa/resync?serial=GAHT12345"],
}
"""Addresses by route, where the route itself is none or not enough."""

for _page in ("user", "groups", "tags", "credentials", "delete", "permissions"):
    EXAMPLES[f"/console/users/{_page}"] = [f"/console/users/{_page}?name=dana"]
for _kind, _name in (("users", "dana"), ("groups", "Finance")):
    for _page in ("permissions", "attach"):
        EXAMPLES[f"/console/{_kind}/{_page}"] = [
            f"/console/{_kind}/{_page}?name={_name}"
        ]

NO_PAGES = {
    "/console/home",  # leads to Home
    "/console/accounts",
    "/portal",
    "/portal/",
    "/portal/{account}",
    "/portal/{account}/role",
    "/saml",
    "/signin/continue",
    "/signin/oidc/callback",
    "/signin/{account}/with/{provider}",
    "/signin/{account}/with/{provider}/frontchannel-logout",
    "/signin/{account}/factor",
    "/signin/{account}/new-password",
    "/signin/sign-out-there",
    "/static/saml-metadata.xml",
    "/static/saml/{uuid}/saml-metadata.xml",
    "/console",
    "/console/audit/export",
    "/console/credential-report/download",
    "/console/providers/metadata",
    "/console/static/{name:path}",
}
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
