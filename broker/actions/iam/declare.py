"""Declares IAM's actions, one row each.

A row names the action, its handler, what it is done *on* (a target from `targets`)
and the condition keys that it brings besides. The rest is the same for all: who may
call IAM at all, what a request with tags brings and needs, and members of the model
that the broker does not honour, which are refused by name.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct, structs
from msgspec.structs import replace

from broker.actions.action import Action, Call, Handle, Prepare
from broker.actions.iam.paging import with_own_markers
from broker.errors import InvalidClientTokenId, UnsupportedOperation
from broker.model.principal import PrincipalType
from broker.model.request import Door, Params
from broker.model.session import SessionKind
from broker.permit.context import tag_context
from broker.permit.need import Need

Context = Mapping[str, tuple[str, ...]]

Setting = Callable[[Call], Awaitable[bool]]
"""Whether the account's settings permit something to all its users."""

_MAKING = re.compile(r"^(?:CreateVirtual|Create|Upload)")
"""The verbs of actions that create something."""

# Parameters that hold no secret and say what was done. Metadata documents are left
# out for their size, private keys for what they are.
_SHOWN = (
    "AccessKeyId",
    "AWSServiceName",
    "AccountAlias",
    "AssertionEncryptionMode",
    "AssumeRolePolicyDocument",
    "CertificateId",
    "ClientID",
    "ClientIDList",
    "CustomSuffix",
    "DeletionTaskId",
    "Description",
    "GroupName",
    "InstanceProfileName",
    "MaxSessionDuration",
    "Name",
    "NewGroupName",
    "NewPath",
    "NewServerCertificateName",
    "NewUserName",
    "OpenIDConnectProviderArn",
    "Path",
    "PathPrefix",
    "PermissionsBoundary",
    "PolicyArn",
    "PolicyDocument",
    "PolicyName",
    "RemovePrivateKey",
    "RoleName",
    "SAMLProviderArn",
    "SSHPublicKeyId",
    "SetAsDefault",
    "SerialNumber",
    "ServerCertificateName",
    "ServiceName",
    "ServiceSpecificCredentialId",
    "Status",
    "TagKeys",
    "Tags",
    "ThumbprintList",
    "Url",
    "UserName",
    "VersionId",
    "VirtualMFADeviceName",
)


class ActionTarget(Struct, frozen=True):
    """The entity a call acts on: ARN, condition keys of its tags, its boundary.

    ``shown`` replaces the ARN in refusals: built from the request alone, it reveals
    neither the path nor whether the entity exists.
    """

    arn: str
    context: Context = {}
    boundary_arn: str | None = None
    shown: str | None = None


Target = Callable[[Params, Call], Awaitable[ActionTarget]]
"""Finds what a call acts on; never raises for something that is not there."""

FurtherTarget = Callable[[Params, Call, ActionTarget], ActionTarget | None]
"""What a call acts on besides its target, if anything."""

Keys = Callable[[Params, ActionTarget], Context]
"""Further condition keys of a call."""


def read(name: str, handle: Handle, on: Target, *keys: Keys, calls: int = 1) -> Action:
    """An action that changes nothing; ``calls`` as in `Action`."""
    return Action(
        service="iam",
        name=name,
        handle=with_own_markers(name, handle),
        needs=_needs(name, on, keys),
        audited=_SHOWN,
        calls=calls,
        lists=True,
    )


def change(
    name: str,
    handle: Handle,
    on: Target,
    *keys: Keys,
    also: FurtherTarget | None = None,
    unsupported: tuple[str, ...] = (),
    prepare: Prepare | None = None,
    calls: int = 1,
) -> Action:
    """An action that runs inside a transaction.

    ``also`` names something else that the caller must be allowed to act on.
    ``unsupported`` are members of the input that are refused when given. ``prepare``
    runs before the transaction; ``calls`` is as in `Action`.
    """
    return Action(
        service="iam",
        name=name,
        handle=_in_whole_seconds(
            _refusing(name, handle, unsupported) if unsupported else handle
        ),
        needs=_needs(name, on, keys, also),
        writes=True,
        audited=_SHOWN,
        prepare=prepare,
        calls=calls,
    )


def granted_if(setting: Setting, action: Action) -> Action:
    """An action that an account setting can permit to all its users."""

    async def needs(params: Params, call: Call) -> tuple[Need, ...]:
        needed = await action.needs(params, call)
        if call.caller.principal.type is not PrincipalType.USER:
            return needed
        if not await setting(call):
            return needed
        return tuple(structs.replace(need, granted=True) for need in needed)

    return replace(action, needs=needs)


def _needs(
    name: str, on: Target, keys: tuple[Keys, ...], also: FurtherTarget | None = None
) -> Callable[[Any, Call], Awaitable[tuple[Need, ...]]]:
    tagging = _MAKING.sub("Tag", name)

    async def needs(params: Params, call: Call) -> tuple[Need, ...]:
        _require_iam_caller(call)
        target = await on(params, call)
        tags = _request_tags(params)
        context = {**target.context, **tags}
        for more in keys:
            context.update(more(params, target))
        need = Need(
            action=f"iam:{name}",
            resource=target.arn,
            account=call.account,
            context=context,
            shown=target.shown,
        )
        needed = [need]
        further = None if also is None else also(params, call, target)
        if further is not None:
            needed.append(
                structs.replace(need, resource=further.arn, shown=further.shown)
            )
        if tags and tagging != name:
            tagged = {**target.context, **tags}
            needed.append(
                structs.replace(need, action=f"iam:{tagging}", context=tagged)
            )
        return tuple(needed)

    return needs


def _request_tags(params: Params) -> Context:
    """``aws:RequestTag/…`` and ``aws:TagKeys`` of the tags in a request.

    Creating something with tags also needs the permission to tag it. Source: IAM User
    Guide, "Tags for IAM resources".
    """
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
    if not tags:
        return {}
    return {**tag_context("aws:requesttag", tags), "aws:tagkeys": tuple(tags)}


def _in_whole_seconds(handle: Handle) -> Handle:
    """IAM keeps and shows times without fractions, as AWS does."""

    async def run(params: Params, call: Call) -> Mapping[str, Any] | None:
        now = call.now.replace(microsecond=0)
        return await handle(params, structs.replace(call, now=now))

    return run


def _refusing(name: str, handle: Handle, unsupported: tuple[str, ...]) -> Handle:
    async def refuse(params: Params, call: Call) -> Mapping[str, Any] | None:
        for member in unsupported:
            if member in params:
                raise UnsupportedOperation(
                    f"The parameter {member} of {name} is not supported."
                )
        return await handle(params, call)

    return refuse


def _require_iam_caller(call: Call) -> None:
    """Keep out the sessions that may not call IAM.

    Source: IAM User Guide, id_credentials_sts-comparison.
    """
    session = call.caller.session
    if session is None:
        return
    if session.kind is SessionKind.SESSION_TOKEN and session.mfa_at is None:
        raise InvalidClientTokenId(
            detail="GetSessionToken credentials call IAM only with MFA"
        )
    if session.kind is SessionKind.FEDERATION_TOKEN and call.request.door is Door.API:
        raise InvalidClientTokenId(
            detail="GetFederationToken credentials do not call the IAM API"
        )
