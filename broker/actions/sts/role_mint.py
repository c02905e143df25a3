"""The last step of every way to assume a role: rules of life, then the mint."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import Struct

from broker.actions.action import Call
from broker.actions.sts.proof_marks import proof_marks
from broker.actions.sts.regions import require_region
from broker.actions.sts.roles import (
    assumed_role_user,
    minted_shape,
)
from broker.actions.sts.session_policies import read_session_policies
from broker.actions.sts.upstream_mint import UpstreamMinter, UpstreamOrder
from broker.errors import AccessDenied, UnsupportedOperation
from broker.model.account import Account, AccountId
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.lineage import Lineage
from broker.model.request import Door
from broker.model.session import Session, SessionKind
from broker.runtime.batches import NEXT_TURN
from broker.sessions.issue import (
    MintOrder,
    MintResult,
    SessionIssuer,
    new_access_key_id,
)
from broker.sessions.issue_upstream import UpstreamIssuer
from broker.sessions.limits import console_duration, session_duration
from broker.sessions.lineage import new_mint_id
from broker.sessions.tags import SessionTags, inherit_tags
from broker.stores.directory.kinds import ACCOUNT, UPSTREAM
from broker.stores.directory.readings import FreshDirectory


class RoleRequest(Struct, frozen=True, kw_only=True):
    """A permitted request for a role's session.

    ``ends_at`` is the last instant of the sign-in that it is made from, if any.
    ``seconds`` is its life where a service takes up the role, for which the role's
    maximum does not count, and ``context`` the condition keys that such a session has.
    """

    kind: SessionKind
    role: Role
    session_name: str
    tags: SessionTags
    source_identity: str | None
    lineage: Lineage
    calling: Session | None = None
    identity: FederatedIdentity | None = None
    parent_key_id: str = ""
    mfa_at: int | None = None
    ends_at: datetime | None = None
    seconds: int | None = None
    context: Mapping[str, tuple[str, ...]] = {}


class RoleMinter:
    """Makes sessions of roles."""

    def __init__(
        self,
        fresh: FreshDirectory,
        issuer: SessionIssuer,
        upstream_issuer: UpstreamIssuer,
        upstreams: UpstreamMinter,
    ) -> None:
        self._fresh = fresh
        self._issuer = issuer
        self._upstream_issuer = upstream_issuer
        self._upstreams = upstreams

    async def mint(
        self, params: Mapping[str, Any], call: Call, request: RoleRequest
    ) -> tuple[MintResult, dict[str, Any]]:
        """The mint, and the members that the three answers share.

        Raises:
            ValidationError, MalformedPolicyDocument, PackedPolicyTooLarge: the
                request breaks a rule.
            InvalidIdentityToken: the proof was spent before.
            ServiceUnavailable: the database is away; nothing is spent.
        """
        if params.get(name := "ProvidedContexts"):
            raise UnsupportedOperation(f"The parameter {name} is not supported.")
        role, identity, calling = request.role, request.identity, request.calling
        now, proof = call.now, identity or calling
        account, has_upstreams = await self._read_account(role.account)
        if account is None:
            raise AccessDenied(detail=f"the account of {role.arn} no longer exists")
        require_region(account, call)
        chained = calling is not None and calling.kind.is_role
        ends_at = request.ends_at or (identity.session_ends_at if identity else None)
        duration = request.seconds or _duration(
            params, call, request, ends_at, chained=chained
        )
        policies = await read_session_policies(params, role.account, call.directory)
        tags = inherit_tags(request.tags, calling)
        if NEXT_TURN.calls > 1:
            await NEXT_TURN
        user = assumed_role_user(role.account, role, request.session_name)
        session = Session(
            access_key_id=new_access_key_id(role.account),
            mint_id=new_mint_id(),
            issued_at_ms=int(now.timestamp() * 1000),
            expires_at=int(now.timestamp()) + duration,
            account=role.account,
            kind=request.kind,
            principal_id=role.role_id,
            name=request.session_name,
            parent_key_id=request.parent_key_id,
            policies=policies,
            tags=tags.tags,
            transitive_keys=tags.transitive_keys,
            source_identity=request.source_identity,
            provider_arn=proof.provider_arn if proof else None,
            provider_id=proof.provider_id if proof else "",
            identity_context=identity.session_context if identity else request.context,
            mfa_at=request.mfa_at,
            chain_depth=calling.chain_depth + 1 if calling and chained else 0,
            ends_by=int(ends_at.timestamp()) if ends_at else None,
            lineage=request.lineage,
        )
        mark, second_use = (
            proof_marks(identity, call) if identity else (call.mark, None)
        )
        engine = await self._upstreams.find(role) if has_upstreams else None
        if engine is not None:
            order = UpstreamOrder(
                subject=role.arn,
                principal_arn=user["Arn"],
                session_name=request.session_name,
                # A service's sessions may be longer here, and not there.
                duration_seconds=min(duration, role.max_session_duration_seconds),
                tags=tags,
                source_identity=request.source_identity,
                policy=params.get("Policy"),
                policy_arns=policies[0].policy_arns if policies else (),
                now=now,
            )
            minted, from_engine = await self._upstream_issuer.issue(
                session,
                partial(self._upstreams.mint, engine, account, order),
                call.record,
                mark,
                second_use=second_use,
            )
            user = {"AssumedRoleId": from_engine.user_id, "Arn": from_engine.arn}
        else:
            minted = await self._issuer.issue(
                MintOrder(
                    session=session,
                    account_salt=account.session_salt,
                    principal_arn=user["Arn"],
                    now=now,
                    least_token_characters=params.get("MinimumSessionTokenSize", 0),
                ),
                call.record,
                mark,
                second_use=second_use,
                keep=call.keep,
            )
        shared: dict[str, Any] = {
            **minted_shape(minted.credentials),
            "AssumedRoleUser": user,
        }
        if request.source_identity is not None:
            shared["SourceIdentity"] = request.source_identity
        return minted, shared

    async def _read_account(self, account: AccountId) -> tuple[Account | None, bool]:
        """An account, and whether it has upstreams."""

        async def load() -> tuple[Account | None, bool]:
            upstreams = await self._fresh.all_of(UPSTREAM, account)
            return await self._fresh.find(ACCOUNT, account), bool(upstreams)

        return await self._fresh.memo.get(account, "mint", load)


def _duration(
    params: Mapping[str, Any],
    call: Call,
    request: RoleRequest,
    ends_at: datetime | None,
    *,
    chained: bool,
) -> int:
    identity = request.identity
    role_max = request.role.max_session_duration_seconds
    if call.request.door is Door.SAML and identity is not None:
        return console_duration(
            identity.session_duration_seconds,
            now=call.now,
            role_max=role_max,
            session_ends_at=ends_at,
        )
    return session_duration(
        request.kind,
        params.get("DurationSeconds"),
        now=call.now,
        role_max=role_max,
        chained=chained,
        saml_duration=identity.session_duration_seconds if identity else None,
        session_ends_at=ends_at,
    )
