"""Tags: ``Tag…``, ``Untag…`` and ``List…Tags`` of every taggable entity.

They differ only in how the entity is named, found and written back: a row of
`TAGGABLE` each.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import Target, change, read
from broker.actions.iam.mfa_devices import mfa_device
from broker.actions.iam.owners import Answer
from broker.actions.iam.paging import cut, page_request, truncation
from broker.actions.iam.plain import named
from broker.identities.instance_profiles import INSTANCE_PROFILES
from broker.identities.managed_policies import (
    require_managed_policy,
    require_own_policy,
)
from broker.identities.mfa_devices import MFA_DEVICES
from broker.identities.oidc_providers import OIDC_PROVIDERS
from broker.identities.roles import require_role
from broker.identities.saml_providers import SAML_PROVIDERS
from broker.identities.server_certificates import SERVER_CERTIFICATES
from broker.identities.tags import KeyCase, given_tags, with_tags, without_tags
from broker.identities.users import require_user
from broker.model.account import AccountId
from broker.model.request import Given
from broker.stores.directory.kind import Kind
from broker.stores.directory.kinds import (
    MANAGED_POLICY,
    ROLE,
    USER,
)
from broker.stores.directory.port import DirectoryReader

_Find = Callable[[DirectoryReader, AccountId, str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Taggable:
    """One kind of entity that has tags; ``find_own`` finds what may be changed."""

    noun: str
    parameter: str
    target: Target
    kind: Kind[Any]
    find: _Find
    case: KeyCase = KeyCase.SENSITIVE
    find_own: _Find | None = None


def _operations(kind: Taggable) -> tuple[Action, ...]:
    find_own = kind.find_own or kind.find

    async def tag(given: Given, call: Call) -> None:
        new = given_tags(given["Tags"], kind.case)
        entity = await find_own(call.change, call.account, given[kind.parameter])
        merged = with_tags(entity.tags, new, kind.case)
        await call.change.update(kind.kind, replace(entity, tags=merged))

    async def untag(given: Given, call: Call) -> None:
        entity = await find_own(call.change, call.account, given[kind.parameter])
        left = without_tags(entity.tags, given["TagKeys"], kind.case)
        await call.change.update(kind.kind, replace(entity, tags=left))

    async def list_tags(given: Given, call: Call) -> Answer:
        entity = await kind.find(call.directory, call.account, given[kind.parameter])
        page = cut(list(entity.tags.items()), lambda tag: tag[0], page_request(given))
        return {
            "Tags": [{"Key": key, "Value": value} for key, value in page.items],
            **truncation(page),
        }

    noun = kind.noun
    return (
        change(f"Tag{noun}", tag, kind.target),
        change(f"Untag{noun}", untag, kind.target, on.tag_keys),
        read(f"List{noun}Tags", list_tags, kind.target),
    )


_ANY_CASE = KeyCase.INSENSITIVE
TAGGABLE = (
    Taggable("Role", "RoleName", on.role, ROLE, require_role, _ANY_CASE),
    Taggable("User", "UserName", on.user, USER, require_user, _ANY_CASE),
    Taggable(
        "Policy",
        "PolicyArn",
        on.policy,
        MANAGED_POLICY,
        require_managed_policy,
        find_own=require_own_policy,
    ),
    *(
        Taggable(noun, of.name, target, of.kind, of.require)
        for noun, of, target in (
            ("SAMLProvider", SAML_PROVIDERS, named(SAML_PROVIDERS)),
            ("OpenIDConnectProvider", OIDC_PROVIDERS, named(OIDC_PROVIDERS)),
            ("InstanceProfile", INSTANCE_PROFILES, named(INSTANCE_PROFILES)),
            ("ServerCertificate", SERVER_CERTIFICATES, named(SERVER_CERTIFICATES)),
            ("MFADevice", MFA_DEVICES, mfa_device),
        )
    ),
)

TAGS = tuple(action for kind in TAGGABLE for action in _operations(kind))
