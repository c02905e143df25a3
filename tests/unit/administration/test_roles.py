"""Roles: the list, one of them, making them, and who may assume them."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from msgspec.structs import replace

from broker.kinds.accounts import require_account
from broker.kinds.service_linked_roles import create_linked_role
from broker.model.entities import InlinePolicy, OidcProvider, User
from broker.stores.directory.kinds import OIDC_PROVIDER, ROLE, USER
from broker.stores.directory.policies import delete_inline_policy, put_inline_policy
from broker.stores.uses import UseBuffer
from tests.support.administrator import Administrator, enter, grant
from tests.support.controls import follow, press
from tests.support.rows import cases
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    provider_arn,
    role_arn,
    text_of,
)

LIST, NEW = "/console/roles", "/console/roles/new"
DETAIL, ASSUMERS = "/console/roles/role", "/console/roles/who"
TRUST, INLINE = "/console/roles/trust", "/console/inline"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
PAGE_BYTES_MAX = 60_000


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    """Somebody who may look at sessions and records, too."""
    await grant(world, "iam:*", "signin:*", "cloudtrail:*")
    return await enter(world)


async def stored(admin: Administrator, name: str) -> Any:
    role = await admin.world.services.stores.directory.named(ROLE, ACCOUNT, name)
    assert role is not None
    return role


async def make_user(admin: Administrator, name: str, *actions: str) -> None:
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        user = User(
            account=ACCOUNT,
            user_id=f"AIDA{name.upper():A>17}",
            name=name,
            path="/",
            created_at=admin.world.clock.now(),
        )
        await change.insert(USER, user)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": statement}
        if actions:
            await put_inline_policy(
                change,
                InlinePolicy(
                    account=ACCOUNT,
                    owner_id=user.user_id,
                    name="May",
                    document=json.dumps(document),
                ),
            )


async def test_the_list_is_searched_and_tells_the_last_use(
    admin: Administrator,
) -> None:
    await admin.world.services.uses.flush()
    label = text_of(await admin.see(LIST))
    for text in ("Admin", "Brief", "Reader", "Last used", "Never"):
        assert text in label
    value = text_of(await admin.see(LIST, q="rIe"))
    assert "Brief" in value
    assert "No matching roles" in text_of(await admin.see(LIST, q="nothing"))


async def test_anyone_who_may_only_list_roles_sees_no_uses(world: SignInWorld) -> None:
    await grant(world, "iam:ListRoles")
    some = await enter(world)
    text = text_of(await some.see(LIST))
    assert "Brief" in text
    assert "Last used" not in text
    assert "Brief" in text_of(await some.see(LIST, q="brie"))


async def test_a_role_for_a_saml_provider(admin: Administrator) -> None:
    page = await admin.see(NEW, **{"for": "saml"})
    answer = await press(
        admin,
        page,
        "save",
        name="People",
        minutes="120",
        tags="team=blue",
        chosen=READ_ONLY,
        attribute="SAML:sub_type",
        value="persistent",
    )
    text = text_of(await follow(admin, answer))
    for entry in ("People", "through Corp (SAML)", "ReadOnlyAccess", "120 minutes"):
        assert entry in text
    role = await stored(admin, "People")
    (statement,) = json.loads(role.trust_policy)["Statement"]
    assert statement["Principal"] == {"Federated": provider_arn()}
    assert statement["Condition"] == {
        "StringLike": {"SAML:aud": "http://127.0.0.1:8080/saml*"},
        "StringEquals": {"SAML:sub_type": "persistent"},
    }


async def test_a_role_for_tokens_needs_an_audience(admin: Administrator) -> None:
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            OIDC_PROVIDER,
            OidcProvider(
                account=ACCOUNT,
                unique_id="OIDCPAAAA",
                url="https://ci.example.com",
                client_ids=("app",),
                thumbprints=(),
                created_at=admin.world.clock.now(),
            ),
        )
    page = await admin.see(NEW, **{"for": "oidc"})
    refused = await press(admin, page, "save", name="Deploy")
    assert refused.status_code == 400
    assert "audience" in text_of(refused)
    answer = await press(
        admin, refused, "save", audience="app", subjects="repo:org/*:main"
    )
    await follow(admin, answer)
    (statement,) = json.loads((await stored(admin, "Deploy")).trust_policy)["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {"ci.example.com:aud": "app"},
        "StringLike": {"ci.example.com:sub": "repo:org/*:main"},
    }
    answer = await press(
        admin, refused, "save", name="Both", audience="app", subjects="a:b\r\n\r\nc:d"
    )
    await follow(admin, answer)
    (statement,) = json.loads((await stored(admin, "Both")).trust_policy)["Statement"]
    assert statement["Condition"]["StringEquals"] == {
        "ci.example.com:aud": "app",
        "ci.example.com:sub": ["a:b", "c:d"],
    }


@cases("trusted, typed, principal, condition")
async def test_a_role_for_others(
    admin: Administrator, trusted: str, typed: Any, principal: Any, condition: Any
) -> None:
    page = await admin.see(NEW, **{"for": trusted})
    await follow(admin, await press(admin, page, "save", name="R", **typed))
    (statement,) = json.loads((await stored(admin, "R")).trust_policy)["Statement"]
    assert statement["Principal"] == principal
    assert statement.get("Condition") == condition


async def test_sessions_may_bring_tags_and_a_source_identity_unless_unticked(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW, **{"for": "account"})
    await follow(admin, await press(admin, page, "save", name="R"))
    (statement,) = json.loads((await stored(admin, "R")).trust_policy)["Statement"]
    assert statement["Action"] == [
        *("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
    ]
    answer = await press(admin, page, "save", name="S", tag_session=None)
    assert "May bring a source identity." in text_of(await follow(admin, answer))
    (statement,) = json.loads((await stored(admin, "S")).trust_policy)["Statement"]
    assert statement["Action"] == ["sts:AssumeRole", "sts:SetSourceIdentity"]


async def test_the_trust_policy_can_be_seen_and_changed_before(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW, **{"for": "account"})
    page = await press(admin, page, "show-trust", name="Custom", tags="a=b")
    page = await press(admin, page, "show-json")
    (area,) = html.fromstring(page.text).xpath("//textarea[@name='text']")
    text = area.text.replace("sts:AssumeRole", "sts:Assume*")
    await follow(admin, await press(admin, page, "save", text=text))
    role = await stored(admin, "Custom")
    assert "sts:Assume*" in role.trust_policy
    assert role.tags == {"a": "b"}


async def test_what_could_not_be_attached_is_said(admin: Administrator) -> None:
    page = await admin.see(NEW, **{"for": "service"})
    answer = await press(
        admin, page, "save", name="Half", service="ec2", policies="Missing"
    )
    assert answer.status_code == 200
    assert "but some policies were not attached" in text_of(answer)
    await stored(admin, "Half")


@cases("typed")
async def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    admin: Administrator, typed: dict[str, str]
) -> None:
    page = await admin.see(NEW, **{"for": "service"})
    params = {"name": "Kept", "service": "ec2", "description": "Still", **typed}
    refused = await press(admin, page, "save", **params)
    assert refused.status_code in {400, 404}
    tree = html.fromstring(refused.text)
    assert tree.xpath("//*[@role='alert']")
    for field in ("name", "description", *typed):
        (control,) = tree.xpath(f"//*[@name='{field}']")
        text = control.text if control.tag == "textarea" else control.get("value")
        assert (text or "") in {params[field], "60"}


async def test_policies_are_attached_and_detached(admin: Administrator) -> None:
    page = await admin.see(DETAIL, name="Brief")
    page = await follow(admin, await press(admin, page, "attach", policy=READ_ONLY))
    assert "ReadOnlyAccess" in text_of(page)
    missing = await press(admin, page, "attach", policy="Missing")
    assert missing.status_code == 404
    page = await follow(admin, await press(admin, page, "detach"))
    assert "no policies are attached" in text_of(page)


async def test_a_boundary_is_set_and_taken_away(admin: Administrator) -> None:
    page = await admin.see(DETAIL, name="Brief")
    page = await follow(admin, await press(admin, page, "boundary", boundary=READ_ONLY))
    assert (await stored(admin, "Brief")).boundary_arn == READ_ONLY
    await follow(admin, await press(admin, page, "boundary", boundary=""))
    assert (await stored(admin, "Brief")).boundary_arn is None


async def test_description_and_session_length_change(admin: Administrator) -> None:
    page = await admin.see(DETAIL, name="Brief")
    page = await follow(
        admin, await press(admin, page, "settings", description="New", minutes="90")
    )
    role = await stored(admin, "Brief")
    assert (role.description, role.max_session_duration_seconds) == ("New", 5400)
    assert (await press(admin, page, "settings", minutes="721")).status_code == 400


async def test_an_inline_policy_is_made_changed_and_deleted(
    admin: Administrator,
) -> None:
    page = await admin.see(INLINE, kind="role", name="Brief")
    answer = await press(
        admin, page, "save", policy="Mine", s0__actions="s3:*", s0__resources="*"
    )
    page = await follow(admin, answer)
    assert "Mine" in text_of(page)
    edit = await admin.see(INLINE, kind="role", name="Brief", policy="Mine")
    page = await follow(admin, await press(admin, edit, "save", s0__actions="sqs:*"))
    await follow(admin, await press(admin, page, "delete-inline"))
    gone = await admin.browser.get(
        INLINE, params={"kind": "role", "name": "Brief", "policy": "Mine"}
    )
    assert gone.status_code == 404


async def test_no_one_overwrites_anothers_inline_policy(admin: Administrator) -> None:
    mine = await admin.see(INLINE, kind="role", name="Brief")
    theirs = await admin.see(INLINE, kind="role", name="Brief")
    params = {"policy": "Same", "s0__resources": "*"}
    await follow(admin, await press(admin, theirs, "save", s0__actions="a:b", **params))
    refused = await press(admin, mine, "save", s0__actions="c:d", **params)
    assert refused.status_code == 409
    assert "a:b" in refused.text
    assert "c:d" in refused.text
    again = await press(admin, refused, "save")
    assert again.status_code == 303


async def test_the_trust_policy_is_edited_and_conflicts_show(
    admin: Administrator,
) -> None:
    mine = await admin.see(TRUST, name="Brief")
    assert "through Corp (SAML)" in text_of(mine)
    theirs = await admin.see(TRUST, name="Brief")
    more = await press(admin, theirs, "add-principal:0")
    saved = await press(
        admin,
        more,
        "save",
        s0__p1__kind="AWS",
        s0__p1__values=ACCOUNT,
        s0__actions="sts:AssumeRole",
    )
    assert "Users and roles of this account" in text_of(await follow(admin, saved))
    refused = await press(admin, mine, "save")
    assert refused.status_code == 409
    assert "Someone else has changed this policy" in text_of(refused)


async def test_an_unknown_principal_is_said_and_kept(admin: Administrator) -> None:
    page = await admin.see(TRUST, name="Brief")
    nobody = f"arn:aws:iam::{ACCOUNT}:user/nobody"
    refused = await press(
        admin,
        page,
        "save",
        s0__p0__kind="AWS",
        s0__p0__values=nobody,
        s0__actions="sts:AssumeRole",
    )
    assert refused.status_code == 400
    assert "Invalid principal in policy" in text_of(refused)
    assert nobody in refused.text


async def test_who_can_and_who_did(admin: Administrator) -> None:
    for name, actions in (("able", ["sts:AssumeRole"]), ("other", ["s3:*"])):
        await make_user(admin, name, *actions)
    page = await admin.see(TRUST, name="Reader")
    more = await press(admin, page, "add-statement")
    saved = await press(admin, more, "save", s1__p0__values=ACCOUNT)
    await follow(admin, saved)
    reader = await enter(admin.world, "Reader")
    assert reader is not None
    text = text_of(await admin.see(ASSUMERS, name="Reader"))
    assert "user/able" in text
    assert "user/other" not in text
    assert "assumed-role/Reader/alice@example.com" in text
    assert "AssumeRoleWithSAML" in text


async def test_live_sessions_are_listed_and_ended(admin: Administrator) -> None:
    reader = await enter(admin.world, "Reader")
    page = await admin.see(DETAIL, name="Reader")
    assert "alice@example.com" in text_of(page)
    for button in html.fromstring(page.text).xpath("//button[@aria-label]"):
        # Who says what stands on a button presses it (WCAG 2.5.3).
        assert button.text_content().strip() in button.get("aria-label")
    page = await follow(admin, await press(admin, page, "end-session"))
    assert "No live sessions" in text_of(page)
    assert (await reader.browser.get("/console/")).status_code == 403


async def test_sessions_of_the_same_second_are_older(admin: Administrator) -> None:
    await grant(admin.world, "iam:*", role="Reader")
    clock = admin.world.clock
    with clock.held(clock.now().replace(microsecond=200_000)):
        reader = await enter(admin.world, "Reader")
        at = clock.now()
    await reader.see(LIST)
    with clock.held(at.replace(microsecond=900_000)):
        page = await admin.see(DETAIL, name="Reader")
        await follow(admin, await press(admin, page, "revoke-older"))
    assert (await reader.browser.get(LIST)).status_code == 403


async def test_older_sessions_are_revoked_as_awss_console_does(
    admin: Administrator,
) -> None:
    await grant(admin.world, "iam:*", role="Reader")
    reader = await enter(admin.world, "Reader")
    await reader.see(LIST)
    admin.world.clock.move(2)
    page = await admin.see(DETAIL, name="Reader")
    page = await follow(admin, await press(admin, page, "revoke-older"))
    assert "AWSRevokeOlderSessions" in text_of(page)
    assert (await reader.browser.get(LIST)).status_code == 403
    admin.world.clock.move(2)
    newer = await enter(admin.world, "Reader")
    await newer.see(LIST)


async def test_a_role_is_deleted_with_what_hangs_on_it(admin: Administrator) -> None:
    page = await admin.see(DETAIL, name="Brief")
    page = await follow(admin, await press(admin, page, "attach", policy=READ_ONLY))
    inline = await admin.see(INLINE, kind="role", name="Brief")
    await press(admin, inline, "save", policy="I", s0__actions="a:b", s0__resources="*")
    refused = await press(admin, page, "delete", sure="brief")
    assert refused.status_code == 400
    gone = await press(admin, page, "delete", sure="Brief")
    assert gone.headers["location"] == LIST
    directory = admin.world.services.stores.directory
    assert await directory.named(ROLE, ACCOUNT, "Brief") is None


async def test_a_service_linked_role_offers_what_it_allows(
    admin: Administrator,
) -> None:
    name = "AWSServiceRoleForSupport"
    world = admin.world
    async with world.services.stores.directory.change(ACCOUNT) as change:
        role = await create_linked_role(
            change,
            await require_account(change, ACCOUNT),
            service="support.amazonaws.com",
            suffix=None,
            description=None,
            now=world.clock.now(),
        )
    page = await admin.see(DETAIL, name=name)
    offered = set(html.fromstring(page.text).xpath("//button[@name='do']/@value"))
    assert offered == {"settings", "tag", "delete"}
    assert "Edit trust policy" not in page.text
    assert "New inline policy" not in page.text
    page = await follow(admin, await press(admin, page, "settings", description="Ours"))
    changed = await stored(admin, name)
    assert (changed.description, changed.max_session_duration_seconds) == ("Ours", 3600)
    await follow(admin, await press(admin, page, "tag", tags="cost=low"))
    page = await admin.see(DETAIL, name=name)
    directory = world.services.stores.directory
    uses = UseBuffer(directory._database)
    at = world.clock.now() - timedelta(seconds=3500)
    uses.note(ACCOUNT, role.role_id, "ec2", "us-east-1", at, "us-east-1")
    await uses.flush()
    in_use = await press(admin, page, "delete", sure=name)
    assert in_use.status_code == 409
    assert "one of its sessions may still be alive" in text_of(in_use)
    world.clock.move(200)
    gone = await press(admin, page, "delete", sure=name)
    assert gone.headers["location"] == LIST
    assert await directory.named(ROLE, ACCOUNT, name) is None


async def test_tags_of_a_role(admin: Administrator) -> None:
    page = await admin.see(DETAIL, name="Brief")
    page = await follow(admin, await press(admin, page, "tag", tags="cost=low"))
    await follow(admin, await press(admin, page, "untag", key="team"))
    assert (await stored(admin, "Brief")).tags == {"cost": "low"}


async def test_a_role_that_is_not_there(admin: Administrator) -> None:
    page = await admin.browser.get(DETAIL, params={"name": "Missing"})
    assert page.status_code == 404


async def test_role_pages_stay_small(admin: Administrator) -> None:
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
            "Condition": {"StringLike": {"aws:PrincipalArn": f"{role_arn('x' * n)}"}},
        }
        for n in range(1, 11)
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    page = await press(admin, await admin.see(TRUST, name="Brief"), "show-json")
    page = await press(admin, page, "show-form", text=text)
    assert len(page.content) < PAGE_BYTES_MAX
    await follow(admin, await press(admin, page, "save"))
    assert len((await admin.see(DETAIL, name="Brief")).content) < PAGE_BYTES_MAX


async def test_of_two_inline_saves_at_once_one_wins(admin: Administrator) -> None:
    pages = [await admin.see(INLINE, kind="role", name="Brief") for _ in range(2)]
    answers = await asyncio.gather(
        *(
            press(
                admin,
                page,
                "save",
                policy="Same",
                s0__actions=f"s3:{name}",
                s0__resources="*",
            )
            for page, name in zip(pages, ("One", "Two"), strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409]


async def test_a_policy_that_was_deleted_meanwhile_is_a_conflict(
    admin: Administrator,
) -> None:
    page = await admin.see(INLINE, kind="role", name="Admin", policy="GivenAllow")
    role = await stored(admin, "Brief")
    assert role is not None
    await grant(admin.world, "iam:*", "signin:*", role="Brief")
    mine = await admin.see(INLINE, kind="role", name="Brief", policy="GivenAllow")
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        await delete_inline_policy(change, ACCOUNT, role.role_id, "GivenAllow")
    refused = await press(admin, mine, "save")
    assert refused.status_code == 409
    assert "It was deleted." in text_of(refused)
    assert (await press(admin, refused, "save")).status_code == 303
    assert page.status_code == 200


async def test_no_one_is_looked_at_whom_the_trust_cannot_mean(
    admin: Administrator,
) -> None:
    await make_user(admin, "able", "sts:AssumeRole")
    assert "names none of them" in text_of(await admin.see(ASSUMERS, name="Brief"))
    page = await admin.see(TRUST, name="Brief")
    saved = await press(
        admin,
        page,
        "save",
        s0__p0__kind="AWS",
        s0__p0__values=f"arn:aws:iam::{ACCOUNT}:user/able",
        s0__actions="sts:AssumeRole",
    )
    await follow(admin, saved)
    text = text_of(await admin.see(ASSUMERS, name="Brief"))
    assert "user/able" in text
    assert "1 user or role was checked." in text


async def test_in_a_large_account_not_everyone_is_looked_at(
    admin: Administrator,
) -> None:
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        for number in range(600):
            await change.insert(
                USER,
                User(
                    account=ACCOUNT,
                    user_id=f"AIDA{number:A>17}",
                    name=f"u{number}",
                    path="/",
                    created_at=admin.world.clock.now(),
                ),
            )
    page = await admin.see(TRUST, name="Brief")
    saved = await press(
        admin,
        page,
        "save",
        s0__p0__kind="AWS",
        s0__p0__values=ACCOUNT,
        s0__actions="sts:AssumeRole",
    )
    await follow(admin, saved)
    assert "; there are more." in text_of(await admin.see(ASSUMERS, name="Brief"))


async def test_what_a_role_may_do_by_service(admin: Administrator) -> None:
    page = await admin.see(DETAIL, name="Brief")
    page = await follow(
        admin,
        await press(
            admin, page, "attach", policy="arn:aws:iam::aws:policy/AmazonS3FullAccess"
        ),
    )
    await follow(admin, await press(admin, page, "boundary", boundary=READ_ONLY))
    summary = await admin.see("/console/summary", kind="role", name="Brief")
    text = text_of(summary)
    assert "Amazon S3 Full access" in text
    assert "Limited by the permissions boundary" in text
    assert len(summary.content) < PAGE_BYTES_MAX


@cases("query, status")
async def test_a_summary_of_an_unknown_principal(
    admin: Administrator, query: dict[str, str], status: int
) -> None:
    page = await admin.browser.get("/console/summary", params=query)
    assert page.status_code == status


async def test_a_summary_needs_to_read_all_policies(world: SignInWorld) -> None:
    await grant(world, "iam:List*", "iam:GetRolePolicy")
    some = await enter(world)
    page = await some.browser.get(
        "/console/summary", params={"kind": "role", "name": "Admin"}
    )
    assert page.status_code == 403
    assert "iam:GetRole" in text_of(page)


async def test_a_search_finds_the_last_of_a_thousand_roles(
    admin: Administrator,
) -> None:
    brief = await stored(admin, "Brief")
    async with admin.world.services.stores.directory.change(ACCOUNT) as change:
        for number in range(1000):
            await change.insert(
                ROLE, replace(brief, name=f"R{number:04}", role_id=f"AROA{number:0>17}")
            )
    response = await admin.see(LIST, q="r099")
    names = html.fromstring(response.text).xpath("//tbody/tr/th/a/text()")
    assert names == [f"R099{n}" for n in range(10)]
    first = await admin.see(LIST)
    assert len(first.content) < PAGE_BYTES_MAX
    (more,) = html.fromstring(first.text).xpath("//a[text()='Next']/@href")
    assert "R0050" in text_of(await admin.see(more))
    last = await admin.see(LIST, sort="-name", page="2")
    assert "R0949" in text_of(last)


async def test_a_link_preselects_the_provider_and_nothing_else(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW, **{"for": "saml"}, provider=provider_arn(), name="Mine")
    tree = html.fromstring(page.text)
    chosen = tree.xpath("//select[@name='provider']/option[@selected]/@value")
    assert chosen == [provider_arn()]
    assert tree.xpath("//input[@name='name']/@value") == [""]


async def test_the_trust_policy_is_shown_as_the_form_stands(
    admin: Administrator,
) -> None:
    """What the script asks for while one types, and the button without it."""
    page = await admin.see(NEW, **{"for": "oidc"})
    page = await admin.send(page, NEW, do="preview")
    (view,) = html.fromstring(page.text).xpath("//section[@id='preview']")
    assert "Choose the identity provider." in view.text_content()
    page = await admin.see(NEW, **{"for": "account"})
    page = await admin.send(page, NEW, do="preview", account=OTHER, external_id="x-1")
    (view,) = html.fromstring(page.text).xpath("//section[@id='preview']")
    assert f"Users and roles of account {OTHER}" in view.text_content()
    assert "sts:ExternalId is x-1" in view.text_content()
    assert f'"AWS": "arn:aws:iam::{OTHER}:root"' in view.text_content()
    assert await admin.world.services.fresh.named(ROLE, ACCOUNT, "") is None


async def test_policies_are_found_by_name_and_the_chosen_ones_stay(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW, **{"for": "account"})
    page = await admin.send(
        page, NEW, do="preview", find="s3readONLY", chosen=[READ_ONLY]
    )
    tree = html.fromstring(page.text)
    assert tree.xpath("//input[@name='chosen'][@checked]/@value") == [READ_ONLY]
    match = tree.xpath("//input[@name='chosen'][not(@checked)]/@value")
    assert match == ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]
    page = await admin.send(page, NEW, do="preview", find="<none>", chosen=[READ_ONLY])
    assert "has this in its name" in text_of(page)
