"""Policies of roles, users and groups: inline and attached ones, and boundaries.

They work the same for all, permissions boundaries for roles and users.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import Keys, Target, change, read
from broker.actions.iam.paging import listed
from broker.actions.iam.views import encoded
from broker.kinds import owners
from broker.kinds.accounts import require_account
from broker.kinds.groups import GROUPS
from broker.kinds.names import (
    parse_policy_arn,
)
from broker.kinds.roles import ROLES
from broker.kinds.rules import Named
from broker.kinds.users import USERS
from broker.model.request import Params
from broker.stores.directory.policies import list_attachments, list_inline_policies

Answer = Mapping[str, Any]


class OwnerOperations(Struct, frozen=True):
    """The handlers of one kind of owner, to be declared under their names.

    ``held`` are condition keys of what the owner has already.
    """

    of: Named[Any]
    target: Target
    held: tuple[Keys, ...] = (on.boundary_held,)

    def inline(
        self, putting: str, getting: str, listing: str, deleting: str
    ) -> tuple[Action, ...]:
        """The operations on inline policies."""
        return (
            change(putting, self._put, self.target, *self.held),
            read(getting, self._get, self.target),
            read(listing, self._list_names, self.target),
            change(deleting, self._delete, self.target, *self.held),
        )

    def attached(
        self, attaching: str, detaching: str, listing: str
    ) -> tuple[Action, ...]:
        """The operations on attachments of managed policies."""
        return (
            change(attaching, self._attach, self.target, on.policy_arn, *self.held),
            change(detaching, self._detach, self.target, on.policy_arn, *self.held),
            read(listing, self._list_attached, self.target),
        )

    def bounded(self, putting: str, deleting: str) -> tuple[Action, ...]:
        """The operations on the permissions boundary."""
        return (
            change(putting, self._put_boundary, self.target, on.boundary_asked),
            change(deleting, self._delete_boundary, self.target, on.boundary_held),
        )

    async def _find(self, params: Params, call: Call) -> Any:  # noqa: ANN401  # any owner
        name = params[self.of.name]
        return await self.of.require(call.directory, call.account, name)

    async def _put(self, params: Params, call: Call) -> None:
        await owners.put_inline_policy(
            call.change,
            await require_account(call.change, call.account),
            await self._find(params, call),
            params["PolicyName"],
            params["PolicyDocument"],
        )

    async def _get(self, params: Params, call: Call) -> Answer:
        owner, name = await self._find(params, call), params["PolicyName"]
        policy = await owners.require_inline_policy(call.directory, owner, name)
        return {
            self.of.name: owner.name,
            "PolicyName": name,
            "PolicyDocument": encoded(policy.document),
        }

    async def _list_names(self, params: Params, call: Call) -> Answer:
        owner_id = owners.owner_id(await self._find(params, call))
        policies = await list_inline_policies(call.directory, call.account, owner_id)
        names = [policy.name for policy in policies]
        return listed("PolicyNames", names, str, params, str)

    async def _delete(self, params: Params, call: Call) -> None:
        owner = await self._find(params, call)
        await owners.delete_inline_policy(call.change, owner, params["PolicyName"])

    async def _attach(self, params: Params, call: Call) -> None:
        await owners.attach_policy(
            call.change,
            await require_account(call.change, call.account),
            await self._find(params, call),
            params["PolicyArn"],
        )

    async def _detach(self, params: Params, call: Call) -> None:
        owner = await self._find(params, call)
        await owners.detach_policy(call.change, owner, params["PolicyArn"])

    async def _list_attached(self, params: Params, call: Call) -> Answer:
        owner_id = owners.owner_id(await self._find(params, call))
        prefix = params.get("PathPrefix", "/")
        arns = await list_attachments(call.directory, call.account, owner_id)
        attached = [(parse_policy_arn(arn), arn) for arn in arns]
        return listed(
            "AttachedPolicies",
            [(p, arn) for p, arn in attached if p.path.startswith(prefix)],
            # An AWS-managed policy may have the name of one of the account's own.
            lambda item: f"{item[0].name.lower()}/{item[1]}",
            params,
            lambda item: {"PolicyName": item[0].name, "PolicyArn": item[1]},
        )

    async def _put_boundary(self, params: Params, call: Call) -> None:
        owner = await self._find(params, call)
        arn = await owners.checked_boundary(
            call.change, call.account, params["PermissionsBoundary"]
        )
        await call.change.update(self.of.kind, replace(owner, boundary_arn=arn))

    async def _delete_boundary(self, params: Params, call: Call) -> None:
        owner = await self._find(params, call)
        await call.change.update(self.of.kind, replace(owner, boundary_arn=None))


_ROLE = OwnerOperations(ROLES, on.role)
_USER = OwnerOperations(USERS, on.user)
_GROUP = OwnerOperations(GROUPS, on.group, ())

OWNED_POLICIES = (
    *_ROLE.inline(
        "PutRolePolicy", "GetRolePolicy", "ListRolePolicies", "DeleteRolePolicy"
    ),
    *_USER.inline(
        "PutUserPolicy", "GetUserPolicy", "ListUserPolicies", "DeleteUserPolicy"
    ),
    *_GROUP.inline(
        "PutGroupPolicy", "GetGroupPolicy", "ListGroupPolicies", "DeleteGroupPolicy"
    ),
    *_ROLE.attached("AttachRolePolicy", "DetachRolePolicy", "ListAttachedRolePolicies"),
    *_USER.attached("AttachUserPolicy", "DetachUserPolicy", "ListAttachedUserPolicies"),
    *_GROUP.attached(
        "AttachGroupPolicy", "DetachGroupPolicy", "ListAttachedGroupPolicies"
    ),
    *_ROLE.bounded("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
    *_USER.bounded("PutUserPermissionsBoundary", "DeleteUserPermissionsBoundary"),
)
