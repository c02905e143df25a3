"""Users and roles are found by unique id and by their boundary."""

from datetime import UTC, datetime

from broker.model.account import AccountId
from broker.model.entities import Role, User
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.policies import find_owner_arns, list_bounded_owners
from broker.stores.directory.sql import SqlDirectory

FIRST = AccountId("111111111111")
SECOND = AccountId("222222222222")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOUNDARY = f"arn:aws:iam::{FIRST}:policy/B"


def user(account: AccountId, user_id: str, boundary: str | None = None) -> User:
    return User(
        account=account,
        user_id=user_id,
        name=user_id,
        path="/",
        created_at=NOW,
        boundary_arn=boundary,
    )


def role(account: AccountId, role_id: str, boundary: str | None = None) -> Role:
    return Role(
        account=account,
        role_id=role_id,
        name=role_id,
        path="/",
        trust_policy="{}",
        created_at=NOW,
        boundary_arn=boundary,
    )


async def test_owners_are_found(directory: SqlDirectory) -> None:
    async with directory.change(FIRST) as change:
        await change.insert(USER, user(FIRST, "AIDA1", BOUNDARY))
        await change.insert(USER, user(FIRST, "AIDA2"))
        await change.insert(ROLE, role(FIRST, "AROA1", BOUNDARY))
    async with directory.change(SECOND) as change:
        await change.insert(ROLE, role(SECOND, "AROA2", BOUNDARY))
        # A change of one account sees the others, as trust policies need it.
        assert await find_owner_arns(change, ["AIDA1"])
    assert await list_bounded_owners(directory, FIRST, BOUNDARY) == ("AIDA1", "AROA1")
    assert await list_bounded_owners(directory, SECOND, BOUNDARY) == ("AROA2",)
    assert await list_bounded_owners(directory, FIRST, "none") == ()
    assert await find_owner_arns(directory, {"AIDA2", "AROA2", "AROA3"}) == {
        "AIDA2": f"arn:aws:iam::{FIRST}:user/AIDA2",
        "AROA2": f"arn:aws:iam::{SECOND}:role/AROA2",
    }
    assert await find_owner_arns(directory, ()) == {}
