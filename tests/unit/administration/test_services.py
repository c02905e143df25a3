"""Registered services in the console: defined, given tokens, watched, deleted."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from msgspec import structs

from broker.model.audit import AuditRecord
from broker.proofs.refusals import name_reason
from broker.runtime.entropy import new_request_id
from tests.support.administrator import Administrator, enter, grant
from tests.support.rows import of_file
from tests.support.signin import ACCOUNT, SignInWorld, text_of

LIST, NEW = "/console/services", "/console/services/new"
EDIT, DETAIL = "/console/services/edit?name=orders", "/console/services/service"
PAGE = f"{DETAIL}?name=orders"
ORDERS = """\
# Comments are not kept.
Hosts: [orders.example.com]
ResourceTypes:
  order: order/{id}
Actions:
  ListOrders: {AccessLevel: List}
  GetOrder: {AccessLevel: Read, ResourceTypes: [order]}
ConditionKeys:
  orders:Priority: String
Routes:
- {Methods: [GET], Path: /orders, Action: ListOrders}
- {Methods: [GET, HEAD], Path: '/orders/{id}', Action: GetOrder}
"""
HOSTS = "Hosts: [orders.example.com]"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
ORDER = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/"
TOKEN_FORM = f"{PAGE}#secret"


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "*")
    return await enter(world)


async def register(admin: Administrator, text: str = ORDERS) -> Any:
    return await admin.do(
        await admin.see(NEW), NEW, name="orders", definition=text, do="save"
    )


async def make_token(admin: Administrator, **typed: str) -> str:
    made = await admin.send(
        await admin.see(DETAIL, name="orders"), TOKEN_FORM, do="make-token", **typed
    )
    assert made.status_code == 200, text_of(made)
    (token,) = html.fromstring(made.text).xpath("//pre[@id='token']//text()")
    return str(token)


async def ask(world: SignInWorld, token: str, action: str = "orders:GetOrder") -> Any:
    question = {"Principal": USER, "Actions": [action], "Resources": [f"{ORDER}7"]}
    return await world.browser().post(
        "/decisions", json=question, headers={"x-broker-service-token": token}
    )


def rows(page: Any, section: str) -> list[str]:
    tree = html.fromstring(page.text)
    match = tree.xpath(f"//section[@id='{section}']//tbody/tr")
    return [cells(row) for row in match]


def cells(row: Any) -> str:
    for line_break in row.xpath(".//br"):
        line_break.tail = f" {line_break.tail or ''}"
    generator = (cell.text_content() for cell in row.xpath("./td | ./th"))
    return " ".join(" ".join(generator).split())


async def test_a_service_is_registered_shown_and_edited(admin: Administrator) -> None:
    assert "No service is registered yet" in text_of(await admin.see(LIST))
    page = await register(admin)
    text = text_of(page)
    assert f"arn:aws:broker::{ACCOUNT}:service/orders" in text
    assert rows(page, "actions") == [
        "GET /orders orders:ListOrders *",
        f"GET, HEAD /orders/{{id}} orders:GetOrder {ORDER}{{id}}",
        "orders:ListOrders List None: on *",
        "orders:GetOrder Read order",
    ]
    assert "orders:Priority" in text
    listed = await admin.see(LIST)
    (row,) = html.fromstring(listed.text).xpath("//tbody/tr")
    assert cells(row).startswith("orders 2 2 None ")
    edit = await admin.see("/console/services/edit", name="orders")
    (area,) = html.fromstring(edit.text).xpath("//textarea[@name='definition']")
    view = area.text_content().lstrip("\n")
    assert "orders:Priority: String" in view
    page = await admin.do(
        edit, EDIT, definition=view.replace("Read", "Write"), do="save"
    )
    assert "orders:GetOrder Write order" in rows(page, "actions")


async def test_an_empty_definition_counts_as_execute_api(admin: Administrator) -> None:
    page = await register(admin, HOSTS)
    text = text_of(page)
    assert f"arn:aws:execute-api:us-east-1:{ACCOUNT}:orders/$default/*" in text
    assert "execute-api:Invoke" in text_of(await admin.see(LIST))


WRONG = of_file(__file__, "WRONG")


@pytest.mark.parametrize(("definition", "said", "place"), WRONG)
async def test_a_mistake_is_shown_where_it_is(
    admin: Administrator, definition: str, said: str, place: str
) -> None:
    for do in ("check", "save"):
        page = await admin.send(
            await admin.see(NEW), NEW, name="orders", definition=definition, do=do
        )
        assert page.status_code == 400
        tree = html.fromstring(page.text)
        problems = tree.xpath("string(//*[@id='problems'])")
        assert said in problems
        assert place in problems
        (area,) = tree.xpath("//textarea[@name='definition']")
        assert area.text_content().strip() == definition
    assert "No service is registered yet" in text_of(await admin.see(LIST))


async def test_what_the_action_refuses_is_shown_with_what_was_typed(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW)
    for name, said in (("Orders", "serviceName"), ("sts", "is taken")):
        answer = await admin.send(page, NEW, name=name, definition=HOSTS, do="save")
        assert answer.status_code == 400
        assert said in text_of(answer)
    await register(admin)
    again = await admin.send(page, NEW, name="orders", definition=HOSTS, do="save")
    assert again.status_code == 409
    assert "A service named orders already exists" in text_of(again)
    assert "orders:GetOrder" in text_of(await admin.see(DETAIL, name="orders"))


async def test_of_two_who_edit_the_second_is_told(admin: Administrator) -> None:
    await register(admin)
    path = "/console/services/edit"
    first = await admin.see(path, name="orders")
    second = await admin.see(path, name="orders")
    await admin.do(first, EDIT, definition="Hosts: [a.example]", do="save")
    told = await admin.send(second, EDIT, definition="Hosts: [b.example]", do="save")
    assert told.status_code == 409
    tree = html.fromstring(told.text)
    assert "a.example" in tree.xpath("string(//*[@id='conflict'])")
    assert "b.example" in tree.xpath("string(//textarea[@name='definition'])")
    page = await admin.do(told, EDIT, definition="Hosts: [b.example]", do="save")
    assert "b.example" in text_of(page)


async def test_a_token_is_shown_once_and_revoked(
    admin: Administrator, world: SignInWorld
) -> None:
    await admin.send(
        await admin.see("/console/users/new"),
        "/console/users/new",
        name="ann",
        console="none",
    )
    await register(admin)
    token = await make_token(admin, days="30", addresses="127.0.0.1, 10.0.0.0/8")
    assert (await ask(world, token)).status_code == 200
    page = await admin.see(DETAIL, name="orders")
    assert token not in page.text
    (row,) = rows(page, "tokens")
    assert "127.0.0.1/32, 10.0.0.0/8" in row
    token_id = row.split()[0]
    await admin.do(page, PAGE, do="revoke", token=token_id)
    assert (await ask(world, token)).status_code == 403
    page = await admin.see(DETAIL, name="orders")
    for days, addresses in (("367", ""), ("x", ""), ("", "nowhere")):
        wrong = await admin.send(
            page, TOKEN_FORM, do="make-token", days=days, addresses=addresses
        )
        assert wrong.status_code == 400
    assert rows(await admin.see(DETAIL, name="orders"), "tokens") == []


async def test_tokens_that_end_soon_are_told(
    admin: Administrator, world: SignInWorld
) -> None:
    await register(admin)
    for days in ("1", "10", "60"):
        await make_token(admin, days=days)
    world.clock.move(2 * 86_400)
    admin = await enter(world)
    ends = (world.clock.now() + timedelta(days=8)).strftime("%Y-%m-%d")
    (row,) = html.fromstring((await admin.see(LIST)).text).xpath("//tbody/tr")
    assert f"2 ends {ends}" in cells(row)
    overview = html.fromstring((await admin.see("/console/overview")).text)
    card = overview.xpath("string(//section[@aria-labelledby='services'])")
    assert f"a token ends {ends}" in card
    text = " ".join(rows(await admin.see(DETAIL, name="orders"), "tokens"))
    assert text.count("expired") == text.count("soon") == 1


async def test_decisions_are_shown_with_their_reasons(
    admin: Administrator, world: SignInWorld
) -> None:
    await admin.send(
        await admin.see("/console/users/new"),
        "/console/users/new",
        name="ann",
        console="none",
    )
    await register(admin)
    page = await admin.see(DETAIL, name="orders")
    assert "No decision is in the audit log yet" in text_of(page)
    token = await make_token(admin)
    assert not (await ask(world, token)).json()["Allowed"]
    refused = {"Principal": f"{USER}x", "Actions": ["orders:GetOrder"]}
    await world.browser().post(
        "/decisions", json=refused, headers={"x-broker-service-token": token}
    )
    await world.services.decisions.close()
    await world.recorded("broker:CountDecisions")
    while await world.services.stores.ledger.count(name_reason):
        pass
    page = await admin.see(DETAIL, name="orders")
    assert ": 0 allowed requests, 2 refusals" in text_of(page)
    table = html.fromstring(page.text).xpath(
        "//*[@aria-label='Last recorded decisions']//tbody/tr"
    )
    listed_rows = [cells(row) for row in table]
    denied, unknown = sorted(listed_rows, key=lambda row: "No action" in row)
    assert "orders:GetOrder order/7 user/ann denied" in denied
    assert "No identity-based policy allows" in denied
    assert "has no user annx" in unknown
    assert "0 allowed, 2 refused" in text_of(await admin.see(LIST))
    # What another service is asked for is not shown here.
    actions = {"Get": {"AccessLevel": "Read"}}
    other = json.dumps({"Hosts": ["a.example.com"], "Actions": actions})
    await admin.do(await admin.see(NEW), NEW, name="order", definition=other, do="save")
    page = await admin.see(DETAIL, name="order")
    assert "No decision is in the audit log yet" in text_of(page)


async def test_a_gateway_that_is_refused_is_shown(
    admin: Administrator, world: SignInWorld
) -> None:
    """Its clients see a 500, and only its own log says more."""
    arn = f"arn:aws:broker::{ACCOUNT}:service/s3"
    definition = json.dumps({"Hosts": ["a.example.com"], "Scopes": ["s3"]})
    await admin.do(
        await admin.see(NEW), NEW, name="s3", definition=definition, do="save"
    )
    now = world.clock.now()
    record = AuditRecord(
        event_id=new_request_id(),
        at=now,
        account=ACCOUNT,
        door="gateway",
        action="broker:DeriveSigningKey",
        caller_arn=f"arn:aws:iam::{ACCOUNT}:user/gateway",
        resources=(arn,),
        decision="error",
        reason="allowed by a policy",
        detail="The service's region is us-east-1.",
        error_code="ValidationError",
    )
    await world.services.stores.ledger.append(record)
    await world.services.stores.ledger.append(
        structs.replace(
            record, event_id=new_request_id(), error_code="", decision="allowed"
        )
    )
    rows: list[Any] = []
    while not rows:  # records are written behind the answers
        page = await admin.see(DETAIL, name="s3")
        rows = html.fromstring(page.text).xpath(
            "//*[@aria-label='Last recorded decisions']//tbody/tr"
        )
    (row,) = rows
    assert "user/gateway" in cells(row)
    assert "The service's region is us-east-1." in cells(row)


async def test_decisions_of_services_without_actions_are_told_apart(
    admin: Administrator, world: SignInWorld
) -> None:
    for name in ("web", "webdav"):
        await admin.do(
            await admin.see(NEW), NEW, name=name, definition=HOSTS, do="save"
        )
        path = f"{DETAIL}?name={name}#secret"
        made = await admin.send(
            await admin.see(DETAIL, name=name), path, do="make-token", days="1"
        )
        (token,) = html.fromstring(made.text).xpath("//pre[@id='token']//text()")
        arn = f"arn:aws:execute-api:us-east-1:{ACCOUNT}:{name}/$default/GET/a"
        question = {
            "Principal": f"arn:aws:iam::{ACCOUNT}:root",
            "Actions": ["execute-api:Invoke"],
            "Resources": [arn],
        }
        answer = await world.browser().post(
            "/decisions", json=question, headers={"x-broker-service-token": token}
        )
        assert answer.json()["Allowed"], answer.text
    while sum(r.action == "execute-api:Invoke" for r in await world.audit()) < 2:  # noqa: ASYNC110  # a database is asked
        await asyncio.sleep(0.02)
    for name in ("web", "webdav"):
        page = await admin.see(DETAIL, name=name)
        (row,) = html.fromstring(page.text).xpath(
            "//*[@aria-label='Last recorded decisions']//tbody/tr"
        )
        assert f"{name}/$default/GET/a" in cells(row)


async def test_without_the_audit_log_decisions_are_not_shown(
    world: SignInWorld,
) -> None:
    await grant(world, "broker:*")
    admin = await enter(world)
    page = await register(admin)
    assert "cloudtrail:LookupEvents" in text_of(page) or "signin:GetActivity" in (
        text_of(page)
    )
    assert "Decisions, 24 hours" not in text_of(await admin.see(LIST))
    await grant(world, "broker:ListServiceTokens", effect="Deny")
    page = await admin.see(DETAIL, name="orders")
    assert "broker:ListServiceTokens" in text_of(page)


async def test_a_service_is_deleted_by_its_name(admin: Administrator) -> None:
    page = await register(admin)
    assert (await admin.send(page, PAGE, do="delete", sure="order")).status_code == 400
    page = await admin.do(page, PAGE, do="delete", sure="orders")
    assert "No service is registered yet" in text_of(page)
    assert (await admin.browser.get(PAGE)).status_code == 404
