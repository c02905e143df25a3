"""Live sessions: whose they are, who may end them."""

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from lxml import html
from msgspec import structs

from broker.console.pages.sessions import DEPTH_MAX, grow, made_from
from broker.model.account import AccountId
from broker.model.entities import InlinePolicy
from broker.model.lineage import Ancestor, Lineage, Origin
from broker.model.session import SessionKind
from broker.model.session_arn import find_key_of_arn
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.policies import put_inline_policy
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    pair,
    text_of,
)

SAME = {"sec-fetch-site": "same-origin"}
OWN, ALL = "/console/sessions", "/console/sessions/all"


async def allow(world: SignInWorld, action: str, *, whose: str = "") -> None:
    """Let the administrator act on sessions; on those of ``whose`` alone, if named."""
    role = await world.services.fresh.named(ROLE, ACCOUNT, "Admin")
    assert role is not None
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": "*"}
    if whose:
        arn = f"arn:aws:iam::{ACCOUNT}:{whose}"
        statement["Condition"] = {"ArnEquals": {"signin:PrincipalArn": arn}}
    document = {"Version": "2012-10-17", "Statement": statement}
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=role.role_id,
                name="Given",
                document=json.dumps(document),
            ),
        )


async def signed_in(world: SignInWorld, role: str = "Reader", **knobs: Any) -> Any:
    browser = world.browser()
    await world.sign_in(browser, pair(role), **knobs)
    return browser


def keys_on(page: Any) -> list[str]:
    return html.fromstring(page.text).xpath("//input[@name='picked']/@value")


async def csrf_of(browser: Any) -> dict[str, str]:
    return form_fields(await browser.get("/console/"), "/console/sign-out")


async def end(browser: Any, path: str, *keys: str, sure: str = "yes") -> Any:
    fields = {**await csrf_of(browser), "picked": list(keys), "sure": sure}
    return await browser.post(path, data=fields, headers=SAME)


async def test_another_browser_of_the_same_person_is_listed_and_can_be_ended(
    world: SignInWorld,
) -> None:
    here, there = await signed_in(world), await signed_in(world)
    page = await here.get(OWN)
    assert len(keys_on(page)) == 2
    assert text_of(page).count("this one") == 1
    (other,) = [
        row.xpath(".//input[@name='picked']/@value")[0]
        for row in html.fromstring(page.text).xpath("//tbody/tr")
        if "this one" not in row.text_content()
    ]
    answer = await end(here, OWN, other)
    assert (answer.status_code, answer.headers["location"]) == (303, OWN)
    assert (await there.get("/console/")).status_code == 403
    assert (await here.get("/console/")).status_code == 200
    assert keys_on(await here.get(OWN)) != []
    record = await world.recorded("signin:BatchRevokeSessions")
    (arn,) = record.parameters["sessionArns"]
    assert find_key_of_arn(arn) == (ACCOUNT, other)


async def test_a_person_is_known_by_issuer_and_subject_and_not_by_name(
    world: SignInWorld,
) -> None:
    """The provider may call two people alike, and one differently in each role."""
    mine, alike = await signed_in(world), await signed_in(world, subject="bob")
    admin = await signed_in(world, "Admin")
    assert len(keys_on(await alike.get(OWN))) == 1
    assert len(keys_on(await mine.get(OWN))) == 2
    (his,) = keys_on(await alike.get(OWN))
    assert (await end(mine, OWN, his)).status_code == 404
    hers = set(keys_on(await admin.get(OWN)))
    assert hers == set(keys_on(await mine.get(OWN)))


async def test_credentials_of_a_session_are_its_own(world: SignInWorld) -> None:
    browser = await signed_in(world)
    await browser.post(
        "/console/credentials", data=await csrf_of(browser), headers=SAME
    )
    page = await browser.get(OWN)
    assert len(keys_on(page)) == 2
    # Directly below what it was made from.
    first, second = html.fromstring(page.text).xpath("//tbody/tr")
    assert "this one" in first.text_content()
    assert second.xpath(".//div[contains(@class, 'depth-1')]")
    (made_from,) = second.xpath("./td[@data-label='Created from']")
    assert made_from.text_content() == "assumed-role/Reader/alice@example.com"


async def test_a_provider_at_a_port_is_shown_whole(world: SignInWorld) -> None:
    """The colon of its address is not the last one of an ARN."""
    browser = await signed_in(world)
    (key,) = keys_on(await browser.get(OWN))
    cache = world.services.stores.cache
    record = await cache.find_session(key)
    assert record is not None
    issuer = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example.com:8443"
    await cache.put_session(structs.replace(record, provider_arn=issuer))
    page = await browser.get(OWN)
    assert "oidc-provider/issuer.example.com:8443" in text_of(page)
    asked = await end(browser, OWN, key, sure="")
    assert "assumed-role/Reader/alice@example.com" in text_of(asked)


async def test_sessions_of_others_are_neither_listed_nor_ended(
    world: SignInWorld,
) -> None:
    """Even with the same session name: whoever assumes a role picks that."""
    mine = await signed_in(world)
    minted = await world.mint(SessionKind.ASSUME_ROLE, name="alice@example.com")
    other = world.browser()
    await other.get(login_url(await get_signin_token(other, minted)))
    assert len(keys_on(await mine.get(OWN))) == 1
    stolen = keys_on(await other.get(OWN))
    (own_key,) = keys_on(await mine.get(OWN))
    assert own_key not in stolen
    assert (await end(other, OWN, own_key)).status_code == 404
    assert (await mine.get("/console/")).status_code == 200


async def test_the_account_s_sessions_need_a_permission(world: SignInWorld) -> None:
    reader = await signed_in(world)
    admin = await signed_in(world, "Admin", subject="bob")
    assert (await admin.get(ALL)).status_code == 403
    await allow(world, "signin:ListSessions")
    page = await admin.get(ALL)
    assert len(keys_on(page)) == 2
    (key,) = keys_on(await reader.get(OWN))
    assert (await end(admin, ALL, key)).status_code == 403
    await allow(world, "signin:*", whose="role/Reader")
    assert (await end(admin, ALL, key)).status_code == 303
    assert (await reader.get("/console/")).status_code == 403


async def test_a_session_of_another_account_is_like_none(world: SignInWorld) -> None:
    await allow(world, "signin:*")
    admin = await signed_in(world, "Admin")
    stranger = world.browser()
    await world.sign_in(stranger, pair("Reader", OTHER), signing_key=other_key())
    (key,) = keys_on(await stranger.get(OWN))
    assert (await end(admin, ALL, key)).status_code == 404
    assert key not in keys_on(await admin.get(ALL))
    assert (await stranger.get("/console/")).status_code == 200


def other_key() -> Any:
    from tests.support.saml_idp import key_pair

    return key_pair("other")


async def test_the_list_can_be_searched(world: SignInWorld) -> None:
    await allow(world, "signin:*")
    await signed_in(world)
    admin = await signed_in(world, "Admin")
    match = await admin.get(ALL, params={"q": "role/reader"})
    assert len(keys_on(match)) == 1
    none = await admin.get(ALL, params={"q": "<b>"})
    assert keys_on(none) == []
    assert "<b>" not in none.text


async def test_ending_the_session_one_is_in_leads_to_the_end_page(
    world: SignInWorld,
) -> None:
    browser = await signed_in(world)
    (key,) = keys_on(await browser.get(OWN))
    answer = await end(browser, OWN, key)
    assert answer.headers["location"] == "/console/"
    assert "Your session has ended" in (await browser.get("/console/")).text


async def test_nothing_ends_before_it_is_said_what_will(world: SignInWorld) -> None:
    await allow(world, "signin:*")
    here, there = await signed_in(world, "Admin"), await signed_in(world)
    await there.post("/console/credentials", data=await csrf_of(there), headers=SAME)
    page = await here.get(ALL)
    rows = html.fromstring(page.text).xpath("//tbody/tr")
    chosen = [row for row in rows if row.xpath(".//div[contains(@class, 'depth-0')]")]
    keys = [row.xpath(".//input/@value")[0] for row in chosen]
    assert len(keys) == 2
    question = await end(here, ALL, *keys, sure="")
    assert question.status_code == 200
    tree = html.fromstring(question.text)
    why = [cell.text for cell in tree.xpath("//td[@data-label='Why']")]
    assert why == ["Selected", "Selected", "Created from a selected one"]
    text = text_of(question)
    assert "These 2 sessions end at once" in text
    assert "1 session that was created from them ends, too" in text
    assert "you will be signed out" in text
    assert (await there.get("/console/")).status_code == 200
    # The page's own form ends them all.
    fields = {**form_fields(question, ALL), "picked": keys}
    answer = await here.post(ALL, data=fields, headers=SAME)
    assert answer.headers["location"] == "/console/"
    for browser in (here, there):
        assert (await browser.get("/console/")).status_code == 403


async def test_what_may_not_be_ended_is_said_beside_what_was(
    world: SignInWorld,
) -> None:
    await allow(world, "signin:ListSessions")
    admin = await signed_in(world, "Admin")
    mine, hers = await signed_in(world), await signed_in(world, subject="bob")
    assert mine, hers
    keys = [
        row.xpath(".//input/@value")[0]
        for row in html.fromstring((await admin.get(ALL)).text).xpath("//tbody/tr")
        if "Reader" in row.text_content()
    ]
    await allow(world, "signin:*", whose="role/Reader")
    gone = "ASIA" + "A" * 16
    answer = await end(admin, ALL, *keys, gone)
    assert answer.headers["location"] == ALL
    said = text_of(await admin.get(ALL))
    assert "2 sessions ended; 1 could not be" in said


async def test_ending_nothing_is_refused(world: SignInWorld) -> None:
    browser = await signed_in(world)
    for sure in ("", "yes"):
        assert (await end(browser, OWN, sure=sure)).status_code == 400


async def test_a_long_list_is_read_page_by_page(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.console.pages.sessions.SHOWN_MAX", 2)
    browsers = [await signed_in(world) for _ in range(5)]
    seen: list[str] = []
    path = OWN
    while path:
        page = await browsers[0].get(path)
        seen += keys_on(page)
        path = next(
            iter(html.fromstring(page.text).xpath("//a[@rel='next']/@href")), ""
        )
    assert len(seen) == len(set(seen)) == 5
    for odd in ("-1", "x", "0", "9" * 400, "²"):
        assert keys_on(await browsers[0].get(OWN, params={"page": odd})) == seen[:2]


async def test_of_very_many_sessions_the_first_are_listed_and_all_are_searched(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.console.pages.sessions.READ_MAX", 2)
    monkeypatch.setattr("broker.sessions.listing._PAGE", 2)
    await allow(world, "signin:*")
    for _ in range(4):
        await signed_in(world)
    admin = await signed_in(world, "Admin")
    page = await admin.get(ALL)
    assert len(keys_on(page)) == 2
    assert "2 sessions, the first that were found; search for others" in text_of(page)
    for search, count in (("role/Admin", 1), ("Reader", 4)):
        match = await admin.get(ALL, params={"q": search})
        assert len(keys_on(match)) == count
        assert "search for others" not in text_of(match)


def record(name: str, *ancestors: str, at: int = 0, mint: bool = True) -> SessionRecord:
    return SessionRecord(
        access_key_id=f"ASIA{name}",
        account=AccountId("1" * 12),
        kind="AssumeRole",
        principal_arn=f"arn:{name}",
        principal_id=name,
        issued_at_ms=at,
        expires_at=0,
        mint_id=f"mint-{name}" if mint else "",
        lineage=Lineage(
            origin=Origin(),
            ancestors=tuple(
                Ancestor(
                    account=AccountId("1" * 12),
                    mint_id=f"mint-{ancestor}" if mint else "",
                    access_key_id=f"ASIA{ancestor}",
                    principal_id=ancestor,
                    issued_at_ms=0,
                )
                for ancestor in ancestors
            ),
        ),
    )


def shown(records: list[SessionRecord]) -> list[tuple[str, int, str]]:
    random.Random(1).shuffle(records)
    return [
        (
            branch.record.principal_id,
            branch.depth,
            branch.parent.principal_id if branch.parent else "",
        )
        for branch in grow(records)
    ]


def test_each_stands_below_what_it_was_made_from() -> None:
    assert shown(
        [
            record("a", at=1),
            record("b", "a", at=5),
            record("c", "a", "b", at=6),
            record("d", "a", at=7),
            record("new", at=8),
        ]
    ) == [("new", 0, ""), ("a", 0, ""), ("d", 1, "a"), ("b", 1, "a"), ("c", 2, "b")]


def test_of_a_chain_with_gaps_the_nearest_that_lives_is_the_parent() -> None:
    assert shown(
        [record("x", "gone", at=9), record("a"), record("c", "a", "gone", at=5)]
    ) == [("x", 0, ""), ("a", 0, ""), ("c", 1, "a")]


def test_tokens_without_a_mint_id_are_known_by_their_key() -> None:
    old = [record("a", mint=False), record("b", "a", mint=False, at=1)]
    assert shown(old) == [("a", 0, ""), ("b", 1, "a")]


def test_a_long_chain_is_not_indented_for_ever_and_loses_none() -> None:
    names = [f"s{number:05}" for number in range(3000)]
    chain = [record(names[0])]
    chain += [
        record(name, before, at=number)
        for number, (before, name) in enumerate(pairwise(names))
    ]
    results = shown(chain)
    assert [name for name, _, _ in results] == names
    assert max(depth for _, depth, _ in results) == DEPTH_MAX


def test_what_ends_with_some_is_all_that_came_from_them() -> None:
    a, b, c = record("a"), record("b", "a"), record("c", "a", "b")
    other = record("other", "else")
    every = [a, b, c, other]
    assert made_from([a], every) == [b, c]
    assert made_from([b], every) == [c]
    assert made_from([a, b], every) == [c]
    assert made_from([c], every) == []
