"""The bearer tokens of services, directories and machines: their rules.

A token is ``PREFIX.ACCOUNT.RANDOM``; only its SHA-256 is kept, so that it can be shown
once. It expires, and may be bound to the networks it is used from.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from msgspec import Struct

from broker.errors import NoSuchEntity, ValidationError
from broker.kinds.limits import Quota
from broker.kinds.rules import require_room
from broker.model.account import Account, AccountId, parse_account_id
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.model.machines import InstanceProfile
from broker.model.registered import BearerToken, JoinToken, RegisteredService, ScimToken
from broker.model.secret import Secret
from broker.runtime.bounded import remembered
from broker.runtime.entropy import new_handle, new_unique_id
from broker.stores.directory.identities import delete_expired_tokens
from broker.stores.directory.kinds import JOIN_TOKEN, SCIM_TOKEN, SERVICE_TOKEN
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.stored import Kind

ADDRESSES_MAX = 20

Token = TypeVar("Token", bound=BearerToken)


class Owner(Struct, frozen=True):
    """What has tokens: its ARN, how errors name it, and what else its tokens hold.

    An account alone has join tokens.
    """

    account: AccountId
    owner_id: str = ""
    arn: str = ""
    name: str = ""
    held: Mapping[str, Any] = {}


class TokenRules(Struct, Generic[Token], frozen=True, eq=False, kw_only=True):
    """The rules of a kind of token, which operations call ``noun``, ``of`` its owner.

    Tokens begin with ``prefix``, their ids with ``id_prefix``. They are valid for
    ``least`` to ``most`` of ``unit``, ``default`` if a request has no ``member``. The
    quota is for all that have the same ``owner``, a column, or for an account's.
    ``missing`` is a text with an id and the owner's name.
    """

    kind: Kind[Token]
    noun: str
    of: str
    prefix: str
    id_prefix: str
    quota: Quota
    owner: str = ""
    missing: str
    called: str = "A token"
    unit: str = "days"
    member: str = "Days"
    default: int = 90
    least: int = 1
    most: int = 366

    @property
    def lifetimes(self) -> str:
        """Which are allowed, as errors say it."""
        return f"{self.called} is valid for {self.least} to {self.most} {self.unit}."

    def alike(self, owner: Owner) -> Mapping[str, str]:
        """The column and value of tokens that are counted and listed together."""
        return {self.owner: owner.owner_id} if self.owner else {}

    async def tokens_of(
        self, directory: DirectoryReader, owner: Owner
    ) -> tuple[Token, ...]:
        """The tokens of one owner, oldest first."""
        return await directory.all_of(self.kind, owner.account, **self.alike(owner))

    async def create(
        self,
        change: DirectoryChange,
        account: Account,
        owner: Owner,
        *,
        lasts: int,
        addresses: Iterable[str],
        now: datetime,
    ) -> tuple[Token, Secret]:
        """Make a token, and delete the expired ones.

        The secret is not kept and cannot be shown again. ``addresses`` are the networks
        it may be used from.

        Raises:
            ValidationError: the lifetime or an address is not allowed.
            LimitExceeded: the owner has as many tokens as it may have.
        """
        if not self.least <= lasts <= self.most:
            raise ValidationError(self.lifetimes)
        networks = parse_networks(addresses)
        alike = self.alike(owner)
        await delete_expired_tokens(change, self.kind, owner.account, now, **alike)
        await require_room(change, account, self.kind, self.quota, **alike)
        secret = Secret(f"{self.prefix}.{owner.account}.{new_handle()}")
        made = self.kind.stored.entity(
            account=owner.account,
            token_id=new_unique_id(self.id_prefix),
            owner_id=owner.owner_id,
            digest=token_digest(secret.reveal()),
            created_at=now,
            expires_at=now + timedelta(**{self.unit: lasts}),
            addresses=networks,
            **owner.held,
        )
        await change.insert(self.kind, made)
        return made, secret

    async def delete(
        self, change: DirectoryChange, owner: Owner, token_id: str
    ) -> None:
        """Revoke a token.

        Raises:
            NoSuchEntity: the owner has none of this id.
        """
        token = await change.find(self.kind, owner.account, token_id)
        if token is None or (self.owner and token.owner_id != owner.owner_id):
            raise NoSuchEntity(self.missing.format(token_id, owner.name))
        await change.remove(self.kind, token)

    def find_account(self, secret: str) -> AccountId | None:
        """The account that a token says it is of; None for other texts."""
        text, _, rest = secret.partition(".")
        number, dot, _ = rest.partition(".")
        if text != self.prefix or not dot:
            return None
        try:
            return parse_account_id(number)
        except ValueError:
            return None

    def find_fault(self, token: Token, address: str, now: datetime) -> str:
        """Why a token does not count; empty when it does."""
        if token.expires_at <= now:
            return f"the {self.kind.label} {token.token_id} has expired"
        if not is_within(address, token.addresses):
            return f"the {self.kind.label} {token.token_id} is for other addresses"
        return ""


def parse_networks(addresses: Iterable[str]) -> tuple[str, ...]:
    """Addresses and networks as they are stored.

    Raises:
        ValidationError: one is neither, or there are too many.
    """
    results = []
    for address in addresses:
        try:
            results.append(str(ipaddress.ip_network(address)))
        except ValueError as error:
            raise ValidationError(
                f"{address[:80]} is not an address or network, such as 10.0.0.0/8."
            ) from error
    if len(results) > ADDRESSES_MAX:
        raise ValidationError(f"A token can have up to {ADDRESSES_MAX} addresses.")
    return tuple(results)


@remembered()
def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of the networks; an empty list means any."""
    if not networks:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network) for network in networks)


def token_digest(secret: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def view(token: BearerToken) -> dict[str, Any]:
    """A token as operations show it."""
    return {
        "TokenId": token.token_id,
        "CreateDate": token.created_at,
        "ExpirationDate": token.expires_at,
        "Addresses": list(token.addresses),
    }


SERVICE_TOKENS = TokenRules[BearerToken](
    kind=SERVICE_TOKEN,
    noun="ServiceToken",
    of="ServiceName",
    prefix="bst",
    id_prefix="ASVT",
    quota=Quota.SERVICE_TOKENS,
    owner="service_id",
    missing="The service {1} has no token {0}.",
)
SCIM_TOKENS = TokenRules[ScimToken](
    kind=SCIM_TOKEN,
    noun="ScimToken",
    of="ProviderArn",
    prefix="bscim",
    id_prefix="ASCT",
    quota=Quota.SCIM_TOKENS,
    owner="provider_id",
    missing="The provider has no SCIM token {}.",
)
JOIN_TOKENS = TokenRules[JoinToken](
    kind=JOIN_TOKEN,
    noun="JoinToken",
    of="InstanceProfileName",
    prefix="bjt",
    id_prefix="AJTK",
    quota=Quota.JOIN_TOKENS,
    missing="The join token with id {} cannot be found.",
    called="A join token",
    unit="seconds",
    member="DurationSeconds",
    default=3600,
    least=60,
    # Revocations of what made a token are kept longer than that.
    most=36 * 3600,
)


def owning_service(service: RegisteredService) -> Owner:
    """A service that has tokens."""
    return Owner(service.account, service.service_id, service.arn, service.name)


def owning_provider(provider: SamlProvider | OidcProvider | LdapProvider) -> Owner:
    """A provider whose directory has tokens."""
    arn = provider.arn
    return Owner(provider.account, provider.unique_id, arn, arn, {"provider_arn": arn})


def owning_profile(profile: InstanceProfile, **held: object) -> Owner:
    """An instance profile to which a machine is admitted."""
    return Owner(profile.account, profile.profile_id, profile.arn, profile.name, held)
