"""What must be allowed before a portal sign-in can use a role.

The action is the one for how the person signed in.
"""

from broker.actions.sts.federated_roles import identity_tags
from broker.actions.sts.roles import role_needs
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.principal import PrincipalType
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.sessions.portal import OpenPortal
from broker.sessions.tags import NO_TAGS

_KINDS = {
    PrincipalType.SAML: SessionKind.SAML,
    PrincipalType.WEB_IDENTITY: SessionKind.WEB_IDENTITY,
    PrincipalType.LDAP: SessionKind.LDAP,
}


def role_permissions(portal: OpenPortal, role: Role) -> tuple[Need, ...]:
    """What a role's trust policy, and an IAM user's own policies, must allow."""
    found = portal.roles.find(role.account, role.name)
    if found is None:
        given = {"RoleArn": role.arn, "RoleSessionName": portal.session.name}
        return role_needs(
            f"sts:{SessionKind.ASSUME_ROLE.value}",
            given,
            role,
            tags=NO_TAGS,
            source_identity=None,
            context={},
            calling=portal.session,
        )
    identity = found[1]
    return role_needs(
        f"sts:{session_kind_of(identity).value}",
        {"RoleArn": role.arn, "RoleSessionName": session_name_of(identity)},
        role,
        tags=identity_tags(identity),
        source_identity=identity.source_identity,
        context={},
    )


def session_kind_of(identity: FederatedIdentity) -> SessionKind:
    """The kind of session that such a proof opens."""
    return _KINDS[identity.principal.type]


def session_name_of(identity: FederatedIdentity) -> str:
    """The role session name: the person's."""
    return identity.session_name or identity.subject
