"""The audit log in the console: by permission, and of one's own account only."""

import asyncio
import csv
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from lxml import html
from msgspec.structs import replace

from broker.proofs.refusals import name_reason
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.administrator import enter, grant
from tests.support.saml_idp import key_pair
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, pair, text_of

AUDIT = "/console/audit"
ALL = {"view": "all"}
PAGE_BYTES_MAX = 60_000


async def auditor(world: SignInWorld) -> Any:
    await grant(world, "cloudtrail:LookupEvents")
    browser = world.browser()
    await world.sign_in(browser, pair("Admin"))
    return browser


async def test_what_the_list_shows_finds_its_records(world: SignInWorld) -> None:
    browser = await auditor(world)
    await browser.get(AUDIT)
    await world.recorded("cloudtrail:LookupEvents")
    whole = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice@example.com"
    for asked, text in (
        ({"caller": "assumed-role/Admin/alice@example.com", **ALL}, "LookupEvents"),
        ({"caller": whole, **ALL}, "LookupEvents"),
        ({"provider": "saml-provider/Corp"}, "AssumeRoleWithSAML"),
        ({"provider": "Corp"}, "AssumeRoleWithSAML"),
        ({"name": "alice@example.com"}, "AssumeRoleWithSAML"),
    ):
        assert text in text_of(await browser.get(AUDIT, params=asked)), asked
    page = await browser.get(AUDIT, params={"action": "sts:AssumeRoleWithSAML"})
    (what,) = html.fromstring(page.text).xpath("//tbody//td[2]")
    assert what.text_content().strip() == "sts:AssumeRoleWithSAMLrole/Admin"
    for asked in (
        {"caller": "user/Admin"},
        {"provider": "corp.example"},
        {"name": "alice"},
        {"identity": "alice@example.com"},
    ):
        assert "No matching records" in text_of(await browser.get(AUDIT, params=asked))


async def test_records_are_filtered_and_shown_in_full(world: SignInWorld) -> None:
    stranger = world.browser()
    await world.sign_in(stranger, pair("Reader", OTHER), signing_key=key_pair("other"))
    foreign = (await world.recorded("sts:AssumeRoleWithSAML")).event_id
    denied = world.browser()
    await world.sign_in(denied)
    await denied.get(AUDIT)
    refused = await world.recorded("cloudtrail:LookupEvents")
    browser = await auditor(world)
    page = await browser.get(AUDIT, params={"action": "sts:AssumeRoleWithSAML"})
    assert page.text.count("<tr>") == 3
    assert foreign not in page.text
    assert len(page.content) < PAGE_BYTES_MAX
    none = await browser.get(AUDIT, params={"caller": "<b>"})
    assert "No matching records" in none.text
    assert "<b>" not in none.text
    record = await browser.get(AUDIT, params={"event": refused.event_id})
    assert refused.detail in text_of(record)
    assert "AccessDenied" in text_of(record)
    assert (await browser.get(AUDIT, params={"event": foreign})).status_code == 404


async def test_refused_proofs_are_found(world: SignInWorld) -> None:
    forged = world.response(signing_key=key_pair("stranger"))
    await world.browser().post("/saml", data={"SAMLResponse": forged})
    refused = await world.recorded("signin:ListRolesWithSAML")
    browser = await auditor(world)
    for outcome, there in (("refused", True), ("denied", False), ("allowed", False)):
        page = await browser.get(AUDIT, params={"decision": outcome})
        assert (refused.event_id in page.text) is there, outcome
        assert f'value="{outcome}" selected' in page.text
    record = await browser.get(AUDIT, params={"event": refused.event_id})
    assert "Check that failed" in text_of(record)


async def test_a_made_up_place_in_the_list_is_no_failure(world: SignInWorld) -> None:
    browser = await auditor(world)
    for place in ("x", "1:2", "-1", "9" * 400, "é"):
        page = await browser.get(AUDIT, params={"next": place})
        assert page.status_code < 500, place


async def test_records_are_found_by_when_they_were_made(world: SignInWorld) -> None:
    browser = await auditor(world)
    now = world.clock.now()
    hour = timedelta(hours=1)

    async def count(since: object, until: object) -> int:
        asked = {"action": "sts:AssumeRoleWithSAML", "since": since, "until": until}
        page = await browser.get(AUDIT, params=asked)
        assert page.status_code == 200
        return page.text.count("<tr>")

    def utc(at: datetime) -> str:
        return f"{at:%Y-%m-%dT%H:%M}"

    assert await count(utc(now - hour), utc(now + hour)) == 2
    assert await count(utc(now + hour), "") == 0
    assert await count("", utc(now - hour)) == 0
    east = timezone(hour)
    assert await count(f"{(now - hour / 2).astimezone(east):%Y-%m-%dT%H:%M%z}", "") == 2


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-02-31T08:00", "0001-01-01T00:00+23:59", "<b>"]
)
async def test_an_invalid_time_is_named_and_the_form_is_kept(
    world: SignInWorld, time: str
) -> None:
    browser = await auditor(world)
    page = await browser.get(AUDIT, params={"since": time, "action": "sts:Typed"})
    assert page.status_code == 400
    assert "Enter a time such as" in text_of(page)
    assert 'value="sts:Typed"' in page.text
    assert "<b>" not in page.text


async def test_the_log_is_read_page_by_page(world: SignInWorld) -> None:
    browser = await auditor(world)
    for _ in range(45):
        await browser.get(AUDIT, params={"decision": "denied"})
    await asyncio.sleep(1.2)
    first = html.fromstring((await browser.get(AUDIT, params=ALL)).text)
    (older,) = first.xpath("//a[text()='Older']/@href")
    second = html.fromstring((await browser.get(older)).text)
    (newest,) = second.xpath("//a[text()='Newest']/@href")
    assert newest == f"{AUDIT}?view=all"
    seen = [{*page.xpath("//table[@class='log']//a/@href")} for page in (first, second)]
    assert len(seen[0]) == 40
    assert seen[1]
    assert not seen[0] & seen[1]


async def test_a_record_leads_to_all_of_its_caller_and_its_key(
    world: SignInWorld,
) -> None:
    browser = await auditor(world)
    await browser.get(AUDIT)
    event = (await world.recorded("cloudtrail:LookupEvents")).event_id
    record = html.fromstring((await browser.get(AUDIT, params={"event": event})).text)
    for text in ("All by this principal", "All with this key"):
        link = record.xpath(f"//a[text()='{text}']/@href")[0]
        listed = await browser.get(link)
        assert event in listed.text, text


async def listed(browser: Any, **asked: str) -> list[str]:
    """The actions in the list."""
    page = html.fromstring((await browser.get(AUDIT, params=asked)).text)
    rows = page.xpath("//table[@class='log']//td[2]")
    return [str(row.text).strip() for row in rows]


async def test_reads_are_left_out_until_they_are_wanted(world: SignInWorld) -> None:
    browser = await auditor(world)
    await browser.get(AUDIT)
    await world.recorded("cloudtrail:LookupEvents")
    assert await listed(browser) == ["sts:AssumeRoleWithSAML"]
    assert "cloudtrail:LookupEvents" in await listed(browser, view="all")
    assert "cloudtrail:LookupEvents" in await listed(
        browser, action="cloudtrail:LookupEvents"
    )
    assert set(await listed(browser, view="sign-ins")) == {"sts:AssumeRoleWithSAML"}
    assert await listed(browser, view="changes") == []
    chips = html.fromstring((await browser.get(AUDIT, params={"view": "refused"})).text)
    chosen = chips.xpath("//a[@aria-current='true']/text()")
    assert chosen == ["Refused", "Any time"]


async def test_the_refused_are_those_of_policies_and_of_proofs(
    world: SignInWorld,
) -> None:
    forged = world.response(signing_key=key_pair("stranger"))
    await world.browser().post("/saml", data={"SAMLResponse": forged})
    denied = world.browser()
    await world.sign_in(denied)
    await denied.get(AUDIT)
    await world.recorded("cloudtrail:LookupEvents")
    browser = await auditor(world)
    assert sorted(await listed(browser, view="refused")) == [
        *("cloudtrail:LookupEvents", "signin:ListRolesWithSAML")
    ]


async def test_a_time_can_be_chosen(world: SignInWorld) -> None:
    await world.sign_in(world.browser())
    world.clock.move(7200)
    browser = await auditor(world)
    for length, count in (("1h", 1), ("24h", 2), ("", 2)):
        assert len(await listed(browser, range=length, view="sign-ins")) == count


async def test_the_counts_say_what_the_records_say(world: SignInWorld) -> None:
    ledger = world.services.stores.ledger
    for _ in range(3):
        await world.sign_in(world.browser())
    forged = world.response(signing_key=key_pair("stranger"))
    await world.browser().post("/saml", data={"SAMLResponse": forged})
    await world.recorded("signin:ListRolesWithSAML")
    browser = await auditor(world)
    while await ledger.count(name_reason):
        pass
    page = html.fromstring((await browser.get(AUDIT)).text)
    (over_time,) = page.xpath("//section[@aria-label='Over time']")
    assert over_time.xpath(".//dt/text()") == [
        *("Sign-ins", "Refusals", "Counted from", "Busiest")
    ]
    assert over_time.xpath(".//strong/text()") == ["4", "1"]
    signed_in, refused, since, busiest = over_time.xpath(".//dd")
    # The account is of today: no count before it, and nothing that could have risen.
    assert [entry.text_content() for entry in (signed_in, refused)] == ["4", "1"]
    created = world.clock.now().strftime("%Y-%m-%d %H:%M UTC")
    assert since.text_content() == created
    assert busiest.text_content().endswith(": 4 sign-ins, 1 refusal")
    assert len(await listed(browser, view="sign-ins", decision="allowed")) == 4
    assert len(await listed(browser, view="refused")) == 1
    # The same as a table, each of whose rows leads to its records.
    (link,) = over_time.xpath(".//tbody//a/@href")
    assert busiest.xpath("./a/@href") == [link]
    element = html.fromstring((await browser.get(link)).text)
    assert len(element.xpath("//table[@class='log']//tr")) > 5
    assert not element.xpath(
        "//section[@aria-label='Over time']"
    )  # it counts what the chips alone choose


async def test_the_list_is_a_file_without_formulas(world: SignInWorld) -> None:
    browser = await auditor(world)
    await world.browser().get("/console/audit", headers={"user-agent": "plain"})
    sheet = await browser.get(f"{AUDIT}/export", params={"format": "csv"})
    assert sheet.headers["content-type"] == "text/csv; charset=utf-8"
    assert f'filename="audit-{ACCOUNT}-' in sheet.headers["content-disposition"]
    rows = list(csv.DictReader(sheet.content.decode("utf-8-sig").splitlines()))
    assert {row["action"] for row in rows} == {"sts:AssumeRoleWithSAML"}
    assert {row["outcome"] for row in rows} == {"allowed"}
    whole = await browser.get(f"{AUDIT}/export", params={"format": "json", **ALL})
    records = whole.json()["Records"]
    assert len(records) > len(rows)
    assert {record["kind"] for record in records} >= {"sign-in", "read"}
    assert {record["account"] for record in records} == {ACCOUNT}


async def test_a_file_takes_the_permission_of_the_log(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    refused = await browser.get(f"{AUDIT}/export", params={"format": "csv"})
    assert refused.status_code == 403
    assert "attachment" not in refused.headers.get("content-disposition", "")
    other = await auditor(world)
    odd = await other.get(f"{AUDIT}/export", params={"format": "exe"})
    assert odd.status_code == 400


async def test_a_long_log_is_exported_page_by_page_up_to_a_bound(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await auditor(world)
    for _ in range(6):
        await browser.get(AUDIT, params={"decision": "denied"})
    await asyncio.sleep(1.2)
    export = "broker.console.pages.audit_log"
    monkeypatch.setattr(f"{export}.RESULTS_MAX", 3)
    monkeypatch.setattr(f"{export}.RECORDS_MAX", 7)
    asked = {"format": "json", **ALL}
    records = (await browser.get(f"{AUDIT}/export", params=asked)).json()["Records"]
    assert len({record["event_id"] for record in records}) == 7


async def test_following_ends_by_itself(world: SignInWorld) -> None:
    browser = await auditor(world)
    for turns, left in (("9999", "59"), ("2", "1"), ("1", "0")):
        text = (await browser.get(AUDIT, params={"follow": turns, **ALL})).text
        assert f'content="10; url=/console/audit?view=all&amp;follow={left}"' in text
        assert 'data-follow="/console/audit?view=all&amp;follow=60"' in text
    for turns in ("0", "", "x", "-1"):
        text = (await browser.get(AUDIT, params={"follow": turns})).text
        assert "http-equiv" not in text
        assert "data-follow" not in text


async def test_a_record_says_who_as_a_person_and_what_was_issued(
    world: SignInWorld,
) -> None:
    await grant(world, "*")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        saml_provider = replace(provider, options={"DisplayName": "Example workforce"})
        await change.update(SAML_PROVIDER, saml_provider)
    admin = await enter(world)
    record = await world.recorded("sts:AssumeRoleWithSAML")
    page = await admin.see("/console/audit", event=record.event_id)
    facts = {
        " ".join(fact.xpath("string(dt)").split()): " ".join(
            fact.xpath("string(dd)").split()
        )
        for fact in html.fromstring(page.text).xpath("//dl/div")
    }
    assert facts["Who"].startswith("alice@example.com, with the role Admin, signed in")
    assert "signed in with Example workforce" in facts["Who"]
    assert facts["Access key"].startswith("ASIA")
    assert facts["Expires"].endswith("UTC")
    assert "{" not in text_of(page).partition("Credentials issued")[2]
    assert "Example workforce (SAML)" in text_of(await admin.see("/console/"))


async def test_a_denied_call_can_be_tried_in_the_simulator(world: SignInWorld) -> None:
    denied = await enter(world, "Brief")
    assert (await denied.browser.get("/console/users")).status_code == 403
    record = await world.recorded("iam:ListUsers")
    await grant(world, "*")
    page = await (await enter(world)).see("/console/audit", event=record.event_id)
    assert "No identity-based policy allows iam:ListUsers" in text_of(page)
    (link,) = html.fromstring(page.text).xpath("//a[contains(., 'simulator')]/@href")
    query = dict(parse_qsl(urlsplit(link).query))
    assert query["principal"] == f"arn:aws:iam::{ACCOUNT}:role/Brief"
    assert query["action"] == "iam:ListUsers"


async def test_the_log_says_what_it_shows(world: SignInWorld) -> None:
    await grant(world, "*")
    admin = await enter(world)
    page = await admin.see("/console/audit", view="all", range="24h", name="a")
    said = "Calls of all kinds of the last 24 hours that match the filter"
    assert said in text_of(page)
