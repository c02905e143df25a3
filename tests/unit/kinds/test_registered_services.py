"""The rules of registered services, their tokens and their resources' policies."""

import json

import pytest

from broker.errors import InvalidInput, LimitExceeded, NoSuchEntity, ValidationError
from broker.kinds import registered_services as rules
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import (
    ADDRESSES_MAX,
    SERVICE_TOKENS,
    owning_service,
)
from broker.kinds.resource_policies import put_resource_policy
from broker.model.registered import BearerToken, RegisteredService
from tests.support.iam import ACCOUNT, NOW, Iam, set_quotas
from tests.support.rows import cases

ARN = f"arn:aws:execute-api:us-east-1:{ACCOUNT}:orders/"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "*",
            "Resource": "*",
        },
    }
)


async def register(iam: Iam, name: str) -> RegisteredService:
    async with iam.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        return await rules.put_service(
            change, account, name, '{"Hosts": ["a.example.com"]}', NOW
        )


async def make_token(
    iam: Iam, service: RegisteredService, *addresses: str
) -> BearerToken:
    async with iam.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        owner = owning_service(service)
        token, _ = await SERVICE_TOKENS.create(
            change, account, owner, lasts=1, addresses=addresses, now=NOW
        )
    return token


async def put_policy(iam: Iam, arn: str) -> None:
    async with iam.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        await put_resource_policy(change, account, arn, POLICY, NOW)


async def test_an_account_has_so_many_services(iam: Iam) -> None:
    await set_quotas(iam, ServicesPerAccount=2)
    await register(iam, "orders")
    await register(iam, "stock")
    await register(iam, "orders")
    with pytest.raises(LimitExceeded):
        await register(iam, "third")


async def test_a_token_has_so_many_addresses(iam: Iam) -> None:
    service = await register(iam, "orders")
    networks = [f"10.0.{number}.0/24" for number in range(ADDRESSES_MAX + 1)]
    token = await make_token(iam, service, *networks[1:])
    assert token.addresses == tuple(networks[1:])
    with pytest.raises(ValidationError):
        await make_token(iam, service, *networks)


async def test_the_token_that_is_named_is_revoked(iam: Iam) -> None:
    service, other = await register(iam, "orders"), await register(iam, "stock")
    tokens = [
        await make_token(iam, registered_service)
        for registered_service in (service, service, other)
    ]
    of, of_other = owning_service(service), owning_service(other)
    async with iam.directory.change(ACCOUNT) as change:
        await SERVICE_TOKENS.delete(change, of, tokens[1].token_id)
        with pytest.raises(NoSuchEntity):
            await SERVICE_TOKENS.delete(change, of, tokens[2].token_id)
    assert await SERVICE_TOKENS.tokens_of(iam.directory, of) == (tokens[0],)
    assert await SERVICE_TOKENS.tokens_of(iam.directory, of_other) == (tokens[2],)


@pytest.mark.parametrize(
    "text", ["", "bst", f"bst.{ACCOUNT}", f"x.{ACCOUNT}.secret", "bst.1.secret"]
)
def test_other_texts_are_of_no_account(text: str) -> None:
    assert SERVICE_TOKENS.find_account(text) is None


async def test_resource_policies_are_bounded(iam: Iam) -> None:
    await register(iam, "orders")
    await set_quotas(iam, ResourcePoliciesPerAccount=1)
    longest = ARN + "x" * (2048 - len(ARN))
    with pytest.raises(InvalidInput):
        await put_policy(iam, f"{longest}x")
    await put_policy(iam, longest)
    await put_policy(iam, longest)
    with pytest.raises(LimitExceeded):
        await put_policy(iam, f"{ARN}other")


@cases("arn")
async def test_a_policy_is_of_one_resource_of_the_account(iam: Iam, arn: str) -> None:
    await register(iam, "orders")
    with pytest.raises(InvalidInput):
        await put_policy(iam, arn)
