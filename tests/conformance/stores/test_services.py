"""Registered services, their tokens and resource policies, on every database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.model.account import AccountId
from broker.model.page import PageRequest
from broker.model.registered import RegisteredService, ResourcePolicy, ServiceToken
from broker.stores.directory.kinds import RESOURCE_POLICY, SERVICE
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError

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


def token(of: RegisteredService, number: int) -> ServiceToken:
    return ServiceToken(
        account=of.account,
        token_id=f"ASVT{number}",
        service_id=of.service_id,
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
        await change.insert_service(stock)
        await change.insert_service(orders)
        with pytest.raises(AlreadyExistsError):
            await change.insert_service(replace(orders, service_id="other"))
        for number in (2, 1):
            await change.insert_service_token(token(orders, number))
        await change.insert_service_token(token(stock, 3))
        assert await change.count(SERVICE, FIRST) == 2
    async with directory.change(SECOND) as change:
        await change.insert_service(service(SECOND, "orders"))
    assert await directory.find_service(FIRST, "orders") == orders
    assert await directory.find_service(FIRST, "Orders") is None
    assert await directory.list_services(FIRST) == (orders, stock)
    assert await directory.list_service_tokens(FIRST) == (
        token(orders, 1),
        token(orders, 2),
        token(stock, 3),
    )
    changed = replace(orders, definition='{"Scopes":["a"]}')
    async with directory.change(FIRST) as change:
        await change.update_service(changed)
        await change.delete_service_token(token(orders, 1))
    assert await directory.find_service(FIRST, "orders") == changed
    async with directory.change(FIRST) as change:
        await change.delete_service(changed)
    assert await directory.list_service_tokens(FIRST) == (token(stock, 3),)
    assert await directory.list_services(SECOND) == (service(SECOND, "orders"),)


async def test_resource_policies(directory: SqlDirectory) -> None:
    async with directory.change(FIRST) as change:
        for arn in ("b", "a", "c"):
            await change.put_resource_policy(policy(FIRST, arn))
        later = replace(policy(FIRST, "b", "[]"), updated_at=NOW + timedelta(days=1))
        await change.put_resource_policy(
            replace(later, created_at=NOW + timedelta(days=1))
        )
        assert await change.count(RESOURCE_POLICY, FIRST) == 3
    assert await directory.find_resource_policy(FIRST, "b") == later
    assert await directory.find_resource_policy(SECOND, "b") is None
    assert await directory.resource_policy_arns(FIRST) == frozenset("abc")
    assert await directory.resource_policy_arns(SECOND) == frozenset()
    page = await directory.list_resource_policies(FIRST, PageRequest(None, 2))
    assert [one.arn for one in page.items] == ["a", "b"]
    rest = await directory.list_resource_policies(FIRST, PageRequest(page.marker, 2))
    assert [one.arn for one in rest.items] == ["c"]
    async with directory.change(FIRST) as change:
        await change.delete_resource_policy(later)
    assert await directory.find_resource_policy(FIRST, "b") is None


async def test_both_go_with_their_account(directory: SqlDirectory) -> None:
    orders = service(FIRST, "orders")
    async with directory.change(FIRST) as change:
        await change.insert_service(orders)
        await change.insert_service_token(token(orders, 1))
        await change.put_resource_policy(policy(FIRST, "a"))
        await change.delete_account(FIRST)
    assert await directory.list_services(FIRST) == ()
    assert await directory.list_service_tokens(FIRST) == ()
    assert await directory.resource_policy_arns(FIRST) == frozenset()
