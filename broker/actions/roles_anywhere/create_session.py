"""``CreateSession``: credentials for a role, in exchange for a certificate.

It acts like ``AssumeRole``, called by ``rolesanywhere.amazonaws.com``: the role's trust
policy is evaluated for that service, with the trust anchor as ``aws:SourceArn`` and the
certificate's attributes as tags. Credentials end no later than the certificates.

Source: IAM Roles Anywhere User Guide, "CreateSession".
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, Proof
from broker.actions.sts.federated_roles import identity_tags
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import AccessDenied, UnsupportedOperation
from broker.model.roles_anywhere import CertificateProfile
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.sessions.lineage import lineage_of_proof
from broker.stores.directory.readings import FreshDirectory

_UNSUPPORTED = ("cert", "instanceProperties")


class SessionRequest(TypedDict):
    """The input; ``Profile`` was added by the proof."""

    trustAnchorArn: str
    profileArn: str
    roleArn: str
    durationSeconds: NotRequired[int]
    roleSessionName: NotRequired[str]
    Profile: CertificateProfile


def create_session(fresh: FreshDirectory, minter: RoleMinter) -> Action:
    """The action, given what it works with."""

    async def needs(params: SessionRequest, call: Call) -> tuple[Need, ...]:
        profile, identity = params["Profile"], call.federated
        for name in _UNSUPPORTED:
            if params.get(name):
                raise UnsupportedOperation(f"The parameter {name} is not supported.")
        if params["roleArn"] not in profile.role_arns:
            raise AccessDenied(
                f"Unable to assume role for {params['roleArn']}",
                detail=f"the profile {profile.arn} does not have this role",
            )
        if "roleSessionName" in params and not profile.accepts_session_name:
            raise AccessDenied(
                "Not authorized to set roleSessionName.",
                detail=f"the profile {profile.arn} does not accept a roleSessionName",
            )
        return role_needs(
            "sts:AssumeRole",
            _as_assume_role(params, call),
            await find_role(fresh, params["roleArn"]),
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context=identity.context,
        )

    async def handle(params: SessionRequest, call: Call) -> Mapping[str, Any]:
        profile, identity = params["Profile"], call.federated
        asked = _as_assume_role(params, call)
        if profile.session_policy:
            asked["Policy"] = profile.session_policy
        asked["PolicyArns"] = [{"arn": arn} for arn in profile.managed_policy_arns]
        minted, answer = await minter.mint(
            asked,
            call,
            RoleRequest(
                kind=SessionKind.ASSUME_ROLE,
                role=call.trusted_role,
                session_name=asked["RoleSessionName"],
                tags=identity_tags(identity),
                source_identity=identity.source_identity,
                identity=identity,
                lineage=lineage_of_proof(identity, call.now),
            ),
        )
        user, credentials = answer["AssumedRoleUser"], answer["Credentials"]
        entry = {
            "assumedRoleUser": {
                "arn": user["Arn"],
                "assumedRoleId": user["AssumedRoleId"],
            },
            "credentials": {
                "accessKeyId": credentials["AccessKeyId"],
                "expiration": credentials["Expiration"],
                "secretAccessKey": credentials["SecretAccessKey"],
                "sessionToken": credentials["SessionToken"],
            },
            "packedPolicySize": minted.packed_policy_size,
            "roleArn": params["roleArn"],
        }
        if identity.source_identity is not None:
            entry["sourceIdentity"] = identity.source_identity
        return {"credentialSet": [entry], "subjectArn": identity.principal.arn}

    return Action(
        service="rolesanywhere",
        name="CreateSession",
        proof=Proof.CERTIFICATE,
        needs=needs,
        handle=handle,
        audited=(
            "trustAnchorArn",
            "profileArn",
            "roleArn",
            "durationSeconds",
            "roleSessionName",
        ),
    )


def _as_assume_role(params: SessionRequest, call: Call) -> dict[str, Any]:
    """The request as ``AssumeRole`` would get it."""
    most = params["Profile"].duration_seconds
    return {
        "RoleArn": params["roleArn"],
        "RoleSessionName": params.get("roleSessionName") or call.federated.session_name,
        "DurationSeconds": min(params.get("durationSeconds", most), most),
    }
