"""One user: the name, the groups, the tags, the credentials, and the end."""

import json
from datetime import timedelta

import pytest
from lxml import html

from broker.model.credentials import MfaDevice
from broker.model.page import PageRequest
from broker.stores.directory import kinds
from broker.stores.directory.kinds import ACCESS_KEY, MFA_DEVICE
from broker.stores.directory.overviews import list_user_overviews
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, SignInWorld, text_of

USER, NEW = "/console/users/user", "/console/users/new"
GROUPS, TAGS = "/console/users/groups", "/console/users/tags"
CREDENTIALS, DELETE = "/console/users/credentials", "/console/users/delete"
PERMISSIONS, ATTACH = "/console/users/permissions", "/console/users/attach"
AUDIT = "arn:aws:iam::aws:policy/SecurityAudit"


@pytest.fixture
async def carla(admin: Administrator) -> str:
    """A user with a password and a key, in a group."""
    for group in ("Builders", "Readers"):
        page = await admin.see("/console/groups/new")
        await admin.do(page, "/console/groups/new", name=group)
    page = await admin.see(NEW)
    await admin.send(
        page, NEW, name="carla", group="Readers", console="generate", key="yes"
    )
    return "carla"


def secrets_on(page: object) -> dict[str, str]:
    match = html.fromstring(page.text).xpath("//pre[@id]")  # type: ignore[attr-defined]
    return {node.get("id"): node.text_content() for node in match}


async def test_a_user_gets_another_name_and_path(
    admin: Administrator, carla: str
) -> None:
    page = await admin.see(USER, name=carla)
    renamed = await admin.do(page, USER, new_name="Carla.B", new_path="/dev/")
    assert f"arn:aws:iam::{ACCOUNT}:user/dev/Carla.B" in text_of(renamed)
    wrong = await admin.send(renamed, USER, new_name="a/b", new_path="/dev/")
    assert wrong.status_code == 400
    assert "a/b" in html.fromstring(wrong.text).xpath(
        "//input[@name='new_name']/@value"
    )
    gone = await admin.browser.get(USER, params={"name": carla})
    assert gone.status_code == 404
    assert "Page not found" in text_of(gone)


@pytest.mark.parametrize("name", ["..", "a+b@example.com", "=,.@-_"])
async def test_any_name_that_iam_takes_has_its_pages(
    admin: Administrator, name: str
) -> None:
    await admin.send(await admin.see(NEW), NEW, name=name, console="none")
    listed = await admin.see("/console/users")
    (link,) = html.fromstring(listed.text).xpath("//tbody//a/@href")
    page = await admin.see(link)
    for tab in html.fromstring(page.text).xpath("//nav[@aria-label='User']/a/@href"):
        element = html.fromstring((await admin.see(tab)).text)
        assert element.xpath("//h1")[0].text_content() == name


async def test_a_user_is_put_into_groups_and_taken_out(
    admin: Administrator, carla: str
) -> None:
    page = await admin.see(GROUPS, name=carla)
    page = await admin.do(page, GROUPS, do="in", group="Builders")
    page = await admin.do(page, GROUPS, do="out", group="Readers")
    assert html.fromstring(page.text).xpath("//tbody//a/text()") == ["Builders"]
    wrong = await admin.send(page, GROUPS, do="in", group="Nobody")
    assert wrong.status_code == 404
    assert "Nobody cannot be found" in text_of(wrong)


async def test_tags_become_what_was_typed(admin: Administrator, carla: str) -> None:
    page = await admin.see(TAGS, name=carla)
    page = await admin.do(page, TAGS, tags="team=blue\nlevel=1")
    page = await admin.do(page, TAGS, tags="level=2\nempty=")
    view = html.fromstring(page.text).xpath("//textarea")[0].text_content()
    assert sorted(view.split()) == ["empty=", "level=2"]
    wrong = await admin.send(page, TAGS, tags="no tag")
    assert wrong.status_code == 400
    assert "no tag" in html.fromstring(wrong.text).xpath("//textarea")[0].text_content()
    user = await admin.world.services.stores.directory.named(kinds.USER, ACCOUNT, carla)
    assert user is not None
    assert user.tags == {"level": "2", "empty": ""}


async def test_tags_that_others_changed_meanwhile_stay(
    admin: Administrator, carla: str
) -> None:
    page = await admin.see(TAGS, name=carla)
    mine = await admin.do(page, TAGS, tags="team=blue\nlevel=1\nold=yes")
    await admin.do(mine, TAGS, tags="team=red\nlevel=1\nold=yes\nnew=yes")
    wrong = await admin.send(mine, TAGS, tags="no tag")
    await admin.do(wrong, TAGS, tags="team=blue\nlevel=2")
    user = await admin.world.services.stores.directory.named(kinds.USER, ACCOUNT, carla)
    assert user is not None
    assert user.tags == {"team": "red", "level": "2", "new": "yes"}


async def test_keys_are_made_stopped_and_deleted(
    admin: Administrator, carla: str
) -> None:
    page = await admin.see(CREDENTIALS, name=carla)
    (old,) = html.fromstring(page.text).xpath("//*[@class='held-name']//code/text()")
    made = await admin.send(page, CREDENTIALS, do="make-key")
    new = secrets_on(made)["access-key-id"]
    assert len(secrets_on(made)["secret-access-key"]) == 40
    page = await admin.see(CREDENTIALS, name=carla)
    assert "at most two keys" in text_of(page)
    assert not html.fromstring(page.text).xpath("//button[@value='delete-key']")
    page = await admin.do(page, CREDENTIALS, do="stop-key", key=old)
    page = await admin.do(page, CREDENTIALS, do="start-key", key=old)
    page = await admin.do(page, CREDENTIALS, do="stop-key", key=old)
    page = await admin.do(page, CREDENTIALS, do="delete-key", key=old)
    assert html.fromstring(page.text).xpath("//*[@class='held-name']//code/text()") == [
        new
    ]


async def test_a_key_of_ninety_days_asks_to_be_replaced(
    admin: Administrator, carla: str
) -> None:
    admin.world.clock.move(timedelta(days=90).total_seconds())
    later = await enter(admin.world)
    assert "90 days old: rotate it" in text_of(await later.see(CREDENTIALS, name=carla))


async def test_a_password_is_reset_set_and_deleted(
    admin: Administrator, carla: str
) -> None:
    page = await admin.see(CREDENTIALS, name=carla)
    reset = await admin.send(page, CREDENTIALS, do="set-password", reset="yes")
    assert len(secrets_on(reset)["password"]) == 20
    page = await admin.do(page, CREDENTIALS, do="set-password", password="Str0ng-one")
    assert "Str0ng-one" not in page.text
    weak = await admin.send(page, CREDENTIALS, do="set-password", password="w3ak")
    assert weak.status_code == 400
    assert "minimum length" in text_of(weak)
    assert "w3ak" not in weak.text
    page = await admin.do(page, CREDENTIALS, do="delete-password")
    assert "cannot sign in to the console" in text_of(page)
    page = await admin.do(page, CREDENTIALS, do="set-password", password="Str0ng-one")
    assert "Set, since" in text_of(page)


async def test_a_generated_password_satisfies_the_account_s_policy(
    admin: Administrator, carla: str
) -> None:
    passwords = "/console/settings/passwords"
    page = await admin.see(passwords)
    strict = dict.fromkeys(
        (
            "RequireUppercaseCharacters",
            "RequireLowercaseCharacters",
            "RequireNumbers",
            "RequireSymbols",
        ),
        "yes",
    )
    await admin.do(page, passwords, MinimumPasswordLength="64", **strict)
    page = await admin.see(CREDENTIALS, name=carla)
    reset = await admin.send(page, CREDENTIALS, do="set-password")
    assert len(secrets_on(reset)["password"]) == 64


async def give_device(admin: Administrator, name: str, serial: str) -> None:
    directory = admin.world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        user = await change.named(kinds.USER, ACCOUNT, name)
        assert user is not None
        now = admin.world.clock.now()
        await change.insert(
            MFA_DEVICE,
            MfaDevice(
                account=ACCOUNT,
                serial=serial,
                virtual=serial.startswith("arn:"),
                sealed_seed=b"s",
                created_at=now,
                user_id=user.user_id,
                enabled_at=now,
            ),
        )


async def test_a_lost_device_is_removed_and_a_token_stays_with_the_account(
    admin: Administrator, carla: str
) -> None:
    virtual = f"arn:aws:iam::{ACCOUNT}:mfa/phone"
    await give_device(admin, carla, virtual)
    await give_device(admin, carla, "GAHT12345678")
    page = await admin.see(CREDENTIALS, name=carla)
    assert "phone" in text_of(page)
    page = await admin.do(page, CREDENTIALS, do="remove-device", device=virtual)
    page = await admin.do(page, CREDENTIALS, do="remove-device", device="GAHT12345678")
    assert "No device" in text_of(page)
    left = await admin.world.services.stores.directory.all_of(MFA_DEVICE, ACCOUNT)
    assert [device.serial for device in left] == ["GAHT12345678"]


async def test_devices_go_with_a_deleted_user(admin: Administrator, carla: str) -> None:
    await give_device(admin, carla, f"arn:aws:iam::{ACCOUNT}:mfa/phone")
    page = await admin.see(DELETE, name=carla)
    assert "MFA device phone" in text_of(page)
    assert "Virtual device phone" in text_of(page)
    await admin.do(page, DELETE, sure=carla)
    directory = admin.world.services.stores.directory
    assert await directory.all_of(MFA_DEVICE, ACCOUNT) == ()


async def test_policies_are_attached_and_detached(
    admin: Administrator, carla: str
) -> None:
    response = await admin.see(ATTACH, name=carla, q="securityaud")
    page = await admin.do(response, ATTACH, arn=AUDIT)
    assert AUDIT in text_of(page)
    page = await admin.do(page, PERMISSIONS, do="detach", arn=AUDIT)
    assert AUDIT not in text_of(page)
    gone = await admin.post(
        response, ATTACH, name=carla, arn="arn:aws:iam::aws:policy/Nothing"
    )
    assert gone.status_code == 404


async def test_a_boundary_is_set_and_removed(admin: Administrator, carla: str) -> None:
    response = await admin.see(
        ATTACH, **{"name": carla, "q": "audit", "as": "boundary"}
    )
    page = await admin.do(response, ATTACH, arn=AUDIT)
    assert "Policies grant only what the boundary also allows" in text_of(page)
    page = await admin.do(page, PERMISSIONS, do="unbound")
    assert "None." in text_of(page)


async def test_an_inline_policy_is_written_in_the_editor_and_deleted(
    admin: Administrator, carla: str
) -> None:
    page = await admin.see(PERMISSIONS, name=carla)
    (link,) = html.fromstring(page.text).xpath(
        "//a[text()='Create inline policy']/@href"
    )
    editor = await admin.see(link)
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"},
        }
    )
    saved = await admin.post(
        editor,
        "/console/inline",
        kind="user",
        name=carla,
        policy="Own",
        view="json",
        text=document,
        do="save",
    )
    assert saved.status_code == 303, text_of(saved)
    page = await admin.see(saved.headers["location"])
    (own,) = html.fromstring(page.text).xpath("//a[text()='Own']/@href")
    assert "s3:Get*" in (await admin.see(own)).text
    page = await admin.do(page, PERMISSIONS, do="delete", policy="Own")
    assert "No inline policy" in text_of(page)


async def test_deleting_a_user_shows_and_takes_all_that_goes_with_it(
    admin: Administrator, carla: str
) -> None:
    response = await admin.see(ATTACH, name=carla, q="SecurityAudit")
    await admin.do(response, ATTACH, arn=AUDIT)
    page = await admin.see(DELETE, name=carla)
    text = text_of(page)
    for what in (
        "Access key AKIA",
        "Membership in the group Readers",
        "Attached policy SecurityAudit",
        "Console password",
    ):
        assert what in text
    unsure = await admin.send(page, DELETE, sure="carl")
    assert unsure.status_code == 400
    assert "Type the user's name" in text_of(unsure)
    listed = await admin.do(page, DELETE, sure=carla)
    assert carla not in html.fromstring(listed.text).xpath("//tbody//a/text()")
    directory = admin.world.services.stores.directory
    assert await directory.named(kinds.USER, ACCOUNT, carla) is None
    assert await directory.all_of(ACCESS_KEY, ACCOUNT) == ()


async def test_a_deletion_stops_at_the_first_missing_permission(
    admin: Administrator, world: SignInWorld, carla: str
) -> None:
    page = await admin.see(DELETE, name=carla)
    await grant(world, "iam:DeleteLoginProfile", effect="Deny")
    stopped = await admin.send(page, DELETE, sure=carla)
    text = text_of(stopped)
    assert stopped.status_code == 403
    assert "iam:DeleteLoginProfile" in text
    assert "These have already been deleted:Access key AKIA" in text
    assert "in this order:Console password" in text
    directory = world.services.stores.directory
    (left,) = (
        await list_user_overviews(directory, ACCOUNT, "/", "", PageRequest())
    ).items
    assert (left.groups, left.keys) == ((), ())
    assert left.password_changed_at is not None


async def test_parts_without_permission_are_named_and_the_rest_is_shown(
    admin: Administrator, world: SignInWorld, carla: str
) -> None:
    await grant(world, "iam:ListAccessKeys", "iam:GetLoginProfile", effect="Deny")
    page = await admin.see(USER, name=carla)
    text = text_of(page)
    assert "Readers" in text
    assert "iam:ListAccessKeys" in text
    assert "iam:GetLoginProfile" in text


@pytest.mark.parametrize("path", [CREDENTIALS, PERMISSIONS])
async def test_an_unknown_command_of_a_form_is_refused(
    admin: Administrator, carla: str, path: str
) -> None:
    page = await admin.see(TAGS, name=carla)
    answer = await admin.post(page, path, name=carla, do="everything")
    assert answer.status_code == 400
    assert "Unknown operation" in text_of(answer)
