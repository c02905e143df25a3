"""Managed policies: the list, one of them, making and editing them."""

import asyncio
import json
from typing import Any

import pytest
from lxml import html

from broker.model.entities import User
from broker.stores.directory.kinds import MANAGED_POLICY, USER
from broker.stores.directory.policies import list_policy_versions
from tests.support.administrator import SAME, Administrator, enter, grant
from tests.support.controls import follow, press
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld, form_fields, text_of

LIST, NEW = "/console/policies", "/console/policies/new"
DETAIL, EDIT = "/console/policies/policy", "/console/policies/edit"
LAMBDA = "arn:aws:iam::aws:policy/AWSLambda_FullAccess"
READ = {
    "s0__actions": "s3:GetObject\ns3:ListBucket",
    "s0__resources": "arn:aws:s3:::files/*",
}
PAGE_BYTES_MAX = 60_000


def arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:policy/{name}"


async def make(admin: Administrator, name: str, **typed: Any) -> Any:
    """A new policy through the form; its page."""
    page = await admin.see(NEW)
    answer = await press(admin, page, "save", name=name, **{**READ, **typed})
    return await follow(admin, answer)


async def stored(admin: Administrator, name: str) -> Any:
    policy = await admin.world.services.stores.directory.named(
        MANAGED_POLICY, ACCOUNT, name
    )
    assert policy is not None
    return policy


async def test_a_policy_is_made_with_the_form(admin: Administrator) -> None:
    page = await make(
        admin, "ReadFiles", path="/team/", description="Read", tags="team=blue"
    )
    text = text_of(page)
    for entry in ("ReadFiles", "Limited: List, Read", "v1", "team", "blue", "Read"):
        assert entry in text
    policy = await stored(admin, "ReadFiles")
    assert (policy.path, policy.description) == ("/team/", "Read")
    assert json.loads(policy.default_version.document) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": "arn:aws:s3:::files/*",
            }
        ],
    }


async def test_a_policy_is_made_from_pasted_json(admin: Administrator) -> None:
    page = await admin.see(NEW)
    as_json = await press(admin, page, "show-json")
    statement = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    looked = await press(admin, as_json, "check", text=text)
    assert "only Deny statements" in text_of(looked)
    await follow(admin, await press(admin, looked, "save", name="No"))
    assert (await stored(admin, "No")).default_version.document == text


@pytest.mark.parametrize("source", [LAMBDA, " awslambda_fullaccess "])
async def test_a_policy_begins_with_one_of_awss(
    admin: Administrator, source: str
) -> None:
    page = await admin.see(NEW, **{"from": source})
    await follow(admin, await press(admin, page, "save", name="Mine"))
    document = json.loads((await stored(admin, "Mine")).default_version.document)
    assert "lambda:*" in document["Statement"][0]["Action"]


async def test_a_policy_that_aws_does_not_have_begins_nothing(
    admin: Administrator,
) -> None:
    page = await admin.browser.get(NEW, params={"from": "NoSuchPolicy"})
    assert page.status_code == 400
    assert "There is no AWS managed policy NoSuchPolicy to copy." in text_of(page)


async def test_the_form_and_json_hold_the_same(admin: Administrator) -> None:
    page = await press(admin, await admin.see(NEW), "add-condition:0", **READ)
    page = await press(
        admin,
        page,
        "show-json",
        s0__c0__key="aws:SourceIp",
        s0__c0__operator="IpAddress",
        s0__c0__values="10.0.0.0/8",
        name="Kept",
    )
    (area,) = html.fromstring(page.text).xpath("//textarea[@name='text']")
    written = json.loads(area.text)
    assert written["Statement"][0]["Condition"] == {
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}
    }
    assert "Limited: List, Read" in text_of(page)
    back = await press(admin, page, "show-form")
    (key,) = html.fromstring(back.text).xpath("//input[@name='s0.c0.key']")
    assert key.get("value") == "aws:SourceIp"
    (name,) = html.fromstring(back.text).xpath("//input[@name='name']")
    assert name.get("value") == "Kept"


async def test_what_the_form_cannot_say_is_kept_and_shown(admin: Administrator) -> None:
    page = await press(admin, await admin.see(NEW), "show-json")
    odd = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::a\nb"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [odd]})
    form = await press(admin, page, "show-form", text=text)
    assert "JSON only" in text_of(form)
    again = await press(admin, form, "show-json")
    (area,) = html.fromstring(again.text).xpath("//textarea[@name='text']")
    assert json.loads(area.text)["Statement"] == [odd]


@cases("text, place, marked")
async def test_a_mistake_is_shown_where_it_is_and_nothing_is_lost(
    admin: Administrator, text: str, place: str, marked: str
) -> None:
    page = await press(admin, await admin.see(NEW), "show-json")
    refused = await press(admin, page, "save", text=text, name="Bad")
    assert refused.status_code == 400
    assert place in text_of(refused)
    tree = html.fromstring(refused.text)
    assert tree.xpath("string(//mark)") == marked
    (area,) = tree.xpath("//textarea[@name='text']")
    assert area.text.removeprefix("\n") == text
    assert tree.xpath("//input[@name='name']")[0].get("value") == "Bad"


async def test_a_mistake_in_the_form_leads_to_its_statement(
    admin: Administrator,
) -> None:
    refused = await press(admin, await admin.see(NEW), "save", s0__actions="Nothing")
    assert refused.status_code == 400
    assert html.fromstring(refused.text).xpath("//a[@href='#s0']")


async def test_actions_are_picked_by_service_and_level(admin: Administrator) -> None:
    page = await press(admin, await admin.see(NEW), "pick:0")
    page = await press(admin, page, "pick-service:0", pick__service="ec2")
    assert "Write (" in text_of(page)
    page = await press(admin, page, "pick-level:0:4")
    tree = html.fromstring(page.text)
    offered = [box.get("value") for box in tree.xpath("//input[@name='pick.action']")]
    assert set(offered) == {"ec2:CreateTags", "ec2:DeleteTags"}
    page = await press(admin, page, "pick-add:0", pick__action="ec2:CreateTags")
    page = await press(admin, page, "pick-done:0")
    (area,) = html.fromstring(page.text).xpath("//textarea[@name='s0.actions']")
    assert area.text == "ec2:CreateTags"


async def test_the_longest_list_of_actions_is_a_small_page(
    admin: Administrator,
) -> None:
    page = await press(admin, await admin.see(NEW, **{"from": LAMBDA}), "pick:0")
    page = await press(admin, page, "pick-service:0", pick__service="ec2")
    assert "more are not shown" in text_of(page)
    assert len(page.content) < PAGE_BYTES_MAX


async def test_unknown_actions_are_advice(admin: Administrator) -> None:
    page = await press(
        admin, await admin.see(NEW), "check", **{**READ, "s0__actions": "s3:GetObjetc"}
    )
    assert "s3:GetObjetc is not an action of Amazon S3" in text_of(page)
    assert page.status_code == 200


async def test_a_key_that_nothing_brings_is_advice(admin: Administrator) -> None:
    keyed = {
        "s0__c0__operator": "StringEquals",
        "s0__c0__key": "aws:SourceVpce",
        "s0__c0__values": "vpce-1",
    }
    page = await press(admin, await admin.see(NEW), "check", **READ, **keyed)
    assert "aws:SourceVpce is a condition key that no request here has" in text_of(page)


async def test_statements_are_added_folded_and_removed(admin: Administrator) -> None:
    page = await admin.see(NEW)
    for number in range(1, 7):
        page = await press(admin, page, "add-statement")
        assert html.fromstring(page.text).xpath(f"//*[@id='s{number}']")
    tree = html.fromstring(page.text)
    assert len(tree.xpath("//fieldset[@class='part']")) == 4
    assert len(page.content) < PAGE_BYTES_MAX
    page = await press(admin, page, "remove-statement:0")
    assert not html.fromstring(page.text).xpath("//*[@id='s6']")


async def test_a_new_version_comes_into_force(admin: Administrator) -> None:
    await make(admin, "P")
    page = await admin.see(EDIT, arn=arn("P"))
    page = await follow(admin, await press(admin, page, "save", s0__actions="s3:*"))
    policy = await stored(admin, "P")
    assert policy.default_version.version_id == "v2"
    back = await press(admin, page, "set-default", version="v1")
    await follow(admin, back)
    assert (await stored(admin, "P")).default_version.version_id == "v1"


async def test_the_other_of_two_editors_sees_the_conflict(admin: Administrator) -> None:
    await make(admin, "P")
    mine = await admin.see(EDIT, arn=arn("P"))
    theirs = await admin.see(EDIT, arn=arn("P"))
    await follow(admin, await press(admin, theirs, "save", s0__actions="s3:PutObject"))
    refused = await press(admin, mine, "save", s0__actions="s3:DeleteObject")
    assert refused.status_code == 409
    text = text_of(refused)
    assert "Someone else has changed this policy" in text
    assert "s3:PutObject" in text
    assert "s3:DeleteObject" in text
    # Having seen it, one may save.
    await follow(admin, await press(admin, refused, "save"))
    assert "DeleteObject" in (await stored(admin, "P")).default_version.document


async def test_an_editor_does_not_write_to_a_later_policy_of_the_same_name(
    admin: Administrator,
) -> None:
    page = await make(admin, "P")
    mine = await admin.see(EDIT, arn=arn("P"))
    await follow(admin, await press(admin, page, "delete", sure="P"))
    await make(admin, "P", s0__actions="s3:PutObject")
    refused = await press(admin, mine, "save", s0__actions="s3:DeleteObject")
    assert refused.status_code == 409
    assert "s3:PutObject" in text_of(refused)
    assert (await stored(admin, "P")).default_version.version_id == "v1"
    await follow(admin, await press(admin, refused, "save"))
    assert "DeleteObject" in (await stored(admin, "P")).default_version.document


async def test_no_version_goes_for_a_document_that_is_refused(
    admin: Administrator,
) -> None:
    await make(admin, "P")
    full = await admin.see(EDIT, arn=arn("P"))
    for action in ("a", "b", "c", "d", "e"):
        page = await admin.see(EDIT, arn=arn("P"))
        full = await press(admin, page, "save", s0__actions=f"s3:{action}")
    assert full.status_code == 409
    for actions in ("nothing", "\n".join(f"s3:Get{i:0100}" for i in range(70))):
        refused = await press(admin, full, "save", drop="v1", s0__actions=actions)
        assert refused.status_code in {400, 409}
    policy = await stored(admin, "P")
    directory = admin.world.services.stores.directory
    versions = await list_policy_versions(directory, ACCOUNT, policy.policy_id)
    assert {version.version_id for version in versions} == {
        "v1",
        "v2",
        "v3",
        "v4",
        "v5",
    }


async def test_the_sixth_version_asks_which_one_goes(admin: Administrator) -> None:
    await make(admin, "P")
    for action in ("a", "b", "c", "d"):
        page = await admin.see(EDIT, arn=arn("P"))
        await follow(
            admin, await press(admin, page, "save", s0__actions=f"s3:{action}")
        )
    page = await admin.see(EDIT, arn=arn("P"))
    full = await press(admin, page, "save", s0__actions="s3:e")
    assert full.status_code == 409
    await follow(admin, await press(admin, full, "save", drop="v1"))
    assert (await stored(admin, "P")).default_version.version_id == "v6"


async def test_where_a_policy_is_used(admin: Administrator) -> None:
    page = await make(admin, "P")
    page = await follow(
        admin, await press(admin, page, "attach", kind="role", name="Brief")
    )
    assert "Brief" in text_of(page)
    used = await press(admin, page, "delete", sure="P")
    assert used.status_code == 409
    page = await follow(admin, await press(admin, page, "detach"))
    assert "It is not used" in text_of(page)


async def test_deleting_needs_the_name_and_takes_the_versions(
    admin: Administrator,
) -> None:
    page = await make(admin, "P")
    edit = await admin.see(EDIT, arn=arn("P"))
    await follow(admin, await press(admin, edit, "save"))
    refused = await press(admin, page, "delete", sure="Q")
    assert refused.status_code == 400
    gone = await press(admin, page, "delete", sure="P")
    assert gone.headers["location"] == f"{LIST}?scope=own"
    directory = admin.world.services.stores.directory
    assert await directory.named(MANAGED_POLICY, ACCOUNT, "P") is None


async def test_tags_come_and_go(admin: Administrator) -> None:
    page = await make(admin, "P")
    page = await follow(admin, await press(admin, page, "tag", tags="a=1\nb=2"))
    page = await follow(admin, await press(admin, page, "untag", key="a"))
    assert (await stored(admin, "P")).tags == {"b": "2"}
    wrong = await press(admin, page, "tag", tags="novalue")
    assert wrong.status_code == 400
    assert "novalue" in wrong.text


async def test_the_list_is_searched_and_filtered(admin: Administrator) -> None:
    for name in ("Alpha", "Beta"):
        await make(admin, name)
    assert "Alpha" in text_of(await admin.see(LIST, q="lph"))
    own = text_of(await admin.see(LIST, scope="own"))
    assert "Beta" in own
    assert "AdministratorAccess" not in own
    aws = text_of(await admin.see(LIST, scope="aws"))
    assert "AdministratorAccess" in aws
    assert "No matching policies" in text_of(await admin.see(LIST, attached="1"))


async def test_aws_policies_are_not_to_be_changed(admin: Administrator) -> None:
    page = await admin.see(DETAIL, arn=LAMBDA)
    assert not html.fromstring(page.text).xpath("//button[@value='delete']")
    refused = await admin.browser.get(EDIT, params={"arn": LAMBDA})
    assert refused.status_code == 400


async def test_parts_that_may_not_be_seen_do_not_end_the_page(
    world: SignInWorld,
) -> None:
    await grant(world, "iam:GetPolicy")
    some = await enter(world)
    text = text_of(await some.see(DETAIL, arn=LAMBDA))
    assert text.count("Not shown:") == 3


async def test_markup_stays_text(admin: Administrator) -> None:
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "s3:*",
                "Resource": "arn:aws:s3:::</textarea><script>x</script>",
            },
        }
    )
    page = await press(admin, await admin.see(NEW), "show-json")
    for command in ("check", "show-form", "show-json"):
        page = await press(
            admin, page, command, **({"text": text} if command == "check" else {})
        )
        assert "<script>x" not in page.text
    await follow(admin, await press(admin, page, "save", name="M"))
    assert "<script>x" not in (await admin.see(DETAIL, arn=arn("M"))).text


async def test_an_inline_policy_of_a_user_has_the_editor_too(
    admin: Administrator,
) -> None:
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            USER,
            User(
                account=ACCOUNT,
                user_id="AIDAAAAAAAAAAAAAAAAAA",
                name="ann",
                path="/",
                created_at=admin.world.clock.now(),
            ),
        )
    page = await admin.see("/console/inline", kind="user", name="ann")
    saved = await press(admin, page, "save", policy="Own", **READ)
    assert saved.status_code == 303
    page = await admin.see("/console/inline", kind="user", name="ann", policy="Own")
    assert "s3:ListBucket" in page.text


async def test_of_two_saves_at_once_one_wins(admin: Administrator) -> None:
    """The comparison is part of the change, so that no update is lost."""
    await make(admin, "P")
    pages = [await admin.see(EDIT, arn=arn("P")) for _ in range(2)]
    answers = await asyncio.gather(
        *(
            press(admin, page, "save", s0__actions=f"s3:{name}")
            for page, name in zip(pages, ("One", "Two"), strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409]


async def test_a_session_that_ends_in_the_editor_keeps_the_policy(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW)
    admin.world.clock.move(7200)
    late = await press(admin, page, "save", name="Late", **READ)
    assert late.status_code == 403
    kept = form_fields(late, NEW)
    assert kept["s0.resources"] == "arn:aws:s3:::files/*"
    again = await enter(admin.world)
    asked = await again.browser.post(NEW, data=kept, headers=SAME)
    done = await again.browser.post(NEW, data=form_fields(asked, NEW), headers=SAME)
    assert done.status_code == 303
    await stored(again, "Late")


@pytest.mark.parametrize("number", ["1e400", "9" * 5_000])
async def test_a_number_that_no_double_holds_is_refused(
    admin: Administrator, number: str
) -> None:
    """Else no page could be shown that reads all policies of the account."""
    condition = f'{{"NumericEquals": {{"s3:max-keys": {number}}}}}'
    page = await admin.see(NEW)
    token = html.fromstring(page.text).xpath("//input[@name='csrf']/@value")[0]
    allow = '"Effect": "Allow", "Action": "s3:*", "Resource": "*"'
    statement = f'{{{allow}, "Condition": {condition}}}'
    whole = f'{{"Version": "2012-10-17", "Statement": {statement}}}'
    for typed in (
        {"view": "json", "text": whole},
        {"view": "form", "s0.raw": statement},
        {"view": "form", "s0.raw": f'{{"Effect": "Allow", "Sid": {number}}}'},
    ):
        data = {"csrf": token, "do": "save", "name": "Number", **typed}
        answer = await admin.browser.post(NEW, data=data, headers=SAME)
        assert answer.status_code == 400, typed
    assert (await admin.see("/console/overview")).status_code == 200
