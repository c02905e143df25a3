"""The tokens with which directories of identity providers use SCIM: the rules."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from broker.entropy import new_unique_id
from broker.errors import NoSuchEntity
from broker.identities.bearer_tokens import (
    check_days,
    delete_expired,
    new_token,
    token_digest,
)
from broker.identities.limits import Quota, require_within
from broker.identities.networks import parse_networks
from broker.model.account import Account, AccountId
from broker.model.provisioned import ScimToken
from broker.model.secret import Secret
from broker.stores.directory.kinds import SCIM_TOKEN
from broker.stores.directory.port import DirectoryChange, DirectoryReader

TOKEN_PREFIX = "bscim"  # noqa: S105  # how a token begins


async def tokens_of(
    directory: DirectoryReader, account: AccountId, provider_id: str
) -> list[ScimToken]:
    """The tokens of one provider's directory, oldest first."""
    tokens = await directory.all_of(SCIM_TOKEN, account)
    return [token for token in tokens if token.provider_id == provider_id]


async def create_token(
    change: DirectoryChange,
    account: Account,
    *,
    provider_id: str,
    provider_arn: str,
    days: int,
    addresses: Iterable[str],
    now: datetime,
) -> tuple[ScimToken, Secret]:
    """Make a token, and delete the expired ones.

    The secret is not kept and cannot be shown again. ``days`` is how long it is valid,
    ``addresses`` are the networks it may be used from.

    Raises:
        ValidationError: the lifetime or an address is not allowed.
        LimitExceeded: the provider has as many tokens as it may have.
    """
    check_days(days)
    networks = parse_networks(addresses)
    tokens = await tokens_of(change, account.account_id, provider_id)
    left = await delete_expired(tokens, change, SCIM_TOKEN, now)
    require_within(account, Quota.SCIM_TOKENS, left + 1)
    secret = new_token(TOKEN_PREFIX, account.account_id)
    made = ScimToken(
        account=account.account_id,
        token_id=new_unique_id("ASCT"),
        provider_id=provider_id,
        provider_arn=provider_arn,
        digest=token_digest(secret.reveal()),
        created_at=now,
        expires_at=now + timedelta(days=days),
        addresses=networks,
    )
    await change.insert(SCIM_TOKEN, made)
    return made, secret


async def delete_token(
    change: DirectoryChange, account: AccountId, provider_id: str, token_id: str
) -> None:
    """Revoke a token.

    Raises:
        NoSuchEntity: the provider has none of this id.
    """
    for token in await tokens_of(change, account, provider_id):
        if token.token_id == token_id:
            await change.remove(SCIM_TOKEN, token)
            return
    raise NoSuchEntity(f"The provider has no SCIM token {token_id}.")
