"""*Search*: pages, roles, users, groups, policies and providers by name.

A page of its own without a script; with one, what `static/console.js` shows in its
palette. What the caller may not list is not looked for.
"""

from collections.abc import Iterable
from urllib.parse import quote

from msgspec import Struct
from starlette.responses import Response

from broker.actions.signin.search_entities import KINDS, Hit
from broker.console.visit import PageRoute, Visit
from broker.errors import AccessDenied

PATH = "/console/search"
_SECTION = "search"
_TEXT_MAX = 128
_PROVIDERS, _RESOURCES = "/console/providers", "/console/resource-policies"
_PRINT = "fingerprint-pattern"
_PAGES_OF = {
    "role": ("/console/roles/role?name=", "Role", "id-card"),
    "user": ("/console/users/user?name=", "User", "user"),
    "group": ("/console/groups/group?name=", "Group", "users"),
    "policy": ("/console/policies/policy?arn=", "Policy", "file-text"),
    "saml-provider": (f"{_PROVIDERS}/provider?arn=", "SAML provider", _PRINT),
    "oidc-provider": (f"{_PROVIDERS}/provider?arn=", "OpenID Connect provider", _PRINT),
    "ldap-provider": (f"{_PROVIDERS}/provider?arn=", "Directory", _PRINT),
    "service": ("/console/services/service?name=", "Service", "plug"),
    "resource-policy": (f"{_RESOURCES}/edit?arn=", "Resource policy", "layers"),
}
_BY_NAME = frozenset({"role", "user", "group", "service"})
_MORE_PAGES = (
    ("New role", "/console/roles/new", "iam:CreateRole"),
    ("New user", "/console/users/new", "iam:CreateUser"),
    ("New group", "/console/groups/new", "iam:CreateGroup"),
    ("New policy", "/console/policies/new", "iam:CreatePolicy"),
    ("New SAML provider", f"{_PROVIDERS}/new/saml", "iam:CreateSAMLProvider"),
    (
        *("New OpenID Connect provider", f"{_PROVIDERS}/new/oidc"),
        "iam:CreateOpenIDConnectProvider",
    ),
    ("New service", "/console/services/new", "broker:PutService"),
    ("New resource policy", f"{_RESOURCES}/new", "broker:PutResourcePolicy"),
    ("Diagnose a refused sign-in", f"{_PROVIDERS}/diagnose", "iam:ListSAMLProviders"),
    ("Change my password", "/console/security/password", "iam:ChangePassword"),
)
"""Pages that are not in the menu."""


class SearchResult(Struct, frozen=True):
    """A line of the result."""

    label: str
    path: str
    kind: str
    icon: str
    about: str = ""


async def _page(visit: Visit) -> Response:
    search = visit.text("q")[:_TEXT_MAX]
    places = await _pages(visit, search.lower())
    if search:
        places += [_place(hit) for hit in await _entities(visit, search)]
    return await visit.show("search.html", search=search, places=places)


async def _pages(visit: Visit, search: str) -> list[SearchResult]:
    sections = await visit.frame.menu(visit.request, visit.who)
    listed = [
        SearchResult(entry.label, entry.path, "Page", entry.icon)
        for section in sections
        for entry in section.entries
        if search in entry.label.lower()
    ]
    if not search:
        return listed
    may = await visit.frame.possible(
        visit.request, visit.who, [action for _, _, action in _MORE_PAGES]
    )
    return listed + [
        SearchResult(label, path, "Page", "arrow-right")
        for label, path, action in _MORE_PAGES
        if action in may and search in label.lower()
    ]


async def _entities(visit: Visit, search: str) -> list[Hit]:
    actions = {kind: action for kind, (action, _) in KINDS.items()}
    may = await visit.frame.possible(visit.request, visit.who, actions.values())
    kinds = [kind for kind, action in actions.items() if action in may]
    if not kinds:
        return []
    try:
        return await _find(visit, search, kinds)
    except AccessDenied:
        # One of them may be listed in part only: then each is asked for by itself.
        return [hit for kind in kinds for hit in await _find_one(visit, search, kind)]


async def _find_one(visit: Visit, search: str, kind: str) -> list[Hit]:
    try:
        return await _find(visit, search, [kind])
    except AccessDenied:
        return []


async def _find(visit: Visit, search: str, kinds: Iterable[str]) -> list[Hit]:
    entities = await visit.perform(
        "signin", "SearchEntities", Text=search, Kinds=tuple(kinds)
    )
    return list(entities["Hits"])


def _place(hit: Hit) -> SearchResult:
    path, kind, icon = _PAGES_OF[hit.kind]
    key = hit.name if hit.kind in _BY_NAME else hit.arn
    return SearchResult(
        hit.name, path + quote(key, safe=""), kind, icon, hit.about[:120]
    )


PAGES = (PageRoute(PATH, _SECTION, _page),)
