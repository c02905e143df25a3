"""``AssumeRoleWithLDAPIdentity``: a role's session for a directory password.

AWS has no such operation; name and parameters are MinIO's. The sign-in pages perform it
for people. Programs may call it for providers whose option of the same name is set.

Source: MinIO, "AssumeRoleWithLDAPIdentity".
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, Proof
from broker.actions.sts.federated_mint import identity_tags, mint_federated
from broker.actions.sts.role_mint import RoleMinter
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import AccessDenied, InvalidIdentityToken
from broker.model.federated import FederatedIdentity
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.stores.directory.fresh import FreshDirectory

NO_ROLE = "None of your groups in the directory is mapped to a role here."
_NAME = "AssumeRoleWithLDAPIdentity"
_ANSWERED = ("Credentials", "AssumedRoleUser", "PackedPolicySize")


class AssumeRoleWithLDAPIdentityRequest(TypedDict):
    """Without a ``RoleArn``, the one role for the person's groups."""

    RoleArn: NotRequired[str]
    DurationSeconds: NotRequired[int]
    Policy: NotRequired[str]


def assume_role_with_ldap_identity(fresh: FreshDirectory, minter: RoleMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        given: AssumeRoleWithLDAPIdentityRequest, call: Call
    ) -> tuple[Need, ...]:
        identity = call.federated
        arn = given.get("RoleArn") or _only_role(identity)
        return role_needs(
            f"sts:{_NAME}",
            {**given, "RoleArn": arn, "RoleSessionName": _session_name(identity)},
            await find_role(fresh, arn),
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context={},
        )

    async def handle(
        given: AssumeRoleWithLDAPIdentityRequest, call: Call
    ) -> Mapping[str, Any]:
        identity = call.federated
        answer = await mint_federated(
            minter,
            given,
            call,
            kind=SessionKind.LDAP,
            session_name=_session_name(identity),
        )
        return {name: answer[name] for name in _ANSWERED}

    return Action(
        service="sts",
        name=_NAME,
        proof=Proof.LDAP,
        needs=needs,
        handle=handle,
        audited=("RoleArn", "DurationSeconds"),
    )


def _only_role(identity: FederatedIdentity) -> str:
    """The role of a person whose groups have no other."""
    roles = sorted(identity.group_roles)
    if not roles:
        raise AccessDenied(NO_ROLE)
    if len(roles) > 1:
        raise AccessDenied(
            "Your groups in the directory are mapped to several roles: name one as"
            f" RoleArn, such as {roles[0]}."
        )
    return roles[0]


def _session_name(identity: FederatedIdentity) -> str:
    if identity.session_name is None:
        raise InvalidIdentityToken(detail="the directory gave no name for the session")
    return identity.session_name
