"""Tags: ``Tag…``, ``Untag…`` and ``List…Tags`` of every taggable entity.

They differ only in how the entity is named, found and written back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import Target, change, read
from broker.actions.iam.mfa_devices import mfa_device
from broker.actions.iam.owners import Answer
from broker.actions.iam.paging import cut, page_request, truncation
from broker.kinds.instances import INSTANCE_PROFILES
from broker.kinds.kind import Named
from broker.kinds.managed_policies import (
    MANAGED_POLICIES,
    require_managed_policy,
    require_own_policy,
)
from broker.kinds.mfa_devices import MFA_DEVICES
from broker.kinds.names import KeyCase, given_tags, with_tags, without_tags
from broker.kinds.providers import OIDC_PROVIDERS, SAML_PROVIDERS
from broker.kinds.roles import ROLES
from broker.kinds.server_certificates import SERVER_CERTIFICATES
from broker.kinds.users import USERS
from broker.model.account import AccountId
from broker.model.request import Given
from broker.stores.directory.port import DirectoryReader

_Find = Callable[[DirectoryReader, AccountId, str], Awaitable[Any]]


def _tagging(
    tagging: str,
    untagging: str,
    listing: str,
    of: Named[Any],
    case: KeyCase = KeyCase.SENSITIVE,
    *,
    target: Target | None = None,
    finds: tuple[_Find, _Find] | None = None,
) -> tuple[Action, ...]:
    """Operations of these names; ``finds`` finds what is read, and what is changed."""
    find, find_own = finds or (of.require, of.require)
    target = target or on.named(of)

    async def tag(given: Given, call: Call) -> None:
        new = given_tags(given["Tags"], case)
        entity = await find_own(call.change, call.account, given[of.name])
        merged = with_tags(entity.tags, new, case)
        await call.change.update(of.kind, replace(entity, tags=merged))

    async def untag(given: Given, call: Call) -> None:
        entity = await find_own(call.change, call.account, given[of.name])
        left = without_tags(entity.tags, given["TagKeys"], case)
        await call.change.update(of.kind, replace(entity, tags=left))

    async def list_tags(given: Given, call: Call) -> Answer:
        entity = await find(call.directory, call.account, given[of.name])
        page = cut(list(entity.tags.items()), lambda tag: tag[0], page_request(given))
        return {
            "Tags": [{"Key": key, "Value": value} for key, value in page.items],
            **truncation(page),
        }

    return (
        change(tagging, tag, target),
        change(untagging, untag, target, on.tag_keys),
        read(listing, list_tags, target),
    )


_ANY_CASE = KeyCase.INSENSITIVE
TAGS = (
    *_tagging("TagRole", "UntagRole", "ListRoleTags", ROLES, _ANY_CASE),
    *_tagging("TagUser", "UntagUser", "ListUserTags", USERS, _ANY_CASE),
    *_tagging(
        "TagPolicy",
        "UntagPolicy",
        "ListPolicyTags",
        MANAGED_POLICIES,
        target=on.policy,
        finds=(require_managed_policy, require_own_policy),
    ),
    *_tagging(
        "TagSAMLProvider", "UntagSAMLProvider", "ListSAMLProviderTags", SAML_PROVIDERS
    ),
    *_tagging(
        "TagOpenIDConnectProvider",
        "UntagOpenIDConnectProvider",
        "ListOpenIDConnectProviderTags",
        OIDC_PROVIDERS,
    ),
    *_tagging(
        "TagInstanceProfile",
        "UntagInstanceProfile",
        "ListInstanceProfileTags",
        INSTANCE_PROFILES,
    ),
    *_tagging(
        "TagServerCertificate",
        "UntagServerCertificate",
        "ListServerCertificateTags",
        SERVER_CERTIFICATES,
    ),
    *_tagging(
        "TagMFADevice",
        "UntagMFADevice",
        "ListMFADeviceTags",
        MFA_DEVICES,
        target=mfa_device,
    ),
)
