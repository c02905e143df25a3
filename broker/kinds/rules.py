"""What rules a kind of thing has, as operations and templates call them.

A kind's module says the facts and has the rules; it knows neither requests nor files.
What is given to ``make`` and ``change`` are members of the service's operations.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import EntityAlreadyExists, NoSuchEntity
from broker.kinds.accounts import require_account
from broker.kinds.limits import Quota, require_within
from broker.kinds.names import parse_provider_arn, require_path
from broker.model.account import Account, AccountId
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.stored import Entity, Kind
from broker.stores.errors import AlreadyExistsError


class Work(Struct, frozen=True, kw_only=True):
    """Where and when rules work; ``by`` is the ARN of who makes things."""

    change: DirectoryChange
    account: AccountId
    region: str
    now: datetime
    by: str

    async def require_room(
        self, kind: "Kind[Any]", quota: Quota, **alike: object
    ) -> None:
        """See `require_room`."""
        account = await require_account(self.change, self.account)
        await require_room(self.change, account, kind, quota, **alike)


Make = Callable[[Any, Work], Awaitable[Entity]]
Change = Callable[[Entity, Any, Work], Awaitable[Entity]]


async def _no_make(_given: object, _work: Work) -> Any:  # noqa: ANN401  # any kind
    raise RuntimeError("only what keeps secrets makes one")


async def _no_change(entity: Entity, _given: object, _work: Work) -> Entity:
    return entity


async def _no_conflict(_found: object, _directory: DirectoryReader) -> None:
    return None


class Rules(Struct, Generic[Entity], frozen=True, eq=False, kw_only=True):
    """The rules of a kind.

    ``make`` returns what is to be inserted, ``change`` what is to be written;
    ``check_removal`` refuses to let go of what is in use. The quota is for all of an
    account that have the same ``counted_by``; ``make`` looks at it itself if there is
    none. ``missing`` is a text with the name, ``taken`` one with the entity.
    """

    kind: Kind[Entity]
    quota: Quota | None
    view: Callable[[Entity], Any]
    make: Make[Entity] = _no_make
    change: Change[Entity] = _no_change
    check_removal: Callable[[Entity, DirectoryReader], Awaitable[None]] = _no_conflict
    counted_by: tuple[str, ...] = ()
    missing: str = ""
    taken: str = ""


class Named(Rules[Entity], frozen=True, eq=False, kw_only=True):
    """A kind of IAM's; ``name`` is the member by which requests name one.

    ``resource`` is its word in ARNs. Answers have one as the member ``one``, and a list
    as ``many``. Refusals call it ``shown``, if they do not show its ARN. Requests may
    name one ``by_arn``.
    """

    name: str
    resource: str
    one: str
    many: str
    shown: str = ""
    by_arn: bool = False

    @property
    def require(self) -> Callable[[DirectoryReader, AccountId, str], Awaitable[Entity]]:
        """A function that finds what a request names."""
        return finder(self.kind, self.missing, self.resource if self.by_arn else "")


async def create(of: Rules[Entity], params: Any, work: Work) -> Entity:  # noqa: ANN401  # the members of any kind
    """Make one and keep it.

    Raises:
        LimitExceeded: there are too many.
        EntityAlreadyExists: the name is taken.
    """
    made = await of.make(params, work)
    if of.quota is not None:
        alike = {name: getattr(made, name) for name in of.counted_by}
        await work.require_room(of.kind, of.quota, **alike)
    await insert(work.change, of.kind, made, of.taken)
    return made


async def insert(
    change: DirectoryChange, kind: Kind[Entity], made: Entity, taken: str
) -> None:
    """Keep a new one; ``taken`` is a text with the entity.

    Raises:
        EntityAlreadyExists: its name is taken.
    """
    try:
        await change.insert(kind, made)
    except AlreadyExistsError as error:
        raise EntityAlreadyExists(taken.format(made)) from error


async def require_room(
    change: DirectoryChange,
    account: Account,
    kind: Kind[Any],
    quota: Quota,
    **alike: object,
) -> None:
    """Refuse to make one more of those that are alike, with `LimitExceeded`."""
    count = await change.count(kind, account.account_id, **alike)
    require_within(account, quota, count + 1)


async def update(of: Rules[Entity], wanted: Entity, work: Work) -> Entity:
    """Keep what a change has made of one.

    Raises:
        EntityAlreadyExists: the new name is taken.
    """
    try:
        await work.change.update(of.kind, wanted)
    except AlreadyExistsError as error:
        raise EntityAlreadyExists(of.taken.format(wanted)) from error
    return wanted


def finder(
    kind: Kind[Entity], missing: str, resource: str = ""
) -> Callable[[DirectoryReader, AccountId, str], Awaitable[Entity]]:
    """A function that finds one by its name (its id, if it has none), or by its ARN.

    ``resource`` is its word in ARNs; ``missing`` a text with what was asked for, and the
    account. The function raises `NoSuchEntity`, and `InvalidInput` for what is no ARN.
    """

    async def require(
        directory: DirectoryReader, account: AccountId, named: str
    ) -> Entity:
        name = parse_provider_arn(named, account, resource) if resource else named
        find = directory.named if kind.name else directory.find
        entity = await find(kind, account, name)
        if entity is None:
            raise NoSuchEntity(missing.format(named, account))
        return entity

    return require


def renaming(member: str) -> Change[Any]:
    """The ``change`` of a kind with a new name in ``member``, and a path if it has one."""

    async def change(entity: Any, params: Any, _work: Work) -> Any:  # noqa: ANN401  # any kind with a name
        moved = {"path": require_path(params["NewPath"])} if "NewPath" in params else {}
        return replace(entity, name=params.get(member, entity.name), **moved)

    return change
