"""Trust anchors, revocation lists and profiles in the console."""

import pytest
from lxml import html

from tests.support.administrator import Administrator, enter, grant
from tests.support.certificates import Issued, issue
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld, role_arn, text_of

LIST = "/console/roles-anywhere"
NEW_ANCHOR, ANCHOR = f"{LIST}/new-anchor", f"{LIST}/anchor"
NEW_PROFILE, PROFILE = f"{LIST}/new-profile", f"{LIST}/profile"


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "*")
    return await enter(world)


def authority(admin: Administrator, name: str = "Plant", days: float = 365) -> Issued:
    return issue(name, is_authority=True, days=days, now=admin.world.clock.now())


async def make_anchor(admin: Administrator, by: Issued, name: str = "plant") -> str:
    """Its page's address."""
    form = await admin.see(NEW_ANCHOR)
    page = await admin.do(
        form, NEW_ANCHOR, name=name, certificates=by.pem, enabled="yes"
    )
    assert "Trust anchor created." in text_of(page)
    return f"{ANCHOR}?id={page.url.params['id']}"


async def test_an_anchor_from_its_making_to_its_end(admin: Administrator) -> None:
    page = await admin.see(LIST)
    assert "There is no trust anchor yet" in text_of(page)
    assert "Region: us-east-1" in text_of(page)
    here = await make_anchor(admin, authority(admin))
    page = await admin.see(here)
    assert "CN=Plant" in text_of(page)
    assert f"arn:aws:rolesanywhere:us-east-1:{ACCOUNT}:trust-anchor/" in text_of(page)
    assert "plant" in text_of(await admin.see(LIST))
    page = await admin.do(page, here, do="disable")
    assert "Disabled" in text_of(page)
    page = await admin.do(page, here, do="enable")
    assert "Enabled" in text_of(page)
    second = authority(admin, "Second")
    page = await admin.do(page, here, do="save", name="both", certificates=second.pem)
    assert "CN=Second" in text_of(page)
    assert "CN=Plant" not in text_of(page)
    page = await admin.do(page, here, do="delete")
    assert "There is no trust anchor yet" in text_of(page)
    assert (await admin.browser.get(here)).status_code == 404


async def test_a_list_is_imported_replaced_and_deleted(admin: Administrator) -> None:
    by = authority(admin)
    here = await make_anchor(admin, by)
    now = admin.world.clock.now()
    gone = by.issue("web-1", now=now)
    page = await admin.see(here)
    page = await admin.do(
        page, here, do="import", name="gone", crl=by.revoke(gone, now=now).decode()
    )
    (row,) = html.fromstring(page.text).xpath("//section[@id='lists']//tbody/tr")
    assert row.xpath("string(td[@data-label='Revoked'])").strip() == "1"
    (identifier,) = set(row.xpath(".//input[@name='crl']/@value"))
    further = by.revoke(gone, by.issue("web-2", now=now), now=now).decode()
    page = await admin.do(
        page, here, do="import", name="x", replace=identifier, crl=further
    )
    (row,) = html.fromstring(page.text).xpath("//section[@id='lists']//tbody/tr")
    assert row.xpath("string(td[@data-label='Revoked'])").strip() == "2"
    # Three forms of the row are sent to one address; their hidden fields agree.
    page = await admin.post(page, here, do="disable-list", crl=identifier)
    assert page.status_code == 303
    assert "Disabled" in text_of(await admin.see(here))
    page = await admin.post(
        await admin.see(here), here, do="enable-list", crl=identifier
    )
    assert page.status_code == 303
    page = await admin.post(
        await admin.see(here), here, do="delete-list", crl=identifier
    )
    assert page.status_code == 303
    assert "None: certificates of this authority are accepted" in text_of(
        await admin.see(here)
    )


async def test_what_is_out_of_date_is_said(admin: Administrator) -> None:
    by = authority(admin, days=1)
    here = await make_anchor(admin, by)
    data = by.revoke(now=admin.world.clock.now(), days=0.5).decode()
    await admin.do(await admin.see(here), here, do="import", name="due", crl=data)
    admin.world.clock.move(2 * 86_400)
    again = await enter(admin.world)
    text = text_of(await again.see(here))
    assert "Out of date" in text
    assert "Expired" in text
    assert "Expired" in text_of(await again.see(LIST))


@pytest.mark.parametrize("pem", ["", "none", "{leaf}", "{key}"])
async def test_a_certificate_that_is_not_an_authority_is_refused(
    admin: Administrator, pem: str
) -> None:
    leaf = authority(admin).issue("web-1", now=admin.world.clock.now())
    text = pem.format(leaf=leaf.pem, key=leaf.key_pem)
    page = await admin.send(
        await admin.see(NEW_ANCHOR), NEW_ANCHOR, name="plant", certificates=text
    )
    assert page.status_code == 400
    (field,) = html.fromstring(page.text).xpath("//*[@name='name']")
    assert field.get("value") == "plant" or not pem


async def test_a_list_of_another_authority_is_refused(admin: Administrator) -> None:
    here = await make_anchor(admin, authority(admin))
    other = authority(admin).revoke(now=admin.world.clock.now()).decode()
    page = await admin.send(
        await admin.see(here), here, do="import", name="x", crl=other
    )
    assert page.status_code == 400
    assert "not signed" in text_of(page)


async def test_a_profile_from_its_making_to_its_end(admin: Administrator) -> None:
    form = await admin.see(NEW_PROFILE)
    page = await admin.do(
        form,
        NEW_PROFILE,
        name="machines",
        roles=f"{role_arn('Reader')}\n{role_arn('Admin')}",
        duration="900",
        accepts_name="yes",
        enabled="yes",
    )
    here = f"{PROFILE}?id={page.url.params['id']}"
    assert "x509Subject" in text_of(page)
    assert "Enabled" in text_of(page)
    assert "Reader, Admin" in text_of(await admin.see(LIST))
    page = await admin.do(
        page,
        here,
        do="save",
        name="machines",
        roles=role_arn("Reader"),
        duration="3600",
        policies="arn:aws:iam::aws:policy/ReadOnlyAccess",
    )
    fields = html.fromstring(page.text)
    assert fields.xpath("string(//textarea[@name='roles'])") == role_arn("Reader")
    assert not fields.xpath("//input[@name='accepts_name'][@checked]")
    page = await admin.do(page, here, do="disable")
    assert "Disabled" in text_of(page)
    page = await admin.do(page, here, do="enable")
    page = await admin.do(page, here, do="delete")
    assert "There is no profile yet" in text_of(page)


@cases("name, value")
async def test_an_impossible_profile_is_refused(
    admin: Administrator, name: str, value: str
) -> None:
    """What was typed is shown again."""
    typed = {"name": "machines", "roles": role_arn("Reader"), "duration": "900"}
    page = await admin.send(
        await admin.see(NEW_PROFILE), NEW_PROFILE, **{**typed, name: value}
    )
    assert page.status_code == 400
    (field,) = html.fromstring(page.text).xpath(f"//*[@name='{name}']")
    assert (field.get("value") or field.text_content()).strip() == value


async def test_without_permissions_the_page_says_which(world: SignInWorld) -> None:
    await grant(world, "rolesanywhere:ListProfiles")
    text = text_of(await (await enter(world)).see(LIST))
    assert "rolesanywhere:ListTrustAnchors" in text
    assert "There is no profile yet" in text


async def test_roles_need_to_be_passed(world: SignInWorld) -> None:
    await grant(world, "rolesanywhere:*")
    admin = await enter(world)
    page = await admin.send(
        await admin.see(NEW_PROFILE),
        NEW_PROFILE,
        name="machines",
        roles=role_arn("Reader"),
        duration="900",
    )
    assert page.status_code == 403
    assert "iam:PassRole" in text_of(page)
