"""Sessions of users and of root: rules of life, then the mint."""

from collections.abc import Mapping
from typing import Any

from broker.actions.action import Call
from broker.actions.sts.regions import require_region
from broker.actions.sts.roles import credentials_shape, token_shape
from broker.errors import AccessDenied
from broker.model.principal import PrincipalType
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.model.struct import struct
from broker.sessions.issue import (
    MintOrder,
    MintResult,
    SessionIssuer,
    new_access_key_id,
)
from broker.sessions.limits import session_duration
from broker.sessions.lineage import lineage_from, new_mint_id
from broker.sessions.tags import NO_TAGS, SessionTags
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.kinds import ACCOUNT


@struct
class UserRequest:
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
        self, given: Mapping[str, Any], call: Call, request: UserRequest
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
                    given.get("DurationSeconds"),
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
            least_token_characters=given.get("MinimumSessionTokenSize", 0),
        )
        minted = await self._issuer.issue(order, call.record)
        return minted, {
            "Credentials": credentials_shape(minted.credentials),
            **token_shape(minted.credentials),
        }
