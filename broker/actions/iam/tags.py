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
from broker.actions.iam.server_certificates import server_certificate
from broker.actions.iam.views import given_tags
from broker.identities.instance_profiles import (
    INSTANCE_PROFILES,
    require_instance_profile,
)
from broker.identities.managed_policies import (
    require_managed_policy,
    require_own_policy,
)
from broker.identities.mfa_devices import require_mfa_device
from broker.identities.oidc_providers import require_oidc_provider
from broker.identities.roles import require_role
from broker.identities.saml_providers import require_saml_provider
from broker.identities.server_certificates import require_server_certificate
from broker.identities.tags import KeyCase, checked_tags, with_tags, without_tags
from broker.identities.users import require_user
from broker.model.account import AccountId
from broker.model.request import Given
from broker.stores.directory.kinds import INSTANCE_PROFILE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

# The entities' types share no base; each row pairs a finder with its own writer.
_Find = Callable[[DirectoryReader, AccountId, str], Awaitable[Any]]
_Write = Callable[[DirectoryChange, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taggable:
    """One kind of entity that has tags."""

    noun: str
    parameter: str
    target: Target
    require: _Find
    require_own: _Find
    write: _Write
    case: KeyCase


def _operations(kind: Taggable) -> tuple[Action, ...]:
    async def tag(given: Given, call: Call) -> None:
        new = checked_tags(given_tags(given["Tags"]), kind.case)
        entity = await kind.require_own(
            call.change, call.account, given[kind.parameter]
        )
        merged = with_tags(entity.tags, new, kind.case)
        await kind.write(call.change, replace(entity, tags=merged))

    async def untag(given: Given, call: Call) -> None:
        entity = await kind.require_own(
            call.change, call.account, given[kind.parameter]
        )
        left = without_tags(entity.tags, given["TagKeys"], kind.case)
        await kind.write(call.change, replace(entity, tags=left))

    async def list_tags(given: Given, call: Call) -> Answer:
        entity = await kind.require(call.directory, call.account, given[kind.parameter])
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


TAGGABLE = (
    Taggable(
        noun="Role",
        parameter="RoleName",
        target=on.role,
        require=require_role,
        require_own=require_role,
        write=lambda change, role: change.update_role(role),
        case=KeyCase.INSENSITIVE,
    ),
    Taggable(
        noun="User",
        parameter="UserName",
        target=on.user,
        require=require_user,
        require_own=require_user,
        write=lambda change, user: change.update_user(user),
        case=KeyCase.INSENSITIVE,
    ),
    Taggable(
        noun="Policy",
        parameter="PolicyArn",
        target=on.policy,
        require=require_managed_policy,
        require_own=require_own_policy,
        write=lambda change, policy: change.update_policy(policy),
        case=KeyCase.SENSITIVE,
    ),
    Taggable(
        noun="SAMLProvider",
        parameter="SAMLProviderArn",
        target=on.saml_provider,
        require=require_saml_provider,
        require_own=require_saml_provider,
        write=lambda change, provider: change.update_saml_provider(provider),
        case=KeyCase.SENSITIVE,
    ),
    Taggable(
        noun="OpenIDConnectProvider",
        parameter="OpenIDConnectProviderArn",
        target=on.oidc_provider,
        require=require_oidc_provider,
        require_own=require_oidc_provider,
        write=lambda change, provider: change.update_oidc_provider(provider),
        case=KeyCase.SENSITIVE,
    ),
    Taggable(
        noun="InstanceProfile",
        parameter="InstanceProfileName",
        target=named(INSTANCE_PROFILES),
        require=require_instance_profile,
        require_own=require_instance_profile,
        write=lambda change, profile: change.update(INSTANCE_PROFILE, profile),
        case=KeyCase.SENSITIVE,
    ),
    Taggable(
        noun="ServerCertificate",
        parameter="ServerCertificateName",
        target=server_certificate,
        require=require_server_certificate,
        require_own=require_server_certificate,
        write=lambda change, found: change.update_server_certificate(found),
        case=KeyCase.SENSITIVE,
    ),
    Taggable(
        noun="MFADevice",
        parameter="SerialNumber",
        target=mfa_device,
        require=require_mfa_device,
        require_own=require_mfa_device,
        write=lambda change, device: change.update_mfa_device(device),
        case=KeyCase.SENSITIVE,
    ),
)

TAGS = tuple(action for kind in TAGGABLE for action in _operations(kind))
