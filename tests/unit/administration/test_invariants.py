"""The page of an account's invariants: each is stated, edited and deleted there."""

import json

import pytest
from lxml import html
from msgspec.structs import replace

from broker.kinds.control_policies import ControlKind, control_policies
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, SignInWorld, text_of

LIST = "/console/invariants"
NO_ROOT_TASKS = {"Effect": "Deny", "Action": "sts:AssumeRoot", "Resource": "*"}


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    """An administrator who may state invariants, and perform root tasks."""
    await grant(world, "iam:*", "broker:*", "sts:AssumeRoot")
    return await enter(world)


def document(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


async def names(world: SignInWorld) -> list[str]:
    account = await world.services.stores.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    return [entry.name for entry in control_policies(account, ControlKind.INVARIANT)]


async def test_an_invariant_is_stated_edited_and_deleted(
    admin: Administrator, world: SignInWorld
) -> None:
    page = await admin.see(LIST)
    assert "No invariants" in text_of(page)
    exempt = {"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}}
    mild = {**NO_ROOT_TASKS, "Condition": exempt}
    for number, statement in enumerate((mild, {**mild, "Action": "sts:*"})):
        page = await admin.do(
            page, LIST, do="save", name="no-root", document=document(statement)
        )
        shown = html.fromstring(page.text).xpath("//section//pre")
        assert len(shown) == 1
        assert statement["Action"] in shown[0].text_content(), number
    page = await admin.see(LIST, edit="no-root")
    (text,) = html.fromstring(page.text).xpath("//textarea[@name='document']")
    assert "sts:*" in text.text_content()
    await admin.do(page, LIST, do="delete", name="no-root")
    assert await names(world) == []


async def test_what_breaks_a_new_invariant_is_told_and_the_text_kept(
    admin: Administrator, world: SignInWorld
) -> None:
    page = await admin.see(LIST)
    text = document(NO_ROOT_TASKS)
    answer = await admin.send(page, LIST, do="save", name="no-root", document=text)
    assert answer.status_code == 403
    assert "The invariant no-root would be broken: " in text_of(answer)
    assert "could sts:AssumeRoot on" in text_of(answer)
    (kept,) = html.fromstring(answer.text).xpath("//textarea[@name='document']")
    assert kept.text_content().strip() == text
    assert await names(world) == []


async def test_what_somebody_else_changed_meanwhile_is_not_lost(
    admin: Administrator, world: SignInWorld
) -> None:
    page = await admin.see(LIST)
    mild = {**NO_ROOT_TASKS, "Action": "organizations:LeaveOrganization"}
    mild["Condition"] = {"StringEquals": {"aws:PrincipalType": "Nobody"}}
    directory = world.services.stores.directory
    account = await directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    other = [{"PolicyName": "other", "PolicyDocument": document(mild)}]
    async with directory.change(ACCOUNT) as change:
        options = {**account.options, ControlKind.INVARIANT.value: other}
        await update_account(change, replace(account, options=options))
    answer = await admin.send(
        page, LIST, do="save", name="mine", document=document(mild)
    )
    assert answer.status_code == 409
    assert "Someone else changed the invariants" in text_of(answer)
    assert await names(world) == ["other"]


async def test_stating_one_needs_the_permission(
    admin: Administrator, world: SignInWorld
) -> None:
    page = await admin.see(LIST)
    await grant(world, "broker:PutInvariants", effect="Deny")
    answer = await admin.send(
        page, LIST, do="save", name="mine", document=document(NO_ROOT_TASKS)
    )
    assert answer.status_code == 403
    assert "broker:PutInvariants" in text_of(answer)
