"""Orders of sessions, from what a test says of them."""

from datetime import datetime
from typing import Any

from broker.model.account import AccountId
from broker.model.session import Session
from broker.sessions.issue import MintOrder, new_access_key_id
from broker.sessions.lineage import new_mint_id


def mint_order(
    *,
    account: AccountId,
    account_salt: bytes,
    principal_arn: str,
    now: datetime,
    duration_seconds: int,
    first_issued_at_ms: int | None = None,
    least_token_characters: int = 0,
    **members: Any,
) -> MintOrder:
    """An order of a session with these members."""
    at = now.timestamp()
    return MintOrder(
        session=Session(
            access_key_id=new_access_key_id(account),
            mint_id=new_mint_id(),
            account=account,
            issued_at_ms=(
                int(at * 1000) if first_issued_at_ms is None else first_issued_at_ms
            ),
            expires_at=int(at) + duration_seconds,
            **members,
        ),
        account_salt=account_salt,
        principal_arn=principal_arn,
        now=now,
        least_token_characters=least_token_characters,
    )
