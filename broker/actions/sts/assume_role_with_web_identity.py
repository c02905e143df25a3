"""``AssumeRoleWithWebIdentity``: an ID token in, a role's session out. Unsigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call, Proof
from broker.actions.sts.federated_mint import identity_tags, mint_federated
from broker.actions.sts.own_tokens import OwnTokens
from broker.actions.sts.role_mint import RoleMinter
from broker.actions.sts.roles import find_role, role_needs
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.stores.directory.fresh import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "AssumeRoleWithWebIdentity"


def assume_role_with_web_identity(
    fresh: FreshDirectory, minter: RoleMinter, own: OwnTokens
) -> Action:
    """The action, given what it works with."""

    async def needs(
        given: types.AssumeRoleWithWebIdentityRequest, call: Call
    ) -> tuple[Need, ...]:
        identity = call.federated
        role = await find_role(fresh, given["RoleArn"])
        return role_needs(
            f"sts:{_NAME}",
            given,
            role,
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context={},
        )

    async def handle(
        given: types.AssumeRoleWithWebIdentityRequest, call: Call
    ) -> Mapping[str, Any]:
        identity = call.federated
        answer = await mint_federated(
            minter,
            given,
            call,
            kind=SessionKind.WEB_IDENTITY,
            session_name=given["RoleSessionName"],
            lineage=await own.find_lineage(identity),
        )
        return answer | {
            "SubjectFromWebIdentityToken": identity.subject,
            "Provider": identity.provider_arn,
        }

    return Action(
        service="sts",
        name=_NAME,
        proof=Proof.WEB_IDENTITY,
        needs=needs,
        handle=handle,
        audited=(
            "RoleArn",
            "RoleSessionName",
            "ProviderId",
            "DurationSeconds",
            "PolicyArns",
        ),
    )
