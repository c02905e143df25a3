"""The list of users and the making of one."""

from datetime import timedelta

from lxml import html

from broker.model.page import PageRequest
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from broker.stores.directory.overviews import list_user_overviews
from tests.support.administrator import Administrator, enter, grant
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld, text_of

USERS, NEW = "/console/users", "/console/users/new"


def names_on(page: object) -> list[str]:
    rows = html.fromstring(page.text).xpath("//tbody/tr/th/a")  # type: ignore[attr-defined]
    return [row.text for row in rows]


async def make(admin: Administrator, name: str, **more: object) -> None:
    page = await admin.see(NEW)
    made = await admin.send(page, NEW, name=name, console="none", **more)
    assert f"User {name} created" in text_of(made)


async def test_a_user_is_made_with_all_that_they_need(admin: Administrator) -> None:
    groups = await admin.see("/console/groups/new")
    await admin.do(groups, "/console/groups/new", name="Builders")
    page = await admin.see(NEW)
    made = await admin.send(
        page,
        NEW,
        name="carla",
        path="/dev/",
        tags="team=blue\nlevel = 2 = b\n\n",
        group="Builders",
        console="generate",
        reset="yes",
        key="yes",
    )
    text = text_of(made)
    assert made.status_code == 200
    assert "Some steps failed" not in text
    tree = html.fromstring(made.text)
    view = {node.get("id"): node.text_content() for node in tree.xpath("//pre[@id]")}
    assert view["user-name"] == "carla"
    assert len(view["password"]) == 20
    assert view["access-key-id"].startswith("AKIA")
    assert len(view["secret-access-key"]) == 40
    directory = admin.world.services.stores.directory
    user = await directory.named(USER, ACCOUNT, "carla")
    assert user is not None
    assert (user.path, user.tags) == ("/dev/", {"team": "blue", "level": "2 = b"})
    profile = await directory.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
    assert profile is not None
    assert profile.reset_required
    (overview,) = (
        await list_user_overviews(directory, ACCOUNT, "/", "", _page())
    ).items
    assert overview.groups == ("Builders",)
    # Nothing of it is ever shown again, nor on any record.
    page = await admin.see("/console/users/credentials", name="carla")
    assert view["access-key-id"] in page.text
    for secret in ("password", "secret-access-key"):
        assert view[secret] not in page.text
        assert all(
            view[secret] not in str(record.parameters)
            for record in await admin.world.audit()
        )


async def test_a_step_that_fails_leaves_the_user_and_says_so(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW)
    made = await admin.send(
        page, NEW, name="carla", console="own", password="weak", key="yes"
    )
    text = text_of(made)
    assert "Some steps failed" in text
    assert "minimum length of 8" in text
    assert "weak" not in made.text
    assert "AKIA" in text
    assert names_on(await admin.see(USERS)) == ["carla"]


@cases("typed, said")
async def test_what_was_typed_is_kept_with_the_reason(
    admin: Administrator, typed: dict[str, str], said: str
) -> None:
    page = await admin.see(NEW)
    answer = await admin.send(page, NEW, console="none", **typed)
    assert answer.status_code == 400
    tree = html.fromstring(answer.text)
    (problem,) = tree.xpath("//*[@id='problem']")
    assert said in problem.text_content()
    (name,) = tree.xpath("//input[@name='name']/@value")
    assert name == typed["name"]
    assert tree.xpath("//textarea[@name='tags']")[0].text_content().split() == (
        typed.get("tags", "").split()
    )
    assert "<b>" not in answer.text
    assert names_on(await admin.see(USERS)) == []


async def test_a_user_may_be_put_into_many_groups_at_once(admin: Administrator) -> None:
    for number in range(70):
        page = await admin.see("/console/groups/new")
        await admin.do(page, "/console/groups/new", name=f"g{number}")
    page = await admin.see(NEW)
    groups = [f"g{number}" for number in range(70)]
    made = await admin.send(page, NEW, name="carla", console="none", group=groups)
    text = text_of(made)
    assert "User carla created" in text
    assert "Cannot exceed quota for GroupsPerUser: 10" in text


async def test_a_name_that_is_taken_is_refused(admin: Administrator) -> None:
    await make(admin, "carla")
    page = await admin.see(NEW)
    answer = await admin.send(page, NEW, name="Carla", console="none")
    assert answer.status_code == 409
    assert "already exists" in text_of(answer)


async def test_the_list_is_searched_by_name_and_path(admin: Administrator) -> None:
    for number in range(3):
        await make(admin, f"user-{number}", path="/odd/" if number % 2 else "/even/")
    response = await admin.see(USERS, q="R-", path="/even/")
    assert names_on(response) == ["user-0", "user-2"]
    assert names_on(await admin.see(USERS, q="%")) == []


async def test_old_keys_and_passwords_without_mfa_stand_out(
    admin: Administrator,
) -> None:
    page = await admin.see(NEW)
    await admin.send(page, NEW, name="carla", console="generate", key="yes")
    assert "New today" in text_of(await admin.see(USERS))
    admin.world.clock.move(timedelta(days=91).total_seconds())
    later = await enter(admin.world)
    page = await later.see(USERS)
    marks = html.fromstring(page.text).xpath("//tbody//*[contains(@class,'badge')]")
    assert [mark.text_content() for mark in marks] == ["No", "91 days old"]


async def test_anyone_who_may_only_list_users_sees_their_names(
    world: SignInWorld, admin: Administrator
) -> None:
    await make(admin, "carla")
    await make(admin, "dora")
    await grant(world, "iam:ListUsers")
    page = await (await enter(world)).see(USERS, q="CAR")
    assert names_on(page) == ["carla"]
    assert "iam:ListGroupsForUser" in text_of(page)


def _page() -> PageRequest:

    return PageRequest()
