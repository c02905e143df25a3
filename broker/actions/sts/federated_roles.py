"""Roles for identities from outside: an assertion, an ID token or a directory password.

The exchanges are unsigned; a proof is verified and the role's trust policy allows it.
``AssumeRoleWithLDAPIdentity`` is none of AWS's: name and parameters are MinIO's. The
sign-in pages perform it for people; programs may call it for providers whose option of
the same name is set.

Source: MinIO, "AssumeRoleWithLDAPIdentity".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, Proof
from broker.actions.sts.own_tokens import OwnTokens
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import AccessDenied, InvalidIdentityToken
from broker.model.federated import FederatedIdentity
from broker.model.lineage import Lineage
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.runtime.bounded import remembered
from broker.sessions.lineage import lineage_of_proof
from broker.sessions.tags import NO_TAGS, SessionTags, require_session_tags
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types


_session_tags = remembered()(require_session_tags)
"""A call asks twice, and a machine's certificate says the same each time."""

_WITH_SAML = "AssumeRoleWithSAML"
RESERVED_ROLES = "AWSReservedSSO_"
_WITH_WEB_IDENTITY = "AssumeRoleWithWebIdentity"
NO_ROLE = "None of your groups in the directory is mapped to a role here."
_WITH_LDAP_IDENTITY = "AssumeRoleWithLDAPIdentity"
_ANSWERED = ("Credentials", "AssumedRoleUser", "PackedPolicySize")


def identity_tags(identity: FederatedIdentity) -> SessionTags:
    """The tags that an identity provider passes, held to the rules of all tags."""
    if not identity.tags and not identity.transitive_keys:
        return NO_TAGS
    return _session_tags(tuple(identity.tags.items()), identity.transitive_keys)


async def mint_federated(
    minter: RoleMinter,
    params: Mapping[str, Any],
    call: Call,
    *,
    kind: SessionKind,
    session_name: str,
    lineage: Lineage | None = None,
) -> dict[str, Any]:
    """Mint the session, and answer with the members that both answers have.

    ``lineage`` is that of a token of the broker's own.
    """
    identity = call.federated
    minted, answer = await minter.mint(
        params,
        call,
        RoleRequest(
            kind=kind,
            role=call.trusted_role,
            session_name=session_name,
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            identity=identity,
            lineage=lineage or lineage_of_proof(identity, call.now),
        ),
    )
    return answer | {
        "PackedPolicySize": minted.packed_policy_size,
        "Audience": identity.audience,
    }


def assume_role_with_saml(fresh: FreshDirectory, minter: RoleMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        params: types.AssumeRoleWithSAMLRequest, call: Call
    ) -> tuple[Need, ...]:
        role = await find_role(fresh, params["RoleArn"])
        if role is not None and role.name.startswith(RESERVED_ROLES):
            role = None
        identity = call.federated
        return role_needs(
            f"sts:{_WITH_SAML}",
            params,
            role,
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context={"sts:rolesessionname": (_name_in_assertion(identity),)},
        )

    async def handle(
        params: types.AssumeRoleWithSAMLRequest, call: Call
    ) -> Mapping[str, Any]:
        identity = call.federated
        answer = await mint_federated(
            minter,
            params,
            call,
            kind=SessionKind.SAML,
            session_name=_name_in_assertion(identity),
        )
        return answer | {
            "Subject": identity.subject,
            "SubjectType": identity.subject_type,
            "Issuer": identity.issuer,
            "NameQualifier": identity.name_qualifier,
        }

    return Action(
        service="sts",
        name=_WITH_SAML,
        proof=Proof.SAML,
        needs=needs,
        handle=handle,
        audited=("RoleArn", "PrincipalArn", "DurationSeconds", "PolicyArns"),
    )


def _name_in_assertion(identity: FederatedIdentity) -> str:
    if identity.session_name is None:
        raise InvalidIdentityToken("RoleSessionName is required in AuthnResponse")
    return identity.session_name


def assume_role_with_web_identity(
    fresh: FreshDirectory, minter: RoleMinter, own: OwnTokens
) -> Action:
    """The action, given what it works with."""

    async def needs(
        params: types.AssumeRoleWithWebIdentityRequest, call: Call
    ) -> tuple[Need, ...]:
        identity = call.federated
        role = await find_role(fresh, params["RoleArn"])
        return role_needs(
            f"sts:{_WITH_WEB_IDENTITY}",
            params,
            role,
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context={},
        )

    async def handle(
        params: types.AssumeRoleWithWebIdentityRequest, call: Call
    ) -> Mapping[str, Any]:
        identity = call.federated
        answer = await mint_federated(
            minter,
            params,
            call,
            kind=SessionKind.WEB_IDENTITY,
            session_name=params["RoleSessionName"],
            lineage=await own.find_lineage(identity),
        )
        return answer | {
            "SubjectFromWebIdentityToken": identity.subject,
            "Provider": identity.provider_arn,
        }

    return Action(
        service="sts",
        name=_WITH_WEB_IDENTITY,
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


class AssumeRoleWithLDAPIdentityRequest(TypedDict):
    """Without a ``RoleArn``, the one role for the person's groups."""

    RoleArn: NotRequired[str]
    DurationSeconds: NotRequired[int]
    Policy: NotRequired[str]


def assume_role_with_ldap_identity(fresh: FreshDirectory, minter: RoleMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        params: AssumeRoleWithLDAPIdentityRequest, call: Call
    ) -> tuple[Need, ...]:
        identity = call.federated
        call.record.add_resource(identity.provider_arn)
        arn = params.get("RoleArn") or _only_role(identity)
        return role_needs(
            f"sts:{_WITH_LDAP_IDENTITY}",
            {**params, "RoleArn": arn, "RoleSessionName": _name_in_directory(identity)},
            await find_role(fresh, arn),
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            context={},
        )

    async def handle(
        params: AssumeRoleWithLDAPIdentityRequest, call: Call
    ) -> Mapping[str, Any]:
        identity = call.federated
        answer = await mint_federated(
            minter,
            params,
            call,
            kind=SessionKind.LDAP,
            session_name=_name_in_directory(identity),
        )
        return {name: answer[name] for name in _ANSWERED}

    return Action(
        service="sts",
        name=_WITH_LDAP_IDENTITY,
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


def _name_in_directory(identity: FederatedIdentity) -> str:
    if identity.session_name is None:
        raise InvalidIdentityToken(detail="the directory gave no name for the session")
    return identity.session_name
