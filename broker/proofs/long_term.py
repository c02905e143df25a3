"""Resolves long-term access keys to their owners and secrets.

Every call checks existence and status (at most a second old) and decrypts the secret
again, so that neither a deactivated access key nor a revoked storage key survives in a
cache.
"""

from msgspec import Struct

from broker.errors import InvalidClientTokenId, ServiceUnavailable
from broker.model.account import find_account_of_key_id
from broker.model.entities import ACCESS_KEY_SEAL, AccessKey, KeyStatus, User
from broker.model.principal import Principal
from broker.model.sealing import Opener
from broker.model.secret import Secret
from broker.model.session import Caller
from broker.runtime.bounded import BoundedCache
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.kinds import ACCESS_KEY, USER
from broker.stores.directory.port import Finder
from broker.stores.errors import StoreUnavailableError

_PREFIX = "AKIA"


class ResolvedKey(Struct, frozen=True, kw_only=True):
    """An active access key: its secret and its owner."""

    secret: Secret
    caller: Caller


class LongTermKeys:
    """Resolves the access keys of users and of accounts' roots."""

    def __init__(self, directory: Finder, opener: Opener) -> None:
        self._directory = directory
        self._opener = opener
        self._callers = BoundedCache[str, tuple[User, Caller]]()
        """The caller of each key, made once for each state of the user."""

    async def resolve(self, access_key_id: str) -> ResolvedKey:
        """The key's secret and its owner.

        Raises:
            InvalidClientTokenId: the key does not exist or is inactive, its user is
                gone, or its secret cannot be decrypted. The message is the same;
                ``detail`` says which.
            ServiceUnavailable: the directory is unavailable.
        """
        account = find_account_of_key_id(access_key_id)
        if account is None or not access_key_id.startswith(_PREFIX):
            raise InvalidClientTokenId(detail="not the form of a long-term key id")
        try:
            key = await self._directory.find(ACCESS_KEY, account, access_key_id)
            if key is None:
                raise InvalidClientTokenId(detail="there is no such access key")
            if key.status is not KeyStatus.ACTIVE:
                raise InvalidClientTokenId(detail=f"{access_key_id} is inactive")
            caller = await self._owner(key)
        except StoreUnavailableError as error:
            raise ServiceUnavailable(
                detail=f"the directory is away: {error}"
            ) from error
        purpose, column = ACCESS_KEY_SEAL
        try:
            secret = self._opener.open_sealed(
                purpose, account, access_key_id, column, key.sealed_secret
            )
        except SealBrokenError as error:
            raise InvalidClientTokenId(detail=str(error)) from error
        return ResolvedKey(secret=Secret(secret.decode("ascii")), caller=caller)

    async def _owner(self, key: AccessKey) -> Caller:
        if key.user_id is None:
            return Caller(
                principal=Principal.root(key.account), access_key_id=key.access_key_id
            )
        user = await self._directory.find(USER, key.account, key.user_id)
        if user is None:
            raise InvalidClientTokenId(
                detail=f"the user of {key.access_key_id} is deleted"
            )
        known = self._callers.get(key.account, key.access_key_id)
        if known is not None and known[0] is user:
            return known[1]
        caller = Caller(
            principal=Principal.user(
                key.account, user_id=user.user_id, path=user.path, name=user.name
            ),
            access_key_id=key.access_key_id,
            principal_tags=user.tags,
        )
        self._callers.put(key.account, key.access_key_id, (user, caller))
        return caller
