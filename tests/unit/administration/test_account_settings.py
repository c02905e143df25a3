"""The account's settings: each is shown, changed by who may, and says who may not."""

import pytest
from lxml import html
from msgspec.structs import replace

from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, text_of

SETTINGS = "/console/settings"
PASSWORDS = "/console/settings/passwords"


def part(page: object, name: str) -> str:
    (match,) = html.fromstring(page.text).xpath(f"//section[@id='{name}']")  # type: ignore[attr-defined]
    return " ".join(match.text_content().split())


async def test_the_alias_is_changed_and_deleted(admin: Administrator) -> None:
    page = await admin.see(SETTINGS)
    page = await admin.do(page, SETTINGS, do="make-alias", alias="other-corp")
    assert "/signin/other-corp" in part(page, "alias")
    wrong = await admin.send(page, SETTINGS, do="make-alias", alias="Not An Alias")
    assert wrong.status_code == 400
    assert "Not An Alias" in html.fromstring(wrong.text).xpath(
        "//input[@name='alias']/@value"
    )
    page = await admin.do(page, SETTINGS, do="drop-alias")
    assert f"/signin/{ACCOUNT}" in part(page, "alias")


async def test_a_region_is_switched_off_and_on_and_counts_at_once(
    admin: Administrator,
) -> None:
    page = await admin.see(SETTINGS)
    page = await admin.do(page, SETTINGS, do="region-off", region="eu-west-3")
    assert "eu-west-3 off" in part(page, "regions")
    account = await admin.world.services.fresh.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert account.options["DisabledRegions"] == ["eu-west-3"]
    page = await admin.do(page, SETTINGS, do="region-on", region="eu-west-3")
    assert " off" not in part(page, "regions").replace("Switch off", "").replace(
        "to switch off", ""
    ).replace("it is off", "")
    free = html.fromstring(page.text).xpath("//section[@id='regions']//form")[-1]
    assert not free.xpath(".//input[@name='region'][@type='hidden']")


async def test_the_first_region_cannot_be_switched_off(admin: Administrator) -> None:
    page = await admin.see(SETTINGS)
    tree = html.fromstring(page.text)
    assert not tree.xpath("//input[@name='region'][@value='us-east-1']")
    for region, status in (("us-east-1", 400), ("no region", 400), ("x", 400)):
        answer = await admin.post(page, SETTINGS, do="region-off", region=region)
        assert answer.status_code == status


async def test_switching_needs_the_permission(
    admin: Administrator, world: SignInWorld
) -> None:
    page = await admin.see(SETTINGS)
    await grant(world, "iam:SetSTSRegionalEndpointStatus", effect="Deny")
    refused = await admin.send(page, SETTINGS, do="region-off", region="eu-west-3")
    assert refused.status_code == 403
    assert "iam:SetSTSRegionalEndpointStatus" in text_of(refused)
    assert "Quotas" in text_of(refused)


async def test_outbound_federation_and_token_version(admin: Administrator) -> None:
    page = await admin.see(SETTINGS)
    assert "Off." in part(page, "outbound")
    page = await admin.do(page, SETTINGS, do="outbound-on")
    assert "http://127.0.0.1:8080" in part(page, "outbound")
    page = await admin.do(page, SETTINGS, do="outbound-off")
    assert "Off." in part(page, "outbound")
    assert "Version 1" in part(page, "tokens")
    for number in "21":
        version = f"v{number}Token"
        page = await admin.do(page, SETTINGS, do="token-version", version=version)
        assert f"Version {number}" in part(page, "tokens")


async def test_the_password_policy_is_told_in_plain_words(admin: Administrator) -> None:
    page = await admin.see(SETTINGS)
    assert "The default policy applies" in part(page, "passwords")
    form = await admin.see(PASSWORDS)
    page = await admin.do(
        form,
        PASSWORDS,
        MinimumPasswordLength="14",
        RequireNumbers="yes",
        RequireSymbols="yes",
        MaxPasswordAge="90",
        HardExpiry="yes",
        PasswordReusePrevention="5",
    )
    told = part(page, "passwords")
    for sentence in (
        "At least 14 characters.",
        "With a number and a symbol.",
        "Passwords expire after 90 days.",
        "An administrator must reset an expired password.",
        "The last 5 passwords cannot be used again.",
        "Users may change their own passwords if a policy allows it.",
    ):
        assert sentence in told
    form = await admin.see(PASSWORDS)
    tree = html.fromstring(form.text)
    assert tree.xpath("//input[@name='MaxPasswordAge']/@value") == ["90"]
    ticked = tree.xpath("//input[@type='checkbox'][@checked]/@name")
    assert ticked == ["RequireNumbers", "RequireSymbols", "HardExpiry"]
    page = await admin.do(form, PASSWORDS, do="default")
    assert "The default policy applies" in part(page, "passwords")


@pytest.mark.parametrize("length", ["5", "129", "many", "-8", "", "9" * 9, "٨"])
async def test_an_invalid_length_is_refused_and_kept_in_the_form(
    admin: Administrator, length: str
) -> None:
    form = await admin.see(PASSWORDS)
    answer = await admin.send(
        form, PASSWORDS, MinimumPasswordLength=length, RequireNumbers="yes"
    )
    if length == "":
        assert answer.status_code == 303  # the member's default
        return
    assert answer.status_code == 400
    tree = html.fromstring(answer.text)
    assert tree.xpath("//*[@id='problem']")
    assert tree.xpath("//input[@name='MinimumPasswordLength']/@value") == [length[:8]]
    assert tree.xpath("//input[@type='checkbox'][@checked]/@name") == ["RequireNumbers"]


async def test_who_may_see_little_sees_that_much(world: SignInWorld) -> None:
    await grant(world, "iam:GetAccountSummary")
    admin = await enter(world)
    page = await admin.see(SETTINGS)
    text = text_of(page)
    assert "Characters of a policy" in text
    assert "iam:GetAccountPasswordPolicy" in text
    assert "The default policy applies" not in text
    assert not html.fromstring(page.text).xpath("//section[@id='regions']")


async def test_who_may_do_root_tasks_is_told(admin: Administrator) -> None:
    page = await admin.see(SETTINGS)
    assert "No other account may perform root tasks here" in part(page, "root")
    directory = admin.world.services.stores.directory
    account = await directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    async with directory.change(ACCOUNT) as change:
        options = {**account.options, "RootManagedBy": OTHER}
        await update_account(change, replace(account, options=options))
    page = await admin.see(SETTINGS)
    assert f"Account {OTHER} may perform root tasks here" in part(page, "root")


async def test_quotas_are_counted(admin: Administrator) -> None:
    page = await admin.see(SETTINGS)
    rows = {
        row.xpath("th")[0].text: [cell.text for cell in row.xpath("td")]
        for row in html.fromstring(page.text).xpath("//section[@id='quotas']//tbody/tr")
    }
    assert rows["Roles"] == ["3", "1000"]
    assert rows["Users"] == ["0", "5000"]
    assert rows["Access keys per user"] == [None, "2"]
