"""Groups: made, filled, renamed, searched, deleted."""

from lxml import html

from tests.support.administrator import Administrator
from tests.support.signin import ACCOUNT, text_of

GROUPS, NEW, GROUP = "/console/groups", "/console/groups/new", "/console/groups/group"
DELETE = "/console/groups/delete"
PERMISSIONS, ATTACH = "/console/groups/permissions", "/console/groups/attach"
AUDIT = "arn:aws:iam::aws:policy/SecurityAudit"


def names_on(page: object) -> list[str]:
    return html.fromstring(page.text).xpath("//tbody//th/a/text()")  # type: ignore[attr-defined,no-any-return]


async def make(admin: Administrator, name: str, path: str = "") -> object:
    return await admin.do(await admin.see(NEW), NEW, name=name, path=path)


async def make_user(admin: Administrator, name: str) -> None:
    new = "/console/users/new"
    await admin.send(await admin.see(new), new, name=name, console="none")


async def test_a_group_is_made_filled_emptied_and_renamed(admin: Administrator) -> None:
    for name in ("ann", "bob", "cleo"):
        await make_user(admin, name)
    await make(admin, "Readers", "/dev/")
    page = await admin.see(GROUP, name="Readers")
    page = await admin.do(page, GROUP, do="add", users="ann, bob cleo")
    assert names_on(page) == ["ann", "bob", "cleo"]
    page = await admin.do(page, GROUP, do="out", user="bob")
    assert names_on(page) == ["ann", "cleo"]
    wrong = await admin.send(page, GROUP, do="add", users="ann nobody")
    assert wrong.status_code == 404
    assert "nobody cannot be found" in text_of(wrong)
    (typed,) = html.fromstring(wrong.text).xpath("//input[@name='users']/@value")
    assert typed == "ann nobody"
    page = await admin.do(page, GROUP, do="rename", new_name="Viewers", new_path="/")
    assert f"arn:aws:iam::{ACCOUNT}:group/Viewers" in text_of(page)
    assert names_on(page) == ["ann", "cleo"]


async def test_what_was_typed_for_a_group_is_kept_with_the_reason(
    admin: Administrator,
) -> None:
    await make(admin, "Readers")
    page = await admin.see(NEW)
    for name, said in (("readers", "already exists"), ("a b", "groupName")):
        answer = await admin.send(page, NEW, name=name)
        assert answer.status_code in {400, 409}
        tree = html.fromstring(answer.text)
        assert said in tree.xpath("//*[@id='problem']")[0].text_content()
        assert tree.xpath("//input[@name='name']/@value") == [name]


async def test_groups_are_searched_by_path_and_name(admin: Administrator) -> None:
    for number in range(3):
        await make(admin, f"g{number}", "/odd/" if number % 2 else "/even/")
    assert names_on(await admin.see(GROUPS, q="/EVEN/g")) == ["g0", "g2"]
    for page in ("x", "-1", "0", "9" * 50, "²"):
        assert len(names_on(await admin.see(GROUPS, page=page))) == 3


async def test_deleting_a_group_leaves_its_members(admin: Administrator) -> None:
    await make_user(admin, "ann")
    await make(admin, "Readers")
    page = await admin.see(GROUP, name="Readers")
    await admin.do(page, GROUP, do="add", users="ann")
    response = await admin.see(ATTACH, name="Readers", q="SecurityAudit")
    page = await admin.do(response, ATTACH, arn=AUDIT)
    assert "Permissions boundary" not in text_of(page)
    page = await admin.see(DELETE, name="Readers")
    text = text_of(page)
    assert "These users lose the group's permissions:ann" in text
    assert "The attachment of policy SecurityAudit" in text
    assert (await admin.send(page, DELETE, sure="reader")).status_code == 400
    listed = await admin.do(page, DELETE, sure="Readers")
    assert names_on(listed) == []
    assert names_on(await admin.see("/console/users")) == ["ann"]


async def test_a_group_has_no_boundary(admin: Administrator) -> None:
    await make(admin, "Readers")
    response = await admin.see(
        ATTACH, **{"name": "Readers", "q": "SecurityAudit", "as": "boundary"}
    )
    page = await admin.do(response, ATTACH, arn=AUDIT)
    assert "Attached policies" in text_of(page)
    assert AUDIT in text_of(page)
