"""*Try it*: a request to a registered service, for oneself or somebody else."""

import json
from typing import Any

import pytest
from lxml import html

from broker.kinds import registered_services
from broker.kinds.accounts import require_account
from broker.kinds.resource_policies import put_resource_policy
from tests.support.administrator import SAME, Administrator, enter, grant
from tests.support.furnished import API, ORDERS
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld, role_arn, text_of

TRY, REQUEST = "/console/try", "/console/try#answer"
ORDER = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/"
READER = role_arn("Reader")


@pytest.fixture
async def registered(world: SignInWorld) -> SignInWorld:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        for name, text in (("orders", ORDERS), ("api", API)):
            await registered_services.put_service(
                change, account, name, text, world.clock.now()
            )
    return world


async def send(admin: Administrator, path: str, **typed: str) -> Any:
    params = {"service": "orders", "method": "GET", "path": path, **typed}
    return await admin.send(await admin.see(TRY), REQUEST, **params)


async def test_a_request_is_mapped_and_decided(registered: SignInWorld) -> None:
    await grant(registered, "broker:ListServices")
    await grant(registered, "orders:GetOrder", role="Reader")
    admin = await enter(registered)
    answer = text_of(await send(admin, "/orders/7?full=1"))
    assert "Not allowed" in answer
    assert f"orders:GetOrder on {ORDER}7" in answer
    assert "orders:Priority" in answer
    await grant(registered, "broker:ListServices", "orders:*", "execute-api:*")
    assert "Allowed" in text_of(await send(admin, "/orders/a%20b"))
    assert f"{ORDER}a b" in text_of(await send(admin, "/orders/a%20b"))
    api = text_of(await send(admin, "/x/y", service="api", method="PUT"))
    assert "Allowed" in api
    assert ":api/$default/PUT/x/y" in api


@cases("path, said")
async def test_a_meaningless_request_is_refused_for_any_caller(
    registered: SignInWorld, path: str, said: str
) -> None:
    await grant(registered, "*")
    admin = await enter(registered)
    answer = await send(admin, path, principal=READER)
    assert answer.status_code == 200
    text = text_of(answer)
    assert "Refused for everyone" in text
    assert said in text


async def test_it_is_decided_for_somebody_else(registered: SignInWorld) -> None:
    await grant(registered, "*")
    admin = await enter(registered)
    assert "Not allowed" in text_of(await send(admin, "/orders/7", principal=READER))
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": READER},
            "Action": "orders:GetOrder",
        },
    }
    async with registered.services.stores.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        now = registered.clock.now()
        await put_resource_policy(change, account, f"{ORDER}7", json.dumps(policy), now)
    answer = await send(admin, "/orders/7", principal=READER)
    assert "Allowed" in text_of(answer)
    (link,) = html.fromstring(answer.text).xpath("//a[contains(., 'simulator')]/@href")
    simulator = await admin.see(link)
    tree = html.fromstring(simulator.text)
    assert tree.xpath("//input[@name='name']/@value") == ["Reader"]
    for name, value in (("actions", "orders:GetOrder"), ("resources", f"{ORDER}7")):
        (match,) = tree.xpath(f"//textarea[@name='{name}']")
        assert match.text_content() == value
    assert "Not allowed" in text_of(await send(admin, "/orders/8", principal=READER))


async def test_somebody_else_takes_the_permission_to_simulate(
    registered: SignInWorld,
) -> None:
    await grant(registered, "broker:ListServices")
    admin = await enter(registered)
    answer = await send(admin, "/orders/7", principal=READER)
    assert answer.status_code == 403
    assert "iam:SimulatePrincipalPolicy" in text_of(answer)


@cases("typed, said")
async def test_what_cannot_be_asked_is_said(
    registered: SignInWorld, typed: dict[str, str], said: str
) -> None:
    await grant(registered, "*")
    admin = await enter(registered)
    answer = await send(admin, "/orders/7", **typed)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert html.fromstring(answer.text).xpath("//input[@name='path']/@value") == [
        "/orders/7"
    ]


async def test_who_may_not_list_services_is_not_offered_any(
    registered: SignInWorld,
) -> None:
    admin = await enter(registered)
    page = await admin.see(TRY)
    assert "registered service" not in text_of(page)
    (csrf, *_) = html.fromstring(page.text).xpath("//input[@name='csrf']/@value")
    params = {"csrf": csrf, "service": "orders", "method": "GET", "path": "/orders/7"}
    refused = await admin.browser.post(TRY, data=params, headers=SAME)
    assert refused.status_code == 400
    assert "There is no service orders" in text_of(refused)
