"""The simulator's page."""

import json
from typing import Any

import pytest
from lxml import html

from broker.kinds.accounts import require_account
from broker.kinds.registered_services import put_service
from broker.model.entities import InlinePolicy
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.administrator import Administrator, enter, grant
from tests.support.controls import press
from tests.support.signin import ACCOUNT, SignInWorld, role_arn, text_of

PATH = "/console/simulator"
PAGE_BYTES_MAX = 60_000


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


READ = policy(
    {
        "Sid": "Read",
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::files/*",
        "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    },
    {"Sid": "Never", "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"},
)


async def give(world: SignInWorld, role: str, document: str) -> None:
    stored_role = await world.services.fresh.named(ROLE, ACCOUNT, role)
    assert stored_role is not None
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=stored_role.role_id,
                name="P",
                document=document,
            ),
        )


async def ask(admin: Administrator, **typed: Any) -> Any:
    return await press(admin, await admin.see(PATH), "simulate", **typed)


def answers(page: Any) -> list[tuple[str, str]]:
    """Headline and question of each answer."""
    return [
        (card.xpath("string(h2)"), card.xpath("string(p[1])"))
        for card in html.fromstring(page.text).xpath("//article")
    ]


async def test_a_roles_policies_decide_and_the_statement_is_shown(
    admin: Administrator,
) -> None:
    await give(admin.world, "Brief", READ)
    page = await ask(
        admin,
        kind="role",
        name="Brief",
        actions="s3:GetObject\ns3:DeleteObject\ns3:PutObject",
        resources="arn:aws:s3:::files/a",
        k0__name="aws:SourceIp",
        k0__type="ip",
        k0__values="10.1.2.3",
    )
    on = "on arn:aws:s3:::files/a"
    assert answers(page) == [
        ("Allowed", f"s3:GetObject {on}"),
        ("Denied by a statement", f"s3:DeleteObject {on}"),
        ("Not allowed", f"s3:PutObject {on}"),
    ]
    text = text_of(page)
    assert 'Statement 1 ("Read") of role_Brief_P allows s3:GetObject' in text
    first, second = html.fromstring(page.text).xpath("//article//pre/text()")
    assert json.loads(first) == json.loads(READ)["Statement"][0]
    assert json.loads(second)["Sid"] == "Never"


async def test_pasted_policies_name_the_missing_keys(admin: Administrator) -> None:
    page = await press(admin, await admin.see(PATH), "add-policy")
    page = await press(
        admin,
        page,
        "simulate",
        kind="pasted",
        policy0=READ,
        actions="s3:GetObject",
        resources="arn:aws:s3:::files/a",
    )
    ((headline, _),) = answers(page)
    assert headline == "Not allowed"
    text = text_of(page)
    assert "Condition keys without a value: aws:SourceIp" in text
    assert "of pasted policy 1 comes closest" in text
    # The button that finds them makes the fields.
    page = await press(admin, page, "find-keys")
    (kind,) = html.fromstring(page.text).xpath("//select[@name='k0.type']")
    assert kind.xpath("string(option[@selected])") == "ip"
    page = await press(admin, page, "simulate", k0__values="10.0.0.1")
    assert answers(page)[0][0] == "Allowed"


async def test_a_boundary_limits(admin: Administrator) -> None:
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    page = await press(admin, await admin.see(PATH), "add-policy")
    page = await press(
        admin,
        page,
        "simulate",
        kind="pasted",
        policy0=policy(allow),
        boundary=policy({**allow, "Action": "sqs:*"}),
        actions="s3:GetObject",
    )
    assert answers(page)[0][0] == "Not allowed"
    assert "The permissions boundary does not allow it" in text_of(page)


async def test_a_resource_policy_lets_its_caller_in(admin: Administrator) -> None:
    ann = f"arn:aws:iam::{ACCOUNT}:user/ann"
    granting = {
        "Sid": "Ann",
        "Effect": "Allow",
        "Principal": {"AWS": ann},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::files/*",
    }
    page = await press(admin, await admin.see(PATH), "add-policy")
    page = await press(
        admin,
        page,
        "simulate",
        kind="pasted",
        policy0=policy({"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}),
        resource_policy=policy(granting),
        caller=ann,
        actions="s3:GetObject",
        resources="arn:aws:s3:::files/a",
    )
    assert answers(page)[0][0] == "Allowed"
    (view,) = html.fromstring(page.text).xpath("//article//pre/text()")
    assert json.loads(view) == granting


async def test_a_single_statement_without_a_list_is_shown_whole(
    admin: Administrator,
) -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    page = await press(admin, await admin.see(PATH), "add-policy")
    page = await press(
        admin,
        page,
        "simulate",
        kind="pasted",
        policy0=json.dumps({"Version": "2012-10-17", "Statement": statement}, indent=1),
        actions="s3:GetObject",
    )
    (view,) = html.fromstring(page.text).xpath("//article//pre/text()")
    assert json.loads(view) == statement


async def test_actions_are_picked_from_the_catalogue(admin: Administrator) -> None:
    page = await press(admin, await admin.see(PATH), "pick:0")
    page = await press(admin, page, "pick-service:0", pick__service="sqs")
    page = await press(admin, page, "pick-add:0", pick__action="sqs:SendMessage")
    (area,) = html.fromstring(page.text).xpath("//textarea[@name='actions']")
    assert area.text == "sqs:SendMessage"


async def test_the_page_begins_with_the_principal_of_a_link(
    admin: Administrator,
) -> None:
    page = await admin.see(PATH, principal=role_arn("Brief"))
    (name,) = html.fromstring(page.text).xpath("//input[@name='name']/@value")
    assert name == "Brief"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"actions": ""}, "at least one action"),
        ({"actions": "s3:*"}, "Invalid Action Name"),
        ({"resources": "files"}, "ARN format"),
        ({"name": ""}, "name of the role"),
        ({"name": "Missing"}, "cannot be found"),
        ({"kind": "pasted"}, "Paste a policy"),
        ({"actions": "\n".join(f"s3:A{n}" for n in range(101))}, "at a time"),
        ({"k0__name": "nocolon", "k0__values": "x"}, "service prefix"),
        ({"boundary": '{"Statement": {"Effect": "Permit"}}'}, "Line 1, column 26"),
        ({"owner": "12"}, "Resource Owner"),
    ],
)
async def test_what_cannot_be_asked_is_said_and_nothing_typed_is_lost(
    admin: Administrator, typed: dict[str, str], said: str
) -> None:
    params = {"kind": "role", "name": "Brief", "actions": "s3:GetObject", **typed}
    page = await ask(admin, **params)
    assert page.status_code in {400, 404}
    assert said in text_of(page)
    (area,) = html.fromstring(page.text).xpath("//textarea[@name='actions']")
    assert (area.text or "").strip() == params["actions"].strip()


async def test_who_may_not_read_policies_sees_decisions_only(
    world: SignInWorld,
) -> None:
    await give(world, "Brief", READ)
    await grant(world, "iam:Simulate*")
    some = await enter(world)
    page = await ask(some, kind="role", name="Brief", actions="s3:DeleteObject")
    assert answers(page)[0][0] == "Denied by a statement"
    text = text_of(page)
    assert "You may not read this policy" in text
    assert "Never" not in text
    assert "iam:ListRolePolicies" in text


async def test_the_permission_to_simulate_is_needed(world: SignInWorld) -> None:
    nobody = await enter(world, "Brief")
    page = await ask(nobody, kind="role", name="Brief", actions="s3:GetObject")
    assert page.status_code == 403
    assert "iam:SimulatePrincipalPolicy" in text_of(page)


async def test_many_answers_are_a_small_page(admin: Administrator) -> None:
    await give(admin.world, "Brief", READ)
    page = await ask(
        admin,
        kind="role",
        name="Brief",
        actions="\n".join(f"s3:Delete{n}" for n in range(100)),
        resources="arn:aws:s3:::a\narn:aws:s3:::b",
    )
    assert "more results are not shown" in text_of(page)
    assert len(page.content) < PAGE_BYTES_MAX


async def test_registered_services_are_offered(world: SignInWorld) -> None:
    definition = {
        "ResourceTypes": {"order": "order/{id}", "shelf": "shelf/{id}"},
        "Actions": {
            "GetOrder": {"AccessLevel": "Read", "ResourceTypes": ["order"]},
            "ListOrders": {"AccessLevel": "List"},
        },
        "Hosts": ["orders.example.com"],
        "ConditionKeys": {
            "orders:From": "IPAddress",
            "orders:Large": "Bool",
            "aws:ResourceTag/*": "String",
        },
    }
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await put_service(
            change,
            await require_account(change, ACCOUNT),
            "orders",
            json.dumps(definition),
            world.clock.now(),
        )
    await grant(world, "*")
    admin = await enter(world)
    asked = {"kind": "role", "name": "Brief", "actions": "orders:GetOrder"}
    page = await press(admin, await admin.see(PATH), "find-keys", **asked)
    tree = html.fromstring(page.text)
    results = {
        tree.xpath(f"//*[@name='k{n}.name']/@value")[0]: tree.xpath(
            f"//select[@name='k{n}.type']/option[@selected]/text()"
        )[0]
        for n in range(2)
    }
    assert results == {"orders:From": "ip", "orders:Large": "boolean"}
    assert not tree.xpath("//*[@name='k2.name']")
    arn = f"arn:aws:orders:us-east-1:{ACCOUNT}:"
    assert f"{arn}order/{{id}}" in page.text
    assert f"{arn}shelf" not in page.text
    condition = {"IpAddress": {"orders:From": "10.0.0.0/8"}}
    await give(
        world,
        "Brief",
        policy(
            {
                "Effect": "Allow",
                "Action": "orders:*",
                "Resource": "*",
                "Condition": condition,
            }
        ),
    )
    for address, decision in (("10.1.2.3", "Allowed"), ("8.8.8.8", "Not allowed")):
        page = await press(
            admin,
            page,
            "simulate",
            **{**asked, "resources": f"{arn}order/7", "k0.values": address},
        )
        assert [headline for headline, _ in answers(page)] == [decision]
