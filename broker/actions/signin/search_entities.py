"""``SearchEntities``: finds the account's entities by a part of their names.

It serves the console's search in one call, and needs the permission to list each
requested kind. Its work is bounded: a few hits of each kind; groups and managed policies
are searched on the first pages of their lists only.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypedDict

from msgspec import Struct

from broker.actions.action import Call, console_action, needing
from broker.errors import ValidationError
from broker.model.page import PageRequest
from broker.permit.need import Need
from broker.policy.catalogue.managed_policies import (
    AWS_MANAGED_PREFIX,
    managed_policy_arns,
)
from broker.stores.directory import kinds
from broker.stores.directory.identities import list_roles_with
from broker.stores.directory.overviews import list_user_overviews
from broker.stores.directory.policies import resource_policy_arns
from broker.stores.directory.stored import Kind

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "role": ("iam:ListRoles", "role/"),
    "user": ("iam:ListUsers", "user/"),
    "group": ("iam:ListGroups", "group/"),
    "policy": ("iam:ListPolicies", "policy/"),
    "saml-provider": ("iam:ListSAMLProviders", "saml-provider/*"),
    "oidc-provider": ("iam:ListOpenIDConnectProviders", "oidc-provider/*"),
    "ldap-provider": ("broker:ListLDAPProviders", ""),
    "service": ("broker:ListServices", ""),
    "resource-policy": ("broker:ListResourcePolicies", ""),
}
"""The kinds that can be searched, with the permission to list them and its resource.

The resource is the end of an IAM ARN; empty where the list is about no resource.
"""

HITS_MAX = 6
"""Of each kind."""

TEXT_MAX = 128
_PAGE = 200
_PAGES_MAX = 5


class SearchEntitiesRequest(TypedDict):
    """A text, and the kinds (of `KINDS`) to look through."""

    Text: str
    Kinds: tuple[str, ...]


class Hit(Struct, frozen=True):
    """An entity that was found; ``about`` is a description, or empty."""

    kind: str
    name: str
    arn: str
    about: str = ""


_Find = Callable[[str, Call], Awaitable[list[Hit]]]


async def _search(params: SearchEntitiesRequest, call: Call) -> Mapping[str, Any]:
    """``Hits`` are `Hit`, kind by kind, the closest first."""
    text = params["Text"].lower()
    if not text or len(text) > TEXT_MAX:
        raise ValidationError("The text to search for has 1 to 128 characters.")
    hits: list[Hit] = []
    for kind in params["Kinds"]:
        matching = await _FINDERS[kind](text, call)
        matching.sort(key=lambda hit: _rank(hit, text))
        hits += matching[:HITS_MAX]
    return {"Hits": hits}


def _rank(hit: Hit, text: str) -> tuple[bool, bool, str]:
    """The account's own before AWS's, then names that begin with the text."""
    is_aws = hit.arn.startswith(AWS_MANAGED_PREFIX)
    return is_aws, not hit.name.lower().startswith(text), hit.name


async def _roles(text: str, call: Call) -> list[Hit]:
    page = await list_roles_with(
        call.directory, call.account, text, PageRequest(None, _PAGE)
    )
    return [Hit("role", r.name, r.arn, r.description or "") for r in page.items]


async def _users(text: str, call: Call) -> list[Hit]:
    page = await list_user_overviews(
        call.directory, call.account, "/", text, PageRequest(None, HITS_MAX)
    )
    return [Hit("user", o.user.name, o.user.arn) for o in page.items]


async def _groups(text: str, call: Call) -> list[Hit]:
    results = await _paged(kinds.GROUP, text, call)
    return [Hit("group", entry.name, entry.arn) for entry in results]


async def _policies(text: str, call: Call) -> list[Hit]:
    own = await _paged(kinds.MANAGED_POLICY, text, call)
    return [Hit("policy", p.name, p.arn, p.description or "") for p in own] + [
        Hit("policy", arn.rpartition("/")[2], arn, "Managed by AWS")
        for arn in managed_policy_arns()
        if text in arn.rpartition("/")[2].lower()
    ]


async def _resource_policies(text: str, call: Call) -> list[Hit]:
    arns = await resource_policy_arns(call.directory, call.account)
    return [
        Hit("resource-policy", arn.split(":", 5)[-1], arn)
        for arn in arns
        if text in arn.lower()
    ]


def _by_name_in_arn(kind: str, of: Kind[Any]) -> _Find:
    """Looks through all of a kind, whose names are in their ARNs."""

    async def find(text: str, call: Call) -> list[Hit]:
        results = await call.directory.all_of(of, call.account)
        named = ((entry.arn, entry.arn.partition("/")[2]) for entry in results)
        return [Hit(kind, name, arn) for arn, name in named if text in name.lower()]

    return find


async def _paged(of: Kind[Any], text: str, call: Call) -> list[Any]:
    """Entities on the list's first pages whose names contain the text."""
    results: list[Any] = []
    marker: str | None = None
    for _ in range(_PAGES_MAX):
        page = await call.directory.page_of(
            of, call.account, PageRequest(marker, _PAGE)
        )
        results += [item for item in page.items if text in item.name.lower()]
        marker = page.marker
        if marker is None:
            break
    return results


_FINDERS: Mapping[str, _Find] = {
    "role": _roles,
    "user": _users,
    "group": _groups,
    "policy": _policies,
    "saml-provider": _by_name_in_arn("saml-provider", kinds.SAML_PROVIDER),
    "oidc-provider": _by_name_in_arn("oidc-provider", kinds.OIDC_PROVIDER),
    "ldap-provider": _by_name_in_arn("ldap-provider", kinds.LDAP_PROVIDER),
    "service": _by_name_in_arn("service", kinds.SERVICE),
    "resource-policy": _resource_policies,
}


async def _needs(params: SearchEntitiesRequest, call: Call) -> tuple[Need, ...]:
    return await needing(*(KINDS[kind] for kind in params["Kinds"]))(params, call)


SEARCH_ENTITIES = console_action("SearchEntities", _needs, _search, "Text", "Kinds")
