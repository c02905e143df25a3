"""Holders of credentials: users, or the account's root.

A caller who names no user is found by their unique id: another may have got their name
since the request was permitted.
"""

from msgspec import Struct

from broker.actions.action import Call
from broker.actions.iam.targets import own_name
from broker.kinds.users import missing_user, require_user
from broker.model.account import AccountId
from broker.model.entities import User
from broker.model.request import Params
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader


class Holder(Struct, frozen=True):
    """``holder_id`` is the user's unique id, or the account's number for root."""

    holder_id: str
    user: User | None

    @property
    def named(self) -> dict[str, str]:
        """``UserName`` of an answer; root has none."""
        return {} if self.user is None else {"UserName": self.user.name}


async def find_user(
    params: Params, call: Call, directory: DirectoryReader
) -> User | None:
    """The user that a request names, or who calls when it names none; None for root.

    Raises:
        NoSuchEntity: there is no such user.
        ValidationError: the request names none, and the caller is neither.
    """
    name = own_name(params, call)
    if name is None:
        return None
    if "UserName" in params:
        return await require_user(directory, call.account, name)
    return await require_caller(call, directory)


async def require_caller(call: Call, directory: DirectoryReader) -> User:
    """The user who calls.

    Raises:
        NoSuchEntity: the user was deleted meanwhile.
    """
    principal = call.caller.principal
    user = await directory.find(USER, call.account, principal.unique_id)
    if user is None:
        raise missing_user(principal.username or "")
    return user


async def get_holder(params: Params, call: Call, directory: DirectoryReader) -> Holder:
    """The same user or root, as a holder of credentials."""
    user = await find_user(params, call, directory)
    return Holder(call.account if user is None else user.user_id, user)


async def read_holder(
    directory: DirectoryReader, account: AccountId, holder_id: str
) -> Holder:
    """The holder of a stored credential."""
    if holder_id == account:
        return Holder(holder_id, None)
    return Holder(holder_id, await directory.find(USER, account, holder_id))
