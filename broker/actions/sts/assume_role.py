"""``AssumeRole``: a signed caller takes a role's session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import AccessDenied
from broker.model.principal import PrincipalType
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.proofs.mfa import MfaVerifier
from broker.sessions.lineage import lineage_from
from broker.sessions.source_identity import require_source_identity
from broker.sessions.tags import NO_TAGS, SessionTags, require_session_tags
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types

_SHOWN_NOW = {"aws:multifactorauthpresent": ("true",), "aws:multifactorauthage": ("0",)}


def assume_role(fresh: FreshDirectory, minter: RoleMinter, mfa: MfaVerifier) -> Action:
    """The action, given what it works with."""

    async def needs(params: types.AssumeRoleRequest, call: Call) -> tuple[Need, ...]:
        role = await find_role(fresh, params["RoleArn"])
        _refuse_kinds(call, params["RoleArn"])
        mfa_at = await mfa.verify(
            call.caller, params.get("SerialNumber"), params.get("TokenCode"), call.now
        )
        return role_needs(
            "sts:AssumeRole",
            params,
            role,
            tags=_tags(params, call),
            source_identity=params.get("SourceIdentity"),
            context=_SHOWN_NOW if mfa_at is not None else {},
            calling=call.caller.session,
        )

    async def handle(params: types.AssumeRoleRequest, call: Call) -> Mapping[str, Any]:
        calling = call.caller.session
        minted, answer = await minter.mint(
            params,
            call,
            RoleRequest(
                kind=SessionKind.ASSUME_ROLE,
                role=call.trusted_role,
                session_name=params["RoleSessionName"],
                tags=_tags(params, call),
                source_identity=require_source_identity(
                    params.get("SourceIdentity"), calling
                ),
                lineage=lineage_from(call.caller),
                calling=calling,
                parent_key_id=call.caller.access_key_id,
                mfa_at=int(call.now.timestamp()) if "TokenCode" in params else None,
            ),
        )
        if params.get("Policy") or params.get("PolicyArns") or minted.session.tags:
            answer["PackedPolicySize"] = minted.packed_policy_size
        return answer

    return Action(
        service="sts",
        name="AssumeRole",
        needs=needs,
        handle=handle,
        audited=(
            "RoleArn",
            "RoleSessionName",
            "DurationSeconds",
            "PolicyArns",
            "Tags",
            "TransitiveTagKeys",
            "SourceIdentity",
            "SerialNumber",
        ),
    )


def _tags(params: types.AssumeRoleRequest, call: Call) -> SessionTags:
    if "Tags" not in params and "TransitiveTagKeys" not in params:
        return NO_TAGS
    return require_session_tags(
        [(tag["Key"], tag["Value"]) for tag in params.get("Tags", ())],
        params.get("TransitiveTagKeys", ()),
        calling=call.caller.session,
    )


def _refuse_kinds(call: Call, role_arn: str) -> None:
    """Refuse callers that may assume no role at all.

    Source: IAM User Guide, id_credentials_sts-comparison; recorded answers (REC-A).
    """
    principal = call.caller.principal
    if principal.type is PrincipalType.ACCOUNT:
        raise AccessDenied("Roles may not be assumed by root accounts.")
    if principal.type is PrincipalType.FEDERATED_USER:
        raise AccessDenied(
            _denial(call, role_arn),
            detail="GetFederationToken credentials cannot assume roles",
        )


def _denial(call: Call, role_arn: str) -> str:
    return (
        f"User: {call.caller.principal.arn} is not authorized to perform:"
        f" sts:AssumeRole on resource: {role_arn}"
    )
