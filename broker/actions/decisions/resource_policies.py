"""Policies of the resources of registered services."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from broker.actions.action import Call
from broker.actions.decisions.declare import change, everything, named_resource, read
from broker.actions.iam.paging import (
    page_request,
    truncation,
    with_own_markers,
)
from broker.kinds import resource_policies as policies
from broker.kinds.accounts import require_account
from broker.kinds.documents import shown_trust_policies
from broker.model.registered import ResourcePolicy
from broker.model.request import Params
from broker.stores.directory.kinds import RESOURCE_POLICY

if TYPE_CHECKING:
    from broker.model.types import broker as types


async def _put(params: types.PutResourcePolicyRequest, call: Call) -> None:
    await policies.put_resource_policy(
        call.change,
        await require_account(call.change, call.account),
        params["ResourceArn"],
        params["PolicyDocument"],
        call.now,
    )


async def _get(
    params: types.GetResourcePolicyRequest, call: Call
) -> types.GetResourcePolicyResponse:
    policy = await _require(params["ResourceArn"], call)
    (text,) = await shown_trust_policies(call.directory, [policy.document])
    return {"ResourcePolicy": {**_entry(policy), "PolicyDocument": text}}


async def _list(
    params: types.ListResourcePoliciesRequest, call: Call
) -> types.ListResourcePoliciesResponse:
    page = await call.directory.page_of(
        RESOURCE_POLICY, call.account, page_request(cast("Params", params))
    )
    return {
        "ResourcePolicies": [_entry(policy) for policy in page.items],
        **truncation(page),
    }


async def _delete(params: types.DeleteResourcePolicyRequest, call: Call) -> None:
    policy = await _require(params["ResourceArn"], call)
    await call.change.remove(RESOURCE_POLICY, policy)


async def _require(arn: str, call: Call) -> ResourcePolicy:
    return await policies.require_resource_policy(call.directory, call.account, arn)


def _entry(policy: ResourcePolicy) -> types.ResourcePolicy:
    return {
        "ResourceArn": policy.arn,
        "CreateDate": policy.created_at,
        "UpdateDate": policy.updated_at,
    }


RESOURCE_POLICIES = (
    change("PutResourcePolicy", _put, named_resource),
    read("GetResourcePolicy", _get, named_resource),
    read(
        "ListResourcePolicies",
        with_own_markers("ListResourcePolicies", _list),
        everything,
    ),
    change("DeleteResourcePolicy", _delete, named_resource),
)
