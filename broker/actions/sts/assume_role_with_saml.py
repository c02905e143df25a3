"""``AssumeRoleWithSAML``: a SAML assertion in, a role's session out. Unsigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call, Proof
from broker.actions.sts.federated_mint import identity_tags, mint_federated
from broker.actions.sts.role_mint import RoleMinter
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import InvalidIdentityToken
from broker.model.federated import FederatedIdentity
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.stores.directory.fresh import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "AssumeRoleWithSAML"
RESERVED_ROLES = "AWSReservedSSO_"


def assume_role_with_saml(fresh: FreshDirectory, minter: RoleMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        given: types.AssumeRoleWithSAMLRequest, call: Call
    ) -> tuple[Need, ...]:
        role = await find_role(fresh, given["RoleArn"])
        if role is not None and role.name.startswith(RESERVED_ROLES):
            role = None
        identity = call.federated
        return role_needs(
            f"sts:{_NAME}",
            given,
            role,
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context={"sts:rolesessionname": (_session_name(identity),)},
        )

    async def handle(
        given: types.AssumeRoleWithSAMLRequest, call: Call
    ) -> Mapping[str, Any]:
        identity = call.federated
        answer = await mint_federated(
            minter,
            given,
            call,
            kind=SessionKind.SAML,
            session_name=_session_name(identity),
        )
        return answer | {
            "Subject": identity.subject,
            "SubjectType": identity.subject_type,
            "Issuer": identity.issuer,
            "NameQualifier": identity.name_qualifier,
        }

    return Action(
        service="sts",
        name=_NAME,
        proof=Proof.SAML,
        needs=needs,
        handle=handle,
        audited=("RoleArn", "PrincipalArn", "DurationSeconds", "PolicyArns"),
    )


def _session_name(identity: FederatedIdentity) -> str:
    if identity.session_name is None:
        raise InvalidIdentityToken("RoleSessionName is required in AuthnResponse")
    return identity.session_name
