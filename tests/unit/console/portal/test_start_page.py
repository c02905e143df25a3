"""The portal's pages: the list, a role's credentials, and its console."""

import configparser
import json
import re
from typing import Any

import pytest
from lxml import html
from msgspec.structs import replace

from broker.actions.portal import assignments
from broker.actions.portal.start_urls import profile_start_url
from broker.console.recent_roles import FAVOURITES_MAX
from broker.errors import ExpiredToken
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from tests.support.passwords import create_user, send_password
from tests.support.portal import Person, Terminal
from tests.support.portal_accounts import add_accounts, numbers, pairs
from tests.support.signin import (
    ACCOUNT,
    COOKIE,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    pair,
    role_arn,
    text_of,
)

START = f"/portal/{ACCOUNT}"
SAME = {"sec-fetch-site": "same-origin"}
TWO = numbers(2)


def listed(page: Any, title: str = "") -> list[str]:
    """The roles that the page can open, in its order; under a title only, if given."""
    tree = html.fromstring(page.text)
    under = f"[.//h2[text()='{title}']]" if title else ""
    forms = f"//div[@id='roles']//section{under}//form[@action='{START}/console']"
    return [str(value) for value in tree.xpath(f"{forms}//input[@name='role']/@value")]


def titles(page: Any) -> list[str]:
    return [
        str(entry)
        for entry in html.fromstring(page.text).xpath("//div[@id='roles']//h2/text()")
    ]


async def arrived(world: SignInWorld, *roles: str, **knobs: Any) -> Person:
    person = Person(world)
    await person.sign_in(*roles, **knobs)
    return person


async def send(person: Person, path: str, **data: str) -> Any:
    page = await person.browser.get(START)
    fields = form_fields(page, f"{START}/sign-out") | data
    return await person.browser.post(f"{START}/{path}", data=fields, headers=SAME)


async def test_roles_are_listed_by_account_name_and_found_by_a_search(
    world: SignInWorld,
) -> None:
    await add_accounts(world, TWO)
    person = await arrived(world, pair("Reader"), pair("Admin"), *pairs(TWO[::-1]))
    page = await person.browser.get(START)
    assert titles(page) == ["example", "product-00", "product-01"]
    assert listed(page)[:3] == [
        role_arn("Admin"),
        role_arn("Reader"),
        role_arn("Team-00", TWO[0]),
    ]
    assert "For reports" in text_of(page)
    for text, results in (
        ("rEAd", [role_arn("Reader")]),
        ("product-01", [role_arn(f"Team-{n:02}", TWO[1]) for n in range(20)]),
        (ACCOUNT, [role_arn("Admin"), role_arn("Reader")]),
        ("team-07", [role_arn("Team-07", number) for number in TWO]),
    ):
        answer = await person.browser.get(START, params={"q": text})
        assert listed(answer) == results, text
    nothing = await person.browser.get(START, params={"q": "<b>red"})
    assert "No matching roles" in nothing.text
    assert "<b>" not in nothing.text


async def test_many_roles_come_page_by_page_and_only_those_are_decided_about(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = numbers(6)
    await add_accounts(world, accounts)
    person = await arrived(world, pair("Reader"), *pairs(accounts))
    guard, judged = world.services.pipeline._guard, 0
    judge = guard.judge

    async def counted(*params: Any, **more: Any) -> Any:
        nonlocal judged
        judged += 1
        return await judge(*params, **more)

    monkeypatch.setattr(type(guard), "judge", lambda _self, *a, **k: counted(*a, **k))
    seen: list[str] = []
    path, pages = START, 0
    while path:
        judged = 0
        page = await person.browser.get(path)
        assert judged <= assignments.ROLES_MAX
        seen += listed(page)
        following = html.fromstring(page.text).xpath("//a[@rel='next']/@href")
        path, pages = (following[0] if following else ""), pages + 1
    assert pages == 3
    assert seen[0] == role_arn("Reader")
    assert seen[1:] == [
        role_arn(f"Team-{n:02}", account_id)
        for account_id in accounts
        for n in range(20)
    ]
    monkeypatch.setattr(assignments, "_LOOKED_MAX", 7)
    assert len(listed(await person.browser.get(START))) == 7


async def test_the_search_is_over_when_its_time_is(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "_SECONDS_MAX", -1)
    page = await (await arrived(world)).browser.get(START)
    assert listed(page) == []
    assert "More roles" in page.text


@pytest.mark.parametrize(
    "place", ["9999999", "-1", "999", "x", "own:", "own:x", "own:%00", "²", "9" * 5000]
)
async def test_any_place_to_go_on_from_has_an_answer(
    world: SignInWorld, place: str
) -> None:
    await create_user(world)
    for person in (await arrived(world), Person(world)):
        if "broker-portal" not in person.browser.cookies:
            await send_password(person.browser)
        page = await person.browser.get(START, params={"from": place})
        assert page.status_code in {200, 400}, place


async def trust_user(world: SignInWorld, user: Any, *accounts: Any) -> None:
    """Let every role of these accounts trust the user, too."""
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": user.arn},
    }
    for account in accounts:
        async with world.services.stores.directory.change(account) as change:
            for name in ("Reader", "Admin", "Brief"):
                role = await change.named(ROLE, account, name)
                assert role is not None
                document = json.loads(role.trust_policy)
                document["Statement"] = [document["Statement"], statement]
                await change.update(
                    ROLE, replace(role, trust_policy=json.dumps(document))
                )


def may_assume(*roles: str) -> str:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


async def test_a_users_own_roles_come_page_by_page(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a policy names, then those of the account that trust the user."""
    monkeypatch.setattr(assignments, "ROLES_MAX", 2)
    policy = may_assume(role_arn("Reader", OTHER), role_arn("Gone"), "*")
    await trust_user(world, await create_user(world, policy=policy), ACCOUNT, OTHER)
    expected = [role_arn("Reader", OTHER)]
    expected += [role_arn(name) for name in ("Admin", "Brief", "Reader")]
    person = Person(world)
    await send_password(person.browser)
    seen: list[str] = []
    path = START
    for _ in range(9):
        page = await person.browser.get(path)
        seen += listed(page)
        following = html.fromstring(page.text).xpath("//a[@rel='next']/@href")
        if not following:
            break
        path = following[0]
    assert seen == expected
    response = await person.browser.get(START, params={"q": "brie"})
    assert listed(response) == [role_arn("Brief")]
    everything = await person.browser.get(START, params={"q": "example"})
    assert listed(everything)


async def test_favourites_and_recent_roles_come_first_and_are_ones_own(
    world: SignInWorld,
) -> None:
    await add_accounts(world, TWO)
    person = await arrived(world, pair("Reader"), pair("Admin"), *pairs(TWO))
    role = role_arn("Team-07", TWO[1])
    answer = await send(
        person, "favourites", role=role, do="add", q="team", **{"from": "0"}
    )
    assert answer.headers["location"] == f"{START}?q=team&from=0"
    page = await person.browser.get(answer.headers["location"])
    assert "Team-07 is now a favorite." in text_of(page)
    assert titles(page)[0] == "Favorites"
    assert listed(page, "Favorites") == [role]
    assert listed(page, "product-01").count(role) == 1
    used = role_arn("Team-03", TWO[0])
    await send(person, "credentials", role=used)
    page = await person.browser.get(START)
    assert titles(page)[:2] == ["Favorites", "Recently used"]
    assert listed(page, "Recently used") == [used]
    assert "is now a favorite" not in page.text
    # In another browser, too; for nobody else.
    again = await arrived(world, pair("Reader"), *pairs(TWO))
    assert listed(await again.browser.get(START), "Favorites") == [role]
    bob = await arrived(
        world, pair("Reader"), *pairs(TWO), aws={"session_name": "bob@example.com"}
    )
    assert titles(await bob.browser.get(START))[0] == "example"
    # A favourite that the sign-in does not name is not a role of it.
    fewer = await arrived(world)
    assert listed(await fewer.browser.get(START)) == [role_arn("Reader")]
    await send(person, "favourites", role=role, do="remove")
    assert "Favorites" not in titles(await person.browser.get(START))


async def test_a_favourite_is_shown_only_if_the_sign_in_names_it(
    world: SignInWorld,
) -> None:
    """By its whole ARN; and others that its trust policy allows."""
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        role = await change.named(ROLE, ACCOUNT, "Reader")
        assert role is not None
        everyone = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:*"}
        document = {"Version": "2012-10-17", "Statement": everyone}
        for name, path, trust in (
            ("Deep", "/team/", role.trust_policy),
            ("Open", "/", json.dumps(document)),
        ):
            await change.insert(
                ROLE,
                replace(
                    role,
                    name=name,
                    path=path,
                    trust_policy=trust,
                    role_id=f"AROA{name.upper():0<17}",
                ),
            )
    person = await arrived(world, pair("Reader"), pair("Deep"))
    for favourite in ("team/Deep", "Open"):
        await send(person, "favourites", role=role_arn(favourite))
    assert listed(await person.browser.get(START)) == [role_arn("Reader")]


async def test_there_are_only_so_many_favourites(world: SignInWorld) -> None:
    person = await arrived(world)
    for number in range(FAVOURITES_MAX):
        answer = await send(person, "favourites", role=role_arn(f"R{number}"))
        assert answer.status_code == 303
    answer = await send(person, "favourites", role=role_arn("R24"))
    assert answer.status_code == 400
    assert "Remove one first" in answer.text
    assert (await send(person, "favourites", role="nothing")).status_code == 400


@pytest.mark.parametrize("place", [ACCOUNT, "example", "nobody-here"])
async def test_the_aws_cli_is_told_which_of_awss_portals_it_is(
    world: SignInWorld, place: str
) -> None:
    answer = await world.browser().head(f"/portal/{place}")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"https://{place}.awsapps.com/start"


@pytest.mark.parametrize("path", ["/portal/a.b", "/portal/device", f"{START}/role"])
async def test_other_pages_are_not_taken_for_awss_portal(
    world: SignInWorld, path: str
) -> None:
    assert "location" not in (await world.browser().head(path)).headers


@pytest.mark.parametrize("end", ["", "/", "#/"])
async def test_a_terminal_may_name_the_portal_as_aws_does(
    world: SignInWorld, end: str
) -> None:
    person = await arrived(world)
    start = f"https://{ACCOUNT}.awsapps.com/start{end}"
    terminal = await Terminal(world).register(issuerUrl=start)
    assert await person.code_for(terminal)
    device = await Terminal(world).register(device=True)
    begun = await device.begin(startUrl=start)
    page = await person.browser.get(begun["verificationUriComplete"])
    assert "alice@example.com" in page.text


def test_over_https_a_profile_names_the_portal_here() -> None:
    origin = "https://broker.example.com"
    assert profile_start_url(origin, "example") == f"{origin}/portal/example"


async def test_secrets_are_shown_on_a_press_and_are_cached_nowhere(
    world: SignInWorld,
) -> None:
    person = await arrived(world)
    role = role_arn("Reader")
    page = await person.browser.get(f"{START}/role", params={"role": role})
    assert page.status_code == 200
    assert "ASIA" not in page.text
    tree = html.fromstring(page.text)
    profile = tree.xpath("string(//pre[@id='profile'])")
    for line in (f"sso_account_id = {ACCOUNT}", "sso_role_name = Reader"):
        assert line in profile
    session = tree.xpath("string(//pre[@id='session_config'])")
    for line in (
        f"sso_start_url = https://{ACCOUNT}.awsapps.com/start",
        f"  endpoint_url = {ORIGIN}/sso-oidc",
    ):
        assert line in session
    got = await person.browser.get(f"{START}/credentials", params={"role": role})
    assert got.status_code == 404
    view = await send(person, "credentials", role=role)
    assert view.status_code == 200
    assert view.headers["cache-control"] == "no-store"
    tree = html.fromstring(view.text)
    for form, say in (
        ("bash", "export {}={}"),
        ("fish", "set -gx {} {}"),
        ("powershell", '$Env:{}="{}"'),
    ):
        lines = tree.xpath(f"string(//pre[@id='{form}'])").strip().splitlines()
        match = re.search(r"ASIA\w+", lines[0])
        assert match is not None
        assert lines[0] == say.format("AWS_ACCESS_KEY_ID", match[0])
        assert tree.xpath(f"//button[@data-copy='{form}']")
    values = dict(
        line.split("=", 1)
        for line in tree.xpath("string(//pre[@id='file'])").split()[1:]
    )
    resolved = await world.services.resolver.resolve(
        values["aws_access_key_id"], values["aws_session_token"], world.clock.now()
    )
    assert resolved.secret.reveal() == values["aws_secret_access_key"]
    assert resolved.session.kind.value == "AssumeRoleWithSAML"
    record = await world.recorded("sso:GetRoleCredentials")
    assert record.parameters == {"accountId": ACCOUNT, "roleName": "Reader"}


async def test_all_that_is_to_be_pasted_fits_into_one_configuration_file(
    world: SignInWorld,
) -> None:
    """A section that comes twice would make the whole file unreadable."""
    person = await arrived(world, pair("Reader"), pair("Admin"))
    pages = [
        await person.browser.get(START),
        await send(person, "credentials", role=role_arn("Reader")),
        await send(person, "credentials", role=role_arn("Admin")),
    ]
    once, profiles = set(), []
    for page in pages:
        tree = html.fromstring(page.text)
        once.add(tree.xpath("string(//pre[@id='session_config'])").strip())
        for each in ("profile", "file_config"):
            profiles += tree.xpath(f"//pre[@id='{each}']")
    assert len(once) == 1
    assert len(profiles) == 4
    texts = [str(profile.text_content()) for profile in profiles]
    config = configparser.RawConfigParser()
    config.read_string("\n".join([*once, *texts]))
    for section in config.sections():
        if section.startswith("profile "):
            assert f"services {config[section]['services']}" in config
    assert f"https://{ACCOUNT}.awsapps.com/start" in once.pop()


@pytest.mark.parametrize("path", ["credentials", "console"])
@pytest.mark.parametrize(
    ("role", "status"), [(role_arn("Admin"), 403), ("no role", 400), ("", 400)]
)
async def test_another_role_is_refused(
    world: SignInWorld, path: str, role: str, status: int
) -> None:
    page = await send(await arrived(world), path, role=role)
    assert page.status_code == status
    assert "ASIA" not in page.text


@pytest.mark.parametrize("path", ["credentials", "console", "favourites", "sign-out"])
async def test_other_sites_and_other_sign_ins_press_nothing(
    world: SignInWorld, path: str
) -> None:
    person, other = await arrived(world), await arrived(world)
    page = await person.browser.get(START)
    data = form_fields(page, f"{START}/sign-out") | {"role": role_arn("Reader")}
    for browser, headers in (
        (person.browser, {"origin": "https://evil.example"}),
        (person.browser, {}),
        (other.browser, SAME),
    ):
        answer = await browser.post(f"{START}/{path}", data=data, headers=headers)
        assert answer.status_code == 403
    assert (await person.browser.get(START)).status_code == 200
    gone = await world.browser().post(f"{START}/{path}", data=data, headers=SAME)
    assert gone.status_code == (200 if path == "sign-out" else 303)
    assert COOKIE not in other.browser.cookies


async def test_the_console_opens_as_the_role_and_ends_with_the_sign_in(
    world: SignInWorld,
) -> None:
    person = await arrived(world, pair("Reader"), pair("Admin"))
    opened = await send(person, "console", role=role_arn("Reader"))
    assert opened.headers["location"] == "/console/"
    home = await person.browser.get("/console/")
    assert "Reader" in text_of(home)
    (link,) = html.fromstring(home.text).xpath("//a[@id='portal_link']/@href")
    assert link == START
    # The next one replaces it, which ends it.
    first = dict(person.browser.cookies)
    await send(person, "console", role=role_arn("Admin"))
    old = await world.browser(cookies={COOKIE: first[COOKIE]}).get("/console/")
    assert old.headers["location"] == "/signin"
    assert "Admin" in text_of(await person.browser.get("/console/"))
    await send(person, "sign-out")
    assert (await person.browser.get("/console/")).status_code == 403


async def test_a_users_console_stays_behind_the_role_that_was_opened(
    world: SignInWorld,
) -> None:
    """The user's sign-in here is made from it: ending it would end this, too."""
    await trust_user(world, await create_user(world, policy=may_assume("*")), ACCOUNT)
    person = Person(world)
    await send_password(person.browser)
    for name in ("Reader", "Admin"):
        opened = await send(person, "console", role=role_arn(name))
        assert opened.status_code == 303, opened.text
        home = await person.browser.get("/console/")
        assert name in text_of(home)
        assert (await person.browser.get(START)).status_code == 200
    back = form_fields(home, "/console/switch/back")
    await person.browser.post("/console/switch/back", data=back, headers=SAME)
    assert "ann" in text_of(await person.browser.get("/console/"))
    assert (await person.browser.get(START)).status_code == 200


async def test_the_role_page_after_sign_in_leads_to_the_portal(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    response = world.response(pair("Reader"), pair("Admin"))
    page = await browser.post("/saml", data={"SAMLResponse": response})
    (button,) = html.fromstring(page.text).xpath("//button[@value='portal']")
    assert button.get("name") == "pick"
    fields = form_fields(page, "/saml") | {"pick": "portal"}
    posted = await browser.post("/saml", data=fields)
    there = await browser.get(posted.headers["location"])
    assert there.headers["location"] == START
    assert listed(await browser.get(START)) == [role_arn("Admin"), role_arn("Reader")]


async def test_the_console_leads_to_the_portal_with_the_same_provider(
    world: SignInWorld,
) -> None:
    """Its sign-in page is skipped, if a sign-in can begin here."""
    browser = world.browser()
    await world.sign_in(browser)
    home = html.fromstring((await browser.get("/console/")).text)
    (link,) = home.xpath("//a[@id='portal_link']/@href")
    uuid = f"SAMLSP{ACCOUNT}AAAA"
    assert link == f"{START}?with={uuid}"
    sent = await browser.get(link)
    assert sent.headers["location"].startswith(f"/signin/{ACCOUNT}?Destination=")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(SAML_PROVIDER, replace(provider, options={"SignIn": True}))
    sent = await browser.get(link)
    onward = f"/signin/{ACCOUNT}/with/{uuid}?Destination=%2Fportal%2F{ACCOUNT}"
    assert sent.headers["location"] == onward
    other = await browser.get(f"{START}?with=https://evil.example")
    assert other.headers["location"].startswith(f"/signin/{ACCOUNT}?Destination=")


async def test_the_bare_address_leads_to_the_portal_that_the_browser_knows(
    world: SignInWorld,
) -> None:
    await create_user(world)
    browser = world.browser()
    assert (await browser.get("/portal")).headers["location"] == "/signin"
    await send_password(browser, remember="yes")
    assert (await browser.get("/portal/")).headers["location"] == "/portal/example"
    person = await arrived(world)
    assert (await person.browser.get("/portal")).headers["location"] == START
    nowhere = await person.browser.get(f"{START}/nowhere")
    assert nowhere.status_code == 404
    assert "There is no such page" in nowhere.text
    assert "Page not found" in nowhere.text


async def test_credentials_of_a_page_end_when_one_signs_out(world: SignInWorld) -> None:
    person = await arrived(world)
    view = await send(person, "credentials", role=role_arn("Reader"))
    text = html.fromstring(view.text).xpath("string(//pre[@id='file'])")
    values = dict(line.split("=", 1) for line in text.split()[1:])
    await send(person, "sign-out")
    with pytest.raises(ExpiredToken):
        await world.services.resolver.resolve(
            values["aws_access_key_id"], values["aws_session_token"], world.clock.now()
        )
