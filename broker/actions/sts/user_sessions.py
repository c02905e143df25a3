"""Sessions of users and of root: ``GetSessionToken`` and ``GetFederationToken``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_sessions
from broker.actions.sts.regions import require_region
from broker.actions.sts.roles import minted_shape
from broker.actions.sts.session_policies import read_session_policies
from broker.errors import AccessDenied
from broker.model.arn import sts_arn
from broker.model.principal import PrincipalType
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.permit.context import tag_context
from broker.permit.need import Need
from broker.proofs.mfa import MfaVerifier
from broker.sessions.issue import (
    MintOrder,
    MintResult,
    SessionIssuer,
    new_access_key_id,
)
from broker.sessions.limits import session_duration
from broker.sessions.lineage import lineage_from, new_mint_id
from broker.sessions.tags import NO_TAGS, SessionTags, require_session_tags
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types

_OWN_SESSION = "GetSessionToken"
_LENT_SESSION = "GetFederationToken"


class UserRequest(Struct, frozen=True, kw_only=True):
    """A permitted request for a session that the caller's own key makes."""

    kind: SessionKind
    name: str
    principal_arn: str
    policies: tuple[SessionPolicies, ...] = ()
    tags: SessionTags = NO_TAGS
    mfa_at: int | None = None


class UserMinter:
    """Makes sessions that end with the long-term key that made them."""

    def __init__(self, fresh: FreshDirectory, issuer: SessionIssuer) -> None:
        self._fresh = fresh
        self._issuer = issuer

    async def mint(
        self, params: Mapping[str, Any], call: Call, request: UserRequest
    ) -> tuple[MintResult, dict[str, Any]]:
        """The mint, and the members that the answers share.

        Raises:
            ValidationError, PackedPolicyTooLarge, RegionDisabled: a rule is broken.
            ServiceUnavailable: the database is away; nothing was minted.
        """
        principal = call.caller.principal
        account = await self._fresh.find(ACCOUNT, call.account)
        if account is None:
            raise AccessDenied(detail=f"the account {call.account} no longer exists")
        require_region(account, call)
        order = MintOrder(
            session=Session(
                access_key_id=new_access_key_id(account.account_id),
                mint_id=new_mint_id(),
                issued_at_ms=int(call.now.timestamp() * 1000),
                expires_at=int(call.now.timestamp())
                + session_duration(
                    request.kind,
                    params.get("DurationSeconds"),
                    now=call.now,
                    is_root=principal.type is PrincipalType.ACCOUNT,
                ),
                account=account.account_id,
                kind=request.kind,
                principal_id=principal.unique_id,
                name=request.name,
                parent_key_id=call.caller.access_key_id,
                policies=request.policies,
                tags=request.tags.tags,
                mfa_at=request.mfa_at,
                lineage=lineage_from(call.caller),
            ),
            account_salt=account.session_salt,
            principal_arn=request.principal_arn,
            now=call.now,
            least_token_characters=params.get("MinimumSessionTokenSize", 0),
        )
        minted = await self._issuer.issue(order, call.record)
        return minted, {
            **minted_shape(minted.credentials),
        }


def get_session_token(minter: UserMinter, mfa: MfaVerifier) -> Action:
    """The action, given what it works with."""

    async def needs(
        _given: types.GetSessionTokenRequest, call: Call
    ) -> tuple[Need, ...]:
        """No permission is needed, and no policy can refuse it."""
        refuse_sessions(call, _OWN_SESSION)
        return ()

    async def handle(
        params: types.GetSessionTokenRequest, call: Call
    ) -> Mapping[str, Any]:
        mfa_at = await mfa.verify(
            call.caller, params.get("SerialNumber"), params.get("TokenCode"), call.now
        )
        _, answer = await minter.mint(
            params,
            call,
            UserRequest(
                kind=SessionKind.SESSION_TOKEN,
                name="",
                principal_arn=call.caller.principal.arn,
                mfa_at=mfa_at,
            ),
        )
        return answer

    return Action(
        service="sts",
        name=_OWN_SESSION,
        needs=needs,
        handle=handle,
        audited=("DurationSeconds", "SerialNumber"),
    )


def get_federation_token(minter: UserMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        params: types.GetFederationTokenRequest, call: Call
    ) -> tuple[Need, ...]:
        refuse_sessions(call, _LENT_SESSION)
        tags = _tags(params)
        context = {**tag_context("aws:requesttag", tags.tags)}
        if tags.tags:
            context["aws:tagkeys"] = tuple(tags.tags)
        if "DurationSeconds" in params:
            context["sts:durationseconds"] = (str(params["DurationSeconds"]),)
        actions = [f"sts:{_LENT_SESSION}"]
        if tags.tags:
            actions.append("sts:TagSession")
        return tuple(
            Need(
                action=action,
                resource=_arn(params, call),
                account=call.account,
                context=context,
            )
            for action in actions
        )

    async def handle(
        params: types.GetFederationTokenRequest, call: Call
    ) -> Mapping[str, Any]:
        policies = await read_session_policies(params, call.account, call.directory)
        tags = _tags(params)
        minted, answer = await minter.mint(
            params,
            call,
            UserRequest(
                kind=SessionKind.FEDERATION_TOKEN,
                name=params["Name"],
                principal_arn=_arn(params, call),
                policies=policies,
                tags=tags,
            ),
        )
        answer["FederatedUser"] = {
            "FederatedUserId": f"{call.account}:{params['Name']}",
            "Arn": _arn(params, call),
        }
        # Recorded: it is there without policies and tags, too.
        answer["PackedPolicySize"] = minted.packed_policy_size
        return answer

    return Action(
        service="sts",
        name=_LENT_SESSION,
        needs=needs,
        handle=handle,
        audited=("Name", "DurationSeconds", "PolicyArns", "Tags"),
    )


def _arn(params: types.GetFederationTokenRequest, call: Call) -> str:
    return sts_arn(call.account, f"federated-user/{params['Name']}")


def _tags(params: types.GetFederationTokenRequest) -> SessionTags:
    return require_session_tags(
        [(tag["Key"], tag["Value"]) for tag in params.get("Tags", ())]
    )
