"""Managed policies and their versions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.paging import cut, listed, page_request, truncation
from broker.actions.iam.plain import Plain
from broker.kinds import managed_policies
from broker.kinds.accounts import require_account
from broker.kinds.managed_policies import (
    aws_managed_arns,
    require_aws_managed,
    require_managed_policy,
)
from broker.kinds.names import AWS_MANAGED
from broker.model.entities import ManagedPolicy
from broker.model.page import Page, PageRequest
from broker.model.request import Params
from broker.stores.directory.kinds import MANAGED_POLICY
from broker.stores.directory.policies import (
    list_attached_policies,
)

if TYPE_CHECKING:
    from broker.model.types import iam as types


_AWS_MARK = "aws:"
_OWN_MARK = "own:"

_HIGHEST = 10**18


async def _create_policy(
    params: types.CreatePolicyRequest, call: Call
) -> types.CreatePolicyResponse:
    policy = await managed_policies.create_policy(params, call.work)
    return {"Policy": views.created_policy(policy)}


async def _get_policy(
    params: types.GetPolicyRequest, call: Call
) -> types.GetPolicyResponse:
    policy = await managed_policies.require_managed_policy(
        call.directory, call.account, params["PolicyArn"]
    )
    if policy.account == AWS_MANAGED:
        (policy,) = await managed_policies.count_uses(
            call.directory, call.account, [policy]
        )
    return {"Policy": views.got_policy(policy)}


async def _list_policies(
    params: types.ListPoliciesRequest, call: Call
) -> types.ListPoliciesResponse:
    page = await _policies_page(params, call)
    # As recorded: the filter counts for attached policies only.
    usage = params.get("PolicyUsageFilter") if params.get("OnlyAttached") else None
    return {
        "Policies": [
            managed_policies.MANAGED_POLICIES.view(policy)
            for policy in page.items
            if _is_used(policy, usage)
        ],
        **truncation(page),
    }


async def _create_version(
    params: types.CreatePolicyVersionRequest, call: Call
) -> types.CreatePolicyVersionResponse:
    policy = await _PLAIN.get_own(params, call)
    make_default = params.get("SetAsDefault", False)
    version = await managed_policies.create_version(
        call.change,
        await require_account(call.change, call.account),
        policy,
        params["PolicyDocument"],
        make_default=make_default,
        now=call.now,
    )
    return {
        "PolicyVersion": {
            **views.listed_version(policy, version),
            "IsDefaultVersion": make_default,
        }
    }


async def _get_version(
    params: types.GetPolicyVersionRequest, call: Call
) -> types.GetPolicyVersionResponse:
    arn, version_id = params["PolicyArn"], params["VersionId"]
    policy = await managed_policies.find_managed_policy(
        call.directory, call.account, arn
    )
    if policy is None:
        raise managed_policies.missing_version(arn, version_id)
    version = await managed_policies.require_version(call.directory, policy, version_id)
    return {
        "PolicyVersion": {
            **views.listed_version(policy, version),
            "Document": views.encoded(version.document),
        }
    }


async def _list_versions(
    params: types.ListPolicyVersionsRequest, call: Call
) -> dict[str, Any]:
    policy = await managed_policies.require_managed_policy(
        call.directory, call.account, params["PolicyArn"]
    )
    versions = await managed_policies.list_versions(call.directory, policy)
    # Newest first: the order of a key that falls as the version's number rises.
    return listed(
        "Versions",
        versions,
        lambda version: f"{_HIGHEST - int(version.version_id[1:]):019d}",
        params,
        partial(views.listed_version, policy),
    )


async def _set_default_version(
    params: types.SetDefaultPolicyVersionRequest, call: Call
) -> None:
    policy = await _own_version(params, call)
    version = await managed_policies.require_version(
        call.change, policy, params["VersionId"]
    )
    await call.change.update(
        MANAGED_POLICY, replace(policy, default_version=version, updated_at=call.now)
    )


async def _delete_version(params: types.DeletePolicyVersionRequest, call: Call) -> None:
    policy = await _own_version(params, call)
    await managed_policies.delete_version(call.change, policy, params["VersionId"])


class _Policies(Plain[ManagedPolicy], frozen=True):
    """Those of AWS can be read, too."""

    async def find(self, params: Params, call: Call) -> ManagedPolicy:
        return await require_managed_policy(
            call.directory, call.account, params["PolicyArn"]
        )

    async def get_own(self, params: Params, call: Call) -> ManagedPolicy:
        return await managed_policies.require_own_policy(
            call.change, call.account, params["PolicyArn"]
        )


_PLAIN = _Policies(managed_policies.MANAGED_POLICIES, target=on.policy)


async def _own_version(params: Params, call: Call) -> ManagedPolicy:
    """The policy of a version; a missing one is answered like a missing version."""
    arn = params["PolicyArn"]
    if (
        await managed_policies.find_managed_policy(call.change, call.account, arn)
        is None
    ):
        raise managed_policies.missing_version(arn, params["VersionId"])
    return await _PLAIN.get_own(params, call)


def _is_used(policy: ManagedPolicy, usage: str | None) -> bool:
    """Whether a policy is in use the way that a filter asks for."""
    match usage:
        case "PermissionsBoundary":
            return policy.boundary_count > 0
        case "PermissionsPolicy":
            return policy.attachment_count > 0
        case _:
            return True


async def _policies_page(
    params: types.ListPoliciesRequest, call: Call
) -> Page[ManagedPolicy]:
    """AWS's policies first, then the account's; a marker says which are under way."""
    scope = params.get("Scope", "All")
    request = page_request(params)
    marker = request.marker or ""
    items: list[ManagedPolicy] = []
    if scope != "Local" and not marker.startswith(_OWN_MARK):
        page = await _aws_page(params, call, request)
        if scope == "AWS" or page.marker is not None:
            return page
        items.extend(page.items)
    if scope == "AWS":
        return Page((), None)
    if len(items) >= request.limit:
        return Page(tuple(items), _OWN_MARK)
    after = marker.removeprefix(_OWN_MARK) or None
    if not marker.startswith(_OWN_MARK) and scope != "Local":
        after = None
    path = params.get("PathPrefix", "/")
    rest = PageRequest(after, request.limit - len(items))
    own = await (
        list_attached_policies(call.directory, call.account, path, rest)
        if params.get("OnlyAttached", False)
        else call.directory.page_of(MANAGED_POLICY, call.account, rest, under=path)
    )
    return Page(
        (*items, *own.items), None if own.marker is None else _OWN_MARK + own.marker
    )


async def _aws_page(
    params: types.ListPoliciesRequest, call: Call, request: PageRequest
) -> Page[ManagedPolicy]:
    prefix = params.get("PathPrefix", "/")
    if params.get("OnlyAttached", False):
        used = await managed_policies.list_used_aws_managed(
            call.directory, call.account, prefix
        )
        arns = [policy.arn for policy in used]
    else:
        arns = aws_managed_arns(prefix)
    inner = None
    if request.marker is not None:
        inner = request.marker.removeprefix(_AWS_MARK)
    page = cut(arns, _aws_order(), PageRequest(inner, request.limit))
    policies = await managed_policies.count_uses(
        call.directory, call.account, [require_aws_managed(arn) for arn in page.items]
    )
    marker = None if page.marker is None else _AWS_MARK + page.marker
    return Page(tuple(policies), marker)


def _aws_order() -> Callable[[str], str]:
    """Keys in the order in which AWS lists its policies; unlisted ones come last."""
    places = {arn: place for place, arn in enumerate(aws_managed_arns())}
    last = len(places)
    return lambda arn: f"{places.get(arn, last):06d}/{arn}"


POLICIES = (
    change("CreatePolicy", _create_policy, on.new_policy),
    read("GetPolicy", _get_policy, on.policy),
    read("ListPolicies", _list_policies, on.policies),
    *_PLAIN.operations("DeletePolicy", "TagPolicy", "UntagPolicy", "ListPolicyTags"),
    change("CreatePolicyVersion", _create_version, on.policy),
    read("GetPolicyVersion", _get_version, on.policy),
    read("ListPolicyVersions", _list_versions, on.policy),
    change("SetDefaultPolicyVersion", _set_default_version, on.policy),
    change("DeletePolicyVersion", _delete_version, on.policy),
)
