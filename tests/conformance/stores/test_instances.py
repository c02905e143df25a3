"""Machines, join tokens, and what ends machines, on every database."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.model.account import AccountId
from broker.model.machines import Instance
from broker.model.page import PageRequest
from broker.sessions.revoke import revoke_issued_before
from broker.stores.directory.kinds import INSTANCE
from broker.stores.directory.sql import SqlDirectory

FIRST = AccountId("111111111111")
SECOND = AccountId("222222222222")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER = f"arn:aws:iam::{FIRST}:oidc-provider/issuer.example"
ALL = PageRequest(None, 100)


def instance(number: int, **changed: object) -> Instance:
    params = {
        "account": FIRST,
        "instance_id": f"i-{number:017x}",
        "region": "eu-west-3",
        "public_key": bytes([number]) * 32,
        "registered_at": NOW + timedelta(seconds=number),
        "registered_by": "someone",
        "profile_id": "AIPA1",
    }
    return Instance(**{**params, **changed})  # type: ignore[arg-type]


def vouched_for(number: int, subject: str = "subject/a", **more: object) -> Instance:
    return instance(
        number, registered_by=PROVIDER, provider_id="OIDCP1", subject=subject, **more
    )


async def ids(directory: SqlDirectory, account: AccountId = FIRST) -> list[int]:
    page = await directory.page_of(INSTANCE, account, ALL)
    return [int(item.instance_id.removeprefix("i-"), 16) for item in page.items]


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (PROVIDER, [4, 5]),
        ("OIDCP1", [4, 5]),
        ("subject/a", [2, 4, 5]),
        ("subject/b", [1, 4, 5]),
        ("person/p", [1, 4, 5]),
        ("person/", [1, 2, 4, 5]),
        ("%", [1, 2, 4, 5]),
        ("subject/c", [1, 2, 4, 5]),
        ("someone", [1, 2, 4, 5]),
        ("", [1, 2, 4, 5]),
    ],
)
async def test_a_mark_ends_the_machines_that_it_admitted_before(
    directory: SqlDirectory, target: str, left: list[int]
) -> None:
    async with directory.change(FIRST) as change:
        await change.insert(INSTANCE, vouched_for(1))
        await change.insert(INSTANCE, vouched_for(2, "subject/b person/p"))
        await change.insert(INSTANCE, instance(4))
        late = NOW + timedelta(hours=2)
        await change.insert(INSTANCE, vouched_for(5, registered_at=late))
    async with directory.change(SECOND) as change:
        await change.insert(INSTANCE, vouched_for(1, account=SECOND))
    async with directory.change(FIRST) as change:
        await revoke_issued_before(
            change, account=FIRST, target=target, now=NOW + timedelta(hours=1)
        )
    assert await ids(directory) == left
    assert await ids(directory, SECOND) == [1]
