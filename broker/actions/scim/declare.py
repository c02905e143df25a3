"""Declares the operations of a directory, one row each.

The token is the permission: it is of one provider, and so is all that it reaches.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from broker.actions.action import Action, Call, Handle, needs_nothing
from broker.errors import AccessDenied
from broker.kinds.accounts import require_account
from broker.kinds.provisioning import ProvisioningSource
from broker.model.provisioned import Membership, ProvisionedUser
from broker.model.request import Params
from broker.proofs.bearer_tokens import PROVIDER
from broker.proofs.group_roles import GroupRoles
from broker.proofs.provider_options import Provider, ProviderOptions, ScimOptions
from broker.proofs.scim import issuers_of
from broker.protocols.scim.requests import Listing
from broker.protocols.scim.resources import CHANGED, ScimRejected
from broker.sessions.revoke import SETTLING, revoke_issued_before, revoke_person
from broker.stores.directory.provisioning import (
    ProvisionedQuery,
    delay_provisioned_users,
    list_provisioned_memberships,
)

SERVICE = "scim"
ID, RESOURCE, PATCH, LISTING, BASE, IF_MATCH = (
    *("Id", "Resource", "Patch", "Listing"),
    *("Base", "IfMatch"),
)
"""Members of the operations' inputs."""

SHOWN, VERSION = "Shown", "Version"
"""Members of their results."""

WHOLE = Listing()
"""Shows all that is shown by default."""

_MEMBERSHIPS_MAX = 5000

_ASKED_AS = {
    "id": "entity_id",
    "userName": "name",
    "displayName": "name",
    "externalId": "external_id",
    "emails": "email",
    "active": "active",
    "members": "member_id",
}
"""What of a `ProvisionedQuery` a filter's attribute is."""


class ScimRefused(AccessDenied):
    """A request is refused in SCIM's own words."""

    def __init__(self, rejected: ScimRejected) -> None:
        super().__init__(rejected.detail, detail=rejected.detail)
        self.rejected = rejected


class Terms(Struct, frozen=True):
    """The directory that a token writes to, and what its people are compared by."""

    provider: Provider
    options: ScimOptions
    group_roles: GroupRoles | None
    directory: ProvisioningSource

    def names_roles(self, *names: str) -> bool:
        """Whether a group of one of these names, old and new, gives a role."""
        table = self.group_roles
        return (
            table is not None
            and self.options.gives_groups
            and any(name in table.roles for name in names)
        )

    def group_label(self, name: str, external_id: str) -> str:
        """The attribute of a group that ``GroupRoles`` uses."""
        return external_id if self.options.groups == "externalId" else name

    def query(self, listing: Listing) -> ProvisionedQuery:
        """Which users or groups of the directory a listing asks for."""
        wanted: Mapping[str, Any] = {
            _ASKED_AS[condition.attribute]: condition.value
            for condition in listing.conditions
        }
        return ProvisionedQuery(
            account=self.directory.account_id,
            provider_id=self.directory.provider_id,
            offset=listing.start - 1,
            limit=listing.count,
            **wanted,
        )


async def get_terms(params: Params, call: Call) -> Terms:
    """The directory of the call's token.

    Raises:
        AccessDenied: the operator has switched SCIM off for the provider.
    """
    provider: Provider = params[PROVIDER]
    call.record.resources = (provider.arn,)
    try:
        options = ProviderOptions.parse(provider.options).scim
        group_roles = ProviderOptions.parse(provider.options).group_roles
    except ValueError as error:
        raise AccessDenied(
            "The options of the provider are broken.", detail=str(error)
        ) from error
    if options is None:
        raise AccessDenied(
            "SCIM is switched off for this provider: it has no ScimSubject."
        )
    account = await require_account(call.directory, call.account)
    directory = ProvisioningSource(account, provider.unique_id, options.subject)
    return Terms(provider, options, group_roles, directory)


async def end_person(terms: Terms, call: Call, user: ProvisionedUser) -> None:
    """End everything that a person opened; ``user`` is what they were until now."""
    await revoke_person(
        call.change,
        account=call.account,
        issuers=() if terms.options.claim else issuers_of(terms.provider),
        subject=terms.options.subject_of(user),
        person=user.user_id,
        now=call.now,
        settling=SETTLING,
        reason="the directory says that the person has left",
    )


async def end_sessions_of(call: Call, user_ids: Collection[str], reason: str) -> None:
    """Have people sign in again: what they may do has changed.

    They can in a moment, when every worker knows of it.
    """
    await delay_provisioned_users(
        call.change, call.account, user_ids, call.now + SETTLING
    )
    for user_id in user_ids:
        await revoke_person(
            call.change,
            account=call.account,
            issuers=(),
            subject="",
            person=user_id,
            now=call.now,
            settling=SETTLING,
            reason=reason,
        )


async def end_all_sessions(terms: Terms, call: Call) -> None:
    """Have everyone of the provider sign in again."""
    await revoke_issued_before(
        call.change,
        account=call.account,
        target=terms.provider.arn,
        now=call.now,
        settling=SETTLING,
        reason="many people were removed from a group",
    )


async def list_memberships(
    call: Call, *, group_ids: Collection[str] = (), user_ids: Collection[str] = ()
) -> Sequence[Membership]:
    """The memberships of these groups or of these users, for one answer.

    Raises:
        ScimRefused: they are too many.
    """
    memberships = await list_provisioned_memberships(
        call.directory,
        call.account,
        group_ids=group_ids,
        user_ids=user_ids,
        limit=_MEMBERSHIPS_MAX + 1,
    )
    if len(memberships) > _MEMBERSHIPS_MAX:
        kind, attribute = ("groups", "members") if group_ids else ("users", "groups")
        raise ScimRefused(
            ScimRejected(
                f"These {kind} have too many {attribute} for one answer: ask for fewer"
                f" {kind}, or with excludedAttributes={attribute}.",
                "tooMany",
            )
        )
    return memberships


def note(call: Call, **view: object) -> None:
    """Add to the call's record what it was about."""
    call.record.parameters = {**call.record.parameters, **view}


def check_version(params: Params, version: int) -> None:
    """Refuse a change that is meant for another version.

    Raises:
        ScimRefused: ``If-Match`` names another one.
    """
    wanted: str = params.get(IF_MATCH, "")
    if not wanted or wanted.strip() == "*":
        return
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in wanted.split(",")}
    if str(version) not in tags:
        raise ScimRefused(
            ScimRejected("The resource has another version.", status=CHANGED)
        )


def read(name: str, handle: Handle) -> Action:
    """An operation that changes nothing."""
    return _action(name, handle, writes=False)


def change(name: str, handle: Handle) -> Action:
    """An operation that runs inside a transaction."""
    return _action(name, handle, writes=True)


def shown(resource: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """The result of an operation on one resource."""
    return {SHOWN: resource, VERSION: version}


def _action(name: str, handle: Handle, *, writes: bool) -> Action:
    return Action(
        service=SERVICE,
        name=name,
        handle=handle,
        needs=needs_nothing,
        writes=writes,
        audited=(ID,),
    )


async def _discover(params: Params, call: Call) -> None:
    await get_terms(params, call)


DISCOVER = read("GetServiceProviderConfig", _discover)
"""What precedes everything that is the same for everyone."""
