"""What rules a kind of thing has, as operations and templates call them.

A kind's module says the facts and has the rules; it knows neither requests nor files.
What is given to ``make`` and ``change`` are members of the service's operations.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

from broker.errors import EntityAlreadyExists, NoSuchEntity
from broker.identities.accounts import require_account
from broker.identities.limits import Quota, require_within
from broker.model.account import AccountId
from broker.stores.directory.entity_tables import Entity
from broker.stores.directory.kind import Kind
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where and when rules work; ``by`` is the ARN of who makes things."""

    change: DirectoryChange
    account: AccountId
    region: str
    now: datetime
    by: str


Make = Callable[[Any, Work], Awaitable[Entity]]
Change = Callable[[Entity, Any, Work], Awaitable[Entity]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rules(Generic[Entity]):
    """The rules of a kind.

    ``make`` returns what is to be inserted, ``change`` what is to be written. The quota
    is for all of an account that have the same ``counted_by``. ``missing`` is a text
    with the name, ``taken`` one with the entity.
    """

    kind: Kind[Entity]
    quota: Quota
    make: Make[Entity]
    change: Change[Entity]
    view: Callable[[Entity], Any]
    counted_by: tuple[str, ...] = ()
    missing: str = ""
    taken: str = ""


async def create(of: Rules[Entity], given: Any, work: Work) -> Entity:  # noqa: ANN401  # the members of any kind
    """Make one and keep it.

    Raises:
        LimitExceeded: there are too many.
        EntityAlreadyExists: the name is taken.
    """
    made = await of.make(given, work)
    alike = {name: getattr(made, name) for name in of.counted_by}
    count = await work.change.count(of.kind, work.account, **alike)
    account = await require_account(work.change, work.account)
    require_within(account, of.quota, count + 1)
    try:
        await work.change.insert(of.kind, made)
    except AlreadyExistsError as error:
        raise EntityAlreadyExists(of.taken.format(made)) from error
    return made


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


async def require(
    of: Rules[Entity], directory: DirectoryReader, account: AccountId, name: str
) -> Entity:
    """One by its name.

    Raises:
        NoSuchEntity: there is none.
    """
    found = await directory.named(of.kind, account, name)
    if found is None:
        raise NoSuchEntity(of.missing.format(name))
    return found
