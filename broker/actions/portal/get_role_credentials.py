"""``GetRoleCredentials``: a sign-in to the portal gives credentials of a role.

It is a mint like those of STS: the trust policy is evaluated for the action that
matches how the person signed in, and every check and record is the same. Only the
proof was used up before, by the sign-in.

Source: botocore's sso model.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.portal.role_choices import (
    RoleChoices,
    role_permissions,
    session_kind_of,
    session_name_of,
)
from broker.actions.sts.federated_roles import identity_tags
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.errors import AccessDenied, ExpiredToken
from broker.model.federated import FederatedIdentity
from broker.model.session import Session, SessionKind
from broker.permit.need import Need
from broker.sessions.lineage import descend, descend_as, find_end, trace_token
from broker.sessions.portal import OpenPortal
from broker.sessions.tags import NO_TAGS
from broker.stores.directory.readings import FreshDirectory

NO_ACCESS = "No access"
_MILLISECONDS = 1000


class RoleCredentialsRequest(TypedDict):
    """The role, and the sign-in that asks for it."""

    roleName: str
    accountId: str
    SignIn: OpenPortal


class GetRoleCredentials:
    """The handler, with what it needs."""

    def __init__(
        self, choices: RoleChoices, minter: RoleMinter, fresh: FreshDirectory
    ) -> None:
        self._choices = choices
        self._fresh = fresh
        self._minter = minter

    def action(self) -> Action:
        """The declaration."""
        return Action(
            service="sso",
            name="GetRoleCredentials",
            needs=self._needs,
            handle=self._handle,
            audited=("roleName", "accountId"),
        )

    async def _needs(
        self, params: RoleCredentialsRequest, call: Call
    ) -> tuple[Need, ...]:
        portal = params["SignIn"]
        call.record.access_key_id = portal.session.access_key_id
        role = await self._choices.find(portal, params["accountId"], params["roleName"])
        if role is None:
            raise AccessDenied(NO_ACCESS, detail="the sign-in named no such role")
        return role_permissions(portal, role)

    async def _handle(
        self, params: RoleCredentialsRequest, call: Call
    ) -> Mapping[str, Any]:
        portal, role = params["SignIn"], call.trusted_role
        named = portal.roles.find(role.account, role.name)
        wanted = RoleRequest(
            kind=SessionKind.ASSUME_ROLE,
            role=role,
            session_name=portal.session.name,
            tags=NO_TAGS,
            source_identity=None,
            lineage=descend(portal.session),
            calling=portal.session,
            parent_key_id=portal.session.access_key_id,
            ends_at=portal.ends_at,
        )
        if named is not None:
            wanted = _of_identity(wanted, named[1], portal.session)
            await self._require_live(wanted, named[1], call)
        _, answer = await self._minter.mint(
            {"DurationSeconds": role.max_session_duration_seconds}, call, wanted
        )
        credentials = answer["Credentials"]
        ends_at: datetime = credentials["Expiration"]
        return {
            "roleCredentials": {
                "accessKeyId": credentials["AccessKeyId"],
                "secretAccessKey": credentials["SecretAccessKey"],
                "sessionToken": credentials["SessionToken"],
                "expiration": int(ends_at.timestamp() * _MILLISECONDS),
            }
        }

    async def _require_live(
        self, wanted: RoleRequest, identity: FederatedIdentity, call: Call
    ) -> None:
        """Refuse what the identity's own account has ended.

        The sign-in itself may have begun in another account, and go on there.
        """
        traces = trace_token(
            wanted.lineage,
            wanted.role.account,
            int(call.now.timestamp() * _MILLISECONDS),
            providers=(identity.provider_id, identity.provider_arn),
        )
        why = await find_end(traces, self._fresh)
        if why:
            raise ExpiredToken(detail=why)


def _of_identity(
    wanted: RoleRequest, identity: FederatedIdentity, sign_in: Session
) -> RoleRequest:
    """The same as the identity that a provider proved."""
    return replace(
        wanted,
        kind=session_kind_of(identity),
        session_name=session_name_of(identity),
        tags=identity_tags(identity),
        source_identity=identity.source_identity,
        lineage=descend_as(sign_in, identity),
        calling=None,
        identity=identity,
    )
