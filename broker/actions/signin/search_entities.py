"""``SearchEntities``: finds the account's entities by a part of their names.

It serves the console's search in one call, and needs the permission to list each
requested kind. Its work is bounded: a few hits of each kind, and where names cannot be
searched in the store, the first pages of the list.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypedDict, TypeVar

from broker.actions.action import Action, Call
from broker.errors import ValidationError
from broker.model.arn import iam_arn
from broker.model.page import Page, PageRequest
from broker.permit.need import Need
from broker.policy.catalogue.managed_policies import (
    AWS_MANAGED_PREFIX,
    managed_policy_arns,
)
from broker.stores.directory.kinds import (
    GROUP,
    LDAP_PROVIDER,
    MANAGED_POLICY,
    OIDC_PROVIDER,
    SAML_PROVIDER,
    SERVICE,
)
from broker.stores.directory.overviews import list_user_overviews
from broker.stores.directory.policies import resource_policy_arns
from broker.stores.directory.roles import list_roles_with

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

The last is what an ARN of IAM ends with; empty for lists that are about no resource.
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


@dataclass(frozen=True, slots=True)
class Hit:
    """An entity that was found; ``about`` is a description, or empty."""

    kind: str
    name: str
    arn: str
    about: str = ""


class _NamedEntity(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def arn(self) -> str: ...


_Item = TypeVar("_Item", bound=_NamedEntity)


async def _search(given: SearchEntitiesRequest, call: Call) -> Mapping[str, Any]:
    """``Hits`` are `Hit`, kind by kind, the closest first."""
    text = given["Text"].lower()
    if not text or len(text) > TEXT_MAX:
        raise ValidationError("The text to search for has 1 to 128 characters.")
    hits: list[Hit] = []
    for kind in given["Kinds"]:
        found = await _FINDERS[kind](text, call)
        found.sort(key=lambda hit: _rank(hit, text))
        hits += found[:HITS_MAX]
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
    def read(page: PageRequest) -> Awaitable[Page[Any]]:
        return call.directory.page_of(GROUP, call.account, page)

    return [Hit("group", g.name, g.arn) async for g in _named(text, read)]


async def _policies(text: str, call: Call) -> list[Hit]:
    def read(page: PageRequest) -> Awaitable[Page[Any]]:
        return call.directory.page_of(MANAGED_POLICY, call.account, page)

    own = [
        Hit("policy", p.name, p.arn, p.description or "")
        async for p in _named(text, read)
    ]
    return own + [
        Hit("policy", arn.rpartition("/")[2], arn, "Managed by AWS")
        for arn in managed_policy_arns()
        if text in arn.rpartition("/")[2].lower()
    ]


async def _saml(text: str, call: Call) -> list[Hit]:
    found = await call.directory.all_of(SAML_PROVIDER, call.account)
    return _providers("saml-provider", text, found)


async def _oidc(text: str, call: Call) -> list[Hit]:
    found = await call.directory.all_of(OIDC_PROVIDER, call.account)
    return _providers("oidc-provider", text, found)


async def _ldap(text: str, call: Call) -> list[Hit]:
    found = await call.directory.all_of(LDAP_PROVIDER, call.account)
    return _providers("ldap-provider", text, found)


async def _services(text: str, call: Call) -> list[Hit]:
    found = await call.directory.all_of(SERVICE, call.account)
    return [Hit("service", s.name, s.arn) for s in found if text in s.name]


async def _resource_policies(text: str, call: Call) -> list[Hit]:
    arns = await resource_policy_arns(call.directory, call.account)
    return [
        Hit("resource-policy", arn.split(":", 5)[-1], arn)
        for arn in arns
        if text in arn.lower()
    ]


def _providers(kind: str, text: str, found: Iterable[Any]) -> list[Hit]:
    arns = (one.arn for one in found)
    named = ((arn, arn.partition("/")[2]) for arn in arns)
    return [Hit(kind, name, arn) for arn, name in named if text in name.lower()]


async def _named(
    text: str, read: Callable[[PageRequest], Awaitable[Page[_Item]]]
) -> AsyncIterator[_Item]:
    """Entities on the list's first pages whose names contain the text."""
    marker: str | None = None
    for _ in range(_PAGES_MAX):
        page = await read(PageRequest(marker, _PAGE))
        for item in page.items:
            if text in item.name.lower():
                yield item
        marker = page.marker
        if marker is None:
            return


_FINDERS: Mapping[str, Callable[[str, Call], Awaitable[list[Hit]]]] = {
    "role": _roles,
    "user": _users,
    "group": _groups,
    "policy": _policies,
    "saml-provider": _saml,
    "oidc-provider": _oidc,
    "ldap-provider": _ldap,
    "service": _services,
    "resource-policy": _resource_policies,
}


async def _needs(given: SearchEntitiesRequest, call: Call) -> tuple[Need, ...]:
    return tuple(
        Need(
            action=action,
            resource=iam_arn(call.account, below) if below else "*",
            account=call.account,
        )
        for action, below in (KINDS[kind] for kind in given["Kinds"])
    )


SEARCH_ENTITIES = Action(
    service="signin",
    name="SearchEntities",
    needs=_needs,
    handle=_search,
    audited=("Text", "Kinds"),
)
