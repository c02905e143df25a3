"""Registered services, their tokens and resource policies, on every database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.model.account import AccountId
from broker.model.page import PageRequest
from broker.model.registered import RegisteredService, ResourcePolicy
from broker.model.tokens import BearerToken
from broker.stores.directory import kinds
from broker.stores.directory.kinds import RESOURCE_POLICY, SERVICE, SERVICE_TOKEN
from broker.stores.directory.policies import resource_policy_arns
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError
from tests.conformance.stores.test_directory import make_account

FIRST = AccountId("111111111111")
SECOND = AccountId("222222222222")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def service(account: AccountId, name: str) -> RegisteredService:
    return RegisteredService(
        account=account,
        service_id=f"ASVC{account}{name}",
        name=name,
        definition="{}",
        created_at=NOW,
        updated_at=NOW,
    )


def token(of: RegisteredService, number: int) -> BearerToken:
    return BearerToken(
        account=of.account,
        token_id=f"ASVT{number}",
        owner_id=of.service_id,
        digest=bytes([number]) * 32,
        created_at=NOW + timedelta(seconds=number),
        expires_at=NOW + timedelta(days=number),
        addresses=("10.0.0.0/8",),
    )


def policy(account: AccountId, arn: str, document: str = "{}") -> ResourcePolicy:
    return ResourcePolicy(
        account=account, arn=arn, document=document, created_at=NOW, updated_at=NOW
    )


async def test_services_and_tokens(directory: SqlDirectory) -> None:
    orders, stock = service(FIRST, "orders"), service(FIRST, "stock")
    async with directory.change(FIRST) as change:
        await change.insert(SERVICE, stock)
        await change.insert(SERVICE, orders)
        with pytest.raises(AlreadyExistsError):
            await change.insert(SERVICE, replace(orders, service_id="other"))
        for number in (2, 1):
            await change.insert(SERVICE_TOKEN, token(orders, number))
        await change.insert(SERVICE_TOKEN, token(stock, 3))
        assert await change.count(SERVICE, FIRST) == 2
    async with directory.change(SECOND) as change:
        await change.insert(SERVICE, service(SECOND, "orders"))
    assert await directory.named(SERVICE, FIRST, "orders") == orders
    assert await directory.named(SERVICE, FIRST, "Orders") is None
    assert await directory.all_of(SERVICE, FIRST) == (orders, stock)
    assert await directory.all_of(SERVICE_TOKEN, FIRST) == (
        token(orders, 1),
        token(orders, 2),
        token(stock, 3),
    )
    changed = replace(orders, definition='{"Scopes":["a"]}')
    async with directory.change(FIRST) as change:
        await change.update(SERVICE, changed)
        await change.remove(SERVICE_TOKEN, token(orders, 1))
    assert await directory.named(SERVICE, FIRST, "orders") == changed
    async with directory.change(FIRST) as change:
        await change.remove(SERVICE, changed)
    assert await directory.all_of(SERVICE_TOKEN, FIRST) == (token(stock, 3),)
    assert await directory.all_of(SERVICE, SECOND) == (service(SECOND, "orders"),)


async def test_resource_policies(directory: SqlDirectory) -> None:
    async with directory.change(FIRST) as change:
        for arn in ("b", "a", "c"):
            await change.put(RESOURCE_POLICY, policy(FIRST, arn))
        later = replace(policy(FIRST, "b", "[]"), updated_at=NOW + timedelta(days=1))
        await change.put(
            RESOURCE_POLICY, replace(later, created_at=NOW + timedelta(days=1))
        )
        assert await change.count(RESOURCE_POLICY, FIRST) == 3
    assert await directory.find(RESOURCE_POLICY, FIRST, "b") == later
    assert await directory.find(RESOURCE_POLICY, SECOND, "b") is None
    assert await resource_policy_arns(directory, FIRST) == frozenset("abc")
    assert await resource_policy_arns(directory, SECOND) == frozenset()
    page = await directory.page_of(RESOURCE_POLICY, FIRST, PageRequest(None, 2))
    assert [one.arn for one in page.items] == ["a", "b"]
    rest = await directory.page_of(RESOURCE_POLICY, FIRST, PageRequest(page.marker, 2))
    assert [one.arn for one in rest.items] == ["c"]
    async with directory.change(FIRST) as change:
        await change.remove(RESOURCE_POLICY, later)
    assert await directory.find(RESOURCE_POLICY, FIRST, "b") is None


async def test_both_go_with_their_account(directory: SqlDirectory) -> None:
    orders = service(FIRST, "orders")
    async with directory.change(FIRST) as change:
        await change.insert(SERVICE, orders)
        await change.insert(SERVICE_TOKEN, token(orders, 1))
        await change.put(RESOURCE_POLICY, policy(FIRST, "a"))
        await change.remove(kinds.ACCOUNT, make_account(FIRST))
    assert await directory.all_of(SERVICE, FIRST) == ()
    assert await directory.all_of(SERVICE_TOKEN, FIRST) == ()
    assert await resource_policy_arns(directory, FIRST) == frozenset()
