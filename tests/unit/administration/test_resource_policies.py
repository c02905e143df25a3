"""Policies of registered services' resources in the console."""

import json
from typing import Any

import pytest
from lxml import html

from broker.administration.policy_draft import find_fields
from broker.kinds import registered_services
from broker.kinds.accounts import require_account
from broker.policy import PolicyKind
from tests.support.administrator import Administrator, enter, grant
from tests.support.furnished import ORDERS
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld, text_of

LIST, NEW = "/console/resource-policies", "/console/resource-policies/new"
EDIT = "/console/resource-policies/edit"
ORDER = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/7"
PAGE = f"{EDIT}?arn=arn%3Aaws%3Aorders%3Aus-east-1%3A{ACCOUNT}%3Aorder%2F7"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "*")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        await registered_services.put_service(
            change, account, "orders", ORDERS, world.clock.now()
        )
    made = await enter(world)
    new = "/console/users/new"
    await made.send(await made.see(new), new, name="ann", console="none")
    return made


def statement(**changes: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"AWS": ANN},
        "Action": "orders:GetOrder",
        **changes,
    }


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


async def put(admin: Administrator, text: str, arn: str = ORDER, **typed: str) -> Any:
    page = await admin.see(NEW)
    params = {"arn": arn, "do": "save", "view": "json", "text": text, **typed}
    return await admin.post(page, NEW, **params)


def field(page: Any, name: str) -> str:
    (match,) = html.fromstring(page.text).xpath(f"//*[@name='{name}']")
    return str(match.get("value") or match.text_content().strip())


async def simulated(admin: Administrator) -> str:
    path = "/console/simulator"
    page = await admin.see(path)
    answer = await admin.send(
        page,
        f"{path}#answers",
        kind="user",
        name="ann",
        actions="orders:GetOrder",
        resources=f"{ORDER}/files/a",
        do="simulate",
    )
    return text_of(answer)


async def test_a_policy_is_put_edited_found_and_deleted(admin: Administrator) -> None:
    assert "No resource has a policy yet" in text_of(await admin.see(LIST))
    assert "Not allowed" in await simulated(admin)
    made = await put(admin, document(statement()))
    assert made.status_code == 303, text_of(made)
    assert f'title="{ORDER}"' in (await admin.see(LIST)).text
    assert "Allowed" in await simulated(admin)
    assert "No matching" in text_of(await admin.see(LIST, q="store"))
    page = await admin.see(LIST, q="ORDER/7")
    (link,) = html.fromstring(page.text).xpath("//tbody//th/a/@href")
    edit = await admin.see(link)
    assert field(edit, "s0.p0.values") == ANN
    assert field(edit, "s0.resources") == ""
    fields = form_of(edit)
    denied = await admin.browser.post(
        PAGE, data={**fields, "s0.effect": "Deny", "do": "save"}, headers=SAME
    )
    assert denied.status_code == 303, text_of(denied)
    assert "Denied by a statement" in await simulated(admin)
    page = await admin.do(await admin.see(link), PAGE, do="delete")
    assert "No resource has a policy yet" in text_of(page)
    assert "Not allowed" in await simulated(admin)
    assert (await admin.browser.get(link)).status_code == 404


SAME = {"sec-fetch-site": "same-origin"}


def form_of(page: Any) -> dict[str, str]:
    """The editor's form as it is."""
    (form,) = html.fromstring(page.text).xpath("//form[.//*[@id='editor']]")
    return {name: value for name, value in form.form_values() if name != "do"}


async def test_the_form_keeps_what_a_statement_says(admin: Administrator) -> None:
    statements = [
        statement(Sid="One of them", Resource=f"{ORDER}/*"),
        statement(Principal="*", Effect="Deny"),
        statement(NotPrincipal={"AWS": ANN}, Effect="Deny"),
        statement(
            Principal={"AWS": [ANN, f"arn:aws:iam::{ACCOUNT}:root"]},
            Condition={"StringEquals": {"orders:Priority": "high"}},
        ),
    ]
    del statements[2]["Principal"]
    text = document(*statements)
    assert (await put(admin, text)).status_code == 303
    edit = await admin.see(EDIT, arn=ORDER)
    assert "JSON only" in text_of(edit)
    response = await admin.browser.post(
        PAGE, data={**form_of(edit), "do": "show-json"}, headers=SAME
    )
    assert json.loads(field(response, "text")) == json.loads(text)


@cases("arn, text, said")
async def test_what_is_refused_is_kept_with_the_reason(
    admin: Administrator, arn: str, text: str, said: str
) -> None:
    answer = await put(admin, text, arn)
    assert answer.status_code == 400
    tree = html.fromstring(answer.text)
    assert said.lower() in tree.xpath("string(//*[@id='problem'])").lower()
    assert field(answer, "arn") == arn
    assert field(answer, "text") == text
    assert "No resource has a policy yet" in text_of(await admin.see(LIST))


async def test_of_two_policies_for_a_resource_the_second_is_told(
    admin: Administrator,
) -> None:
    await put(admin, document(statement()))
    told = await put(admin, document(statement(Effect="Deny")))
    assert told.status_code == 409
    conflict = html.fromstring(told.text).xpath("string(//*[@id='conflict'])")
    assert '"Allow"' in conflict
    again = await admin.browser.post(
        NEW, data={**form_of(told), "do": "save"}, headers=SAME
    )
    assert again.status_code == 303
    assert "Denied by a statement" in await simulated(admin)


async def test_actions_are_chosen_from_the_service(admin: Administrator) -> None:
    page = await admin.see(NEW)
    assert "orders" in html.fromstring(page.text).xpath(
        "//datalist[@id='services']/option/text()"
    )
    asked = {**form_of(page), "pick": "0", "pick.service": "orders", "pick.level": ""}
    chosen = await admin.browser.post(
        NEW, data={**asked, "do": "pick-service:0"}, headers=SAME
    )
    offered = html.fromstring(chosen.text).xpath("//input[@name='pick.action']/@value")
    assert offered == ["orders:ListOrders", "orders:GetOrder"]
    text = text_of(chosen)
    assert f"arn:aws:orders:us-east-1:{ACCOUNT}:order/*" in text
    keys = html.fromstring(chosen.text).xpath("//datalist[@id='keys']/option/text()")
    assert "orders:Priority" in keys
    added = await admin.browser.post(
        NEW,
        data={**asked, "pick.action": "orders:GetOrder", "do": "pick-add:0"},
        headers=SAME,
    )
    assert field(added, "s0.actions") == "orders:GetOrder"


async def test_advice_knows_the_services(admin: Administrator) -> None:
    for action, said in (
        ("orders:GetOrder", "well-formed"),
        ("orders:GetOrders", "orders:GetOrders is not an action of orders"),
        ("store:Get", "store:Get is an action of a service that AWS does not have"),
    ):
        page = await put(admin, document(statement(Action=action)), do="check")
        assert said in text_of(page)
    page = await put(admin, document(statement(Principal="*")), do="check")
    assert "every principal of this account is allowed" in text_of(page)


async def test_who_may_not_list_services_edits_without_them(
    world: SignInWorld, admin: Administrator
) -> None:
    await grant(world, "broker:ListServices", effect="Deny")
    page = await admin.see(NEW)
    services = html.fromstring(page.text).xpath(
        "//datalist[@id='services']/option/text()"
    )
    assert "s3" in services
    assert "orders" not in services
    await admin.see(LIST)
    await world.recorded("broker:ListResourcePolicies")
    assert "broker:ListServices" not in {entry.action for entry in await world.audit()}


@pytest.mark.parametrize(
    "principal", [{"CanonicalUser": "a"}, [], "AIDA", {"AWS": 7}, {}]
)
def test_principals_that_the_form_does_not_know_stay_json(principal: Any) -> None:
    assert find_fields(statement(Principal=principal), PolicyKind.RESOURCE) is None
