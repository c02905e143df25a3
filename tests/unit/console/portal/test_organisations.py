"""Accounts under one start address: whose proof reaches what."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lxml import html
from msgspec.structs import replace

from broker.console.portal import sign_ins
from broker.kinds.organisations import Organisations, parse_organisations
from broker.model.account import AccountId
from broker.model.entities import InlinePolicy
from broker.model.session import Session
from broker.sessions.revoke import revoke_issued_before
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from broker.stores.directory.policies import put_inline_policy
from tests.support.passwords import create_user, send_password
from tests.support.portal import Person, Terminal
from tests.support.portal_accounts import GROUPS, add_accounts, numbers, of_groups
from tests.support.saml_idp import key_pair
from tests.support.signin import (
    ACCOUNT,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    open_world,
    pair,
    role_arn,
    text_of,
)
from tests.unit.console.signin.test_saml_requests import ACS, UUID, begin

FIRST, SECOND, OUTSIDE = numbers(3)
START = "/portal/corp"
SAME = {"sec-fetch-site": "same-origin"}
FILE = f"""
Organisations:
  corp:
    DisplayName: Example Corp
    Accounts:
      "{ACCOUNT}": {{DisplayName: Production, Providers: [saml-provider/Corp]}}
      "{FIRST}": {{Providers: [saml-provider/Corp]}}
      "{SECOND}": {{Passwords: true}}
      "{OTHER}": {{Providers: [saml-provider/Corp], Passwords: true}}
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    path = tmp_path / "organisations.yaml"
    path.write_text(FILE)
    async with open_world(tmp_path, organisations_file=path, rate_limit=0) as made:
        made.clock.stop()
        await add_accounts(made, [FIRST, SECOND, OUTSIDE], names=["Deploy", "Look"])
        yield made


async def map_groups(world: SignInWorld, *accounts: AccountId, **more: object) -> None:
    """Let the group of engineers have a role in each of these accounts."""
    for account in accounts:
        name = "Reader" if account in {ACCOUNT, OTHER} else "Deploy"
        table = {"engineers": [role_arn(name, account)]}
        options = {"GroupRoles": table, "GroupAttribute": GROUPS, **more}
        async with world.services.stores.directory.change(account) as change:
            provider = await change.named(SAML_PROVIDER, account, "Corp")
            assert provider is not None
            await change.update(SAML_PROVIDER, replace(provider, options=options))


def listed(page: Any) -> list[str]:
    forms = f"//form[@action='{START}/console']//input[@name='role']/@value"
    return [str(value) for value in html.fromstring(page.text).xpath(forms)]


async def session_of(world: SignInWorld, answer: Any) -> Session:
    credentials = answer.json()["roleCredentials"]
    resolved = await world.services.resolver.resolve(
        credentials["accessKeyId"], credentials["sessionToken"], world.clock.now()
    )
    return resolved.session


async def test_groups_open_the_roles_of_every_member(world: SignInWorld) -> None:
    """One assertion that names no role; each account has its own table."""
    await map_groups(world, ACCOUNT, FIRST, OUTSIDE, OTHER)
    person = Person(world)
    await person.sign_in(place="corp", **of_groups("engineers"))
    page = await person.browser.get(START)
    assert "access portal of Example Corp" in text_of(page)
    assert listed(page) == [role_arn("Deploy", FIRST), role_arn("Reader")]
    names = html.fromstring(page.text).xpath("//div[@id='roles']//h2/text()")
    assert names == ["product-00", "Production"]
    response = await person.browser.get(START, params={"q": "produCTION"})
    assert listed(response) == [role_arn("Reader")]
    nobody = Person(world)
    data = {"SAMLResponse": world.response(**of_groups("guests")), "RelayState": START}
    posted = await nobody.browser.post("/saml", data=data)
    assert posted.status_code == 400


async def test_tools_list_the_members_and_get_credentials(world: SignInWorld) -> None:
    await map_groups(world, ACCOUNT, FIRST, OUTSIDE)
    person = Person(world)
    terminal = await Terminal(world).register(issuerUrl=f"{ORIGIN}{START}")
    sent = await person.browser.get("/authorize", params=terminal.authorize_query())
    asked = await person.browser.get(sent.headers["location"])
    assert asked.headers["location"].startswith("/signin/corp?")
    # The provider's own button, which does not know the organisation.
    arrived = await world.sign_in(person.browser, pair("Admin"))
    consent = await person.browser.get(arrived.headers["location"])
    answered = await person.press(consent)
    code = answered.headers["location"].partition("code=")[2].partition("&")[0]
    token = (await terminal.redeem(code)).json()["accessToken"]
    accounts = await terminal.ask("assignment/accounts", token)
    assert accounts.json()["accountList"] == [
        {"accountId": ACCOUNT, "accountName": "Production"}
    ]
    person, terminal = Person(world), await Terminal(world).register(device=True)
    device = await terminal.begin(startUrl=f"{ORIGIN}{START}")
    await person.sign_in(place="corp", **of_groups("engineers"))
    await person.answer_device(device["userCode"])
    token = (await terminal.poll(device)).json()["accessToken"]
    accounts = await terminal.ask("assignment/accounts", token)
    assert [entry["accountName"] for entry in accounts.json()["accountList"]] == [
        "Production",
        "product-00",
    ]
    session = await session_of(world, await terminal.role(token, "Deploy", FIRST))
    assert (session.account, session.kind.value) == (FIRST, "AssumeRoleWithSAML")
    assert session.provider_arn == f"arn:aws:iam::{FIRST}:saml-provider/Corp"
    for name, account in (("Deploy", OUTSIDE), ("Look", FIRST), ("Deploy", SECOND)):
        refused = await terminal.role(token, name, account)
        assert refused.headers["x-amzn-errortype"] == "ForbiddenException"


async def test_a_member_ends_what_came_from_it_and_no_more(world: SignInWorld) -> None:
    await map_groups(world, ACCOUNT, FIRST)
    person, terminal = Person(world), await Terminal(world).register(device=True)
    device = await terminal.begin(startUrl=f"{ORIGIN}{START}")
    await person.sign_in(place="corp", **of_groups("engineers"))
    await person.answer_device(device["userCode"])
    token = (await terminal.poll(device)).json()["accessToken"]
    assert (await terminal.role(token, "Deploy", FIRST)).status_code == 200
    world.clock.move(1)
    async with world.services.stores.directory.change(FIRST) as change:
        await revoke_issued_before(
            change,
            account=FIRST,
            target=f"arn:aws:iam::{FIRST}:saml-provider/Corp",
            now=world.clock.now(),
        )
    world.clock.move(2)
    refused = await terminal.role(token, "Deploy", FIRST)
    assert refused.headers["x-amzn-errortype"] == "UnauthorizedException"
    assert (await terminal.role(token, "Reader", ACCOUNT)).status_code == 200


async def test_an_account_outside_is_not_reached_though_its_provider_agrees(
    world: SignInWorld,
) -> None:
    deploy = f"{role_arn('Deploy', OUTSIDE)},arn:aws:iam::{OUTSIDE}:saml-provider/Corp"
    person = Person(world)
    await person.sign_in(pair("Reader"), deploy, place="corp")
    assert listed(await person.browser.get(START)) == [role_arn("Reader")]
    alone = Person(world)
    data = {"SAMLResponse": world.response(deploy), "RelayState": START}
    posted = await alone.browser.post("/saml", data=data)
    refused = await alone.browser.get(posted.headers["location"])
    assert refused.status_code == 403
    assert "no role in this organization" in refused.text
    record = await world.recorded("sso:Authenticate")
    assert (record.account, record.error_code) == (OUTSIDE, "AccessDenied")
    assert record.resources == (f"arn:aws:iam::{OUTSIDE}:saml-provider/Corp",)
    assert record.parameters["UserName"] == "alice@example.com"
    # To its own account the same assertion is still good.
    data["RelayState"] = f"/portal/{OUTSIDE}"
    posted = await alone.browser.post("/saml", data=data)
    assert (await alone.browser.get(posted.headers["location"])).status_code == 303


async def test_the_portal_that_was_asked_for_is_the_one_that_is_picked(
    world: SignInWorld,
) -> None:
    """A sign-in at the provider's own page does not know it; the browser does."""
    person = Person(world)
    await person.browser.get(START)
    roles = (pair("Reader"), pair("Admin"))
    form = {"SAMLResponse": world.response(*roles), "pick": "portal"}
    posted = await person.browser.post("/saml", data=form)
    arrived = await person.browser.get(posted.headers["location"])
    assert arrived.headers["location"] == START
    # Once only: later the account's own portal is meant.
    form = {"SAMLResponse": world.response(*roles), "pick": "portal"}
    posted = await person.browser.post("/saml", data=form)
    arrived = await person.browser.get(posted.headers["location"])
    assert arrived.headers["location"] == f"/portal/{ACCOUNT}"


async def test_an_assertion_is_good_for_one_portal_once(world: SignInWorld) -> None:
    """Whatever the places are: the sign-in is of the provider that was used."""
    deploy = f"{role_arn('Deploy', FIRST)},arn:aws:iam::{FIRST}:saml-provider/Corp"
    response = world.response(pair("Reader"), deploy)
    places = (f"/portal/{ACCOUNT}", START, f"/portal/{FIRST}")
    statuses = []
    for place in places:
        browser = world.browser()
        data = {"SAMLResponse": response, "RelayState": place}
        posted = await browser.post("/saml", data=data)
        statuses.append((await browser.get(posted.headers["location"])).status_code)
    assert statuses == [303, 400, 400]


async def test_a_sign_in_holds_only_so_many_roles(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "_ROLES_MAX", 2)
    deploy = f"{role_arn('Deploy', FIRST)},arn:aws:iam::{FIRST}:saml-provider/Corp"
    for roles, held in (
        ([pair("Reader"), deploy], [role_arn("Deploy", FIRST), role_arn("Reader")]),
        (
            [pair("Reader"), pair("Admin"), deploy],
            [role_arn("Admin"), role_arn("Reader")],
        ),
    ):
        person = Person(world)
        await person.sign_in(*roles, place="corp")
        assert listed(await person.browser.get(START)) == held


async def test_a_members_trust_policy_decides_as_ever(world: SignInWorld) -> None:
    await map_groups(world, ACCOUNT, FIRST)
    person = Person(world)
    await person.sign_in(place="corp", **of_groups("engineers"))
    async with world.services.stores.directory.change(FIRST) as change:
        role = await change.named(ROLE, FIRST, "Deploy")
        assert role is not None
        denied = role.trust_policy.replace('"Allow"', '"Deny"')
        await change.update(ROLE, replace(role, trust_policy=denied))
    assert listed(await person.browser.get(START)) == [role_arn("Reader")]
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(
            SAML_PROVIDER,
            replace(provider, metadata=provider.metadata.replace("idp", "idq")),
        )
    again = Person(world)
    data = {"SAMLResponse": world.response(), "RelayState": START}
    assert (await again.browser.post("/saml", data=data)).status_code == 400


async def test_one_members_keys_open_no_other_members_roles(world: SignInWorld) -> None:
    """The other provider claims the same entity id, with keys of its own."""
    await map_groups(world, ACCOUNT, FIRST, OTHER)
    person = Person(world)
    await person.sign_in(
        place="corp", signing_key=key_pair("other"), **of_groups("engineers")
    )
    assert listed(await person.browser.get(START)) == [role_arn("Reader", OTHER)]


async def sent_response(
    world: SignInWorld, request: Any, **knobs: Any
) -> dict[str, str]:
    """An answer to a request that the first member's provider was asked with."""
    asked, recipient = request.get("ID"), knobs.pop("recipient", ACS)
    response = world.response(
        recipient=recipient,
        in_response_to=asked,
        response={"destination": recipient, "in_response_to": asked},
        **knobs,
    )
    return {"SAMLResponse": response}


async def test_a_sign_in_that_begins_here_reaches_all_members(
    world: SignInWorld,
) -> None:
    """The answer is addressed to the one that was asked; the others see it as well."""
    await map_groups(world, ACCOUNT, FIRST, OTHER, SignIn=True)
    person = Person(world)
    page = await person.browser.get("/signin/corp")
    assert "Example Corp" in text_of(page)
    links = html.fromstring(page.text).xpath("//a[@class='way']/@href")
    # One identity provider, one link; then the accounts with passwords.
    assert [link.partition("?")[0] for link in links] == [
        f"/signin/{ACCOUNT}/with/{UUID}",
        f"/signin/{SECOND}",
        f"/signin/{OTHER}",
    ]
    request = await begin(person.browser, links[0])
    data = await sent_response(world, request, **of_groups("engineers"))
    posted = await person.browser.post(f"/saml/acs/{UUID}", data=data)
    assert posted.status_code == 303, posted.text
    arrived = await person.browser.get(posted.headers["location"])
    assert arrived.headers["location"] == START
    assert listed(await person.browser.get(START)) == [
        role_arn("Deploy", FIRST),
        role_arn("Reader"),
    ]


@pytest.mark.parametrize("place", [START, f"/portal/{ACCOUNT}"])
async def test_an_answer_in_another_browser_opens_no_portal(
    world: SignInWorld, place: str
) -> None:
    """Somebody would work as the sender of the answer without knowing it."""
    await map_groups(world, ACCOUNT, SignIn=True)
    sender, victim = Person(world), Person(world)
    url = f"/signin/{ACCOUNT}/with/{UUID}?Destination={place}"
    request = await begin(sender.browser, url)
    data = await sent_response(world, request, **of_groups("engineers"))
    posted = await victim.browser.post(f"/saml/acs/{UUID}", data=data)
    assert posted.status_code == 303, posted.text
    refused = await victim.browser.get(posted.headers["location"])
    assert refused.status_code == 400
    assert "broker-portal" not in victim.browser.cookies


async def test_only_the_provider_that_was_asked_may_answer(world: SignInWorld) -> None:
    await map_groups(world, ACCOUNT, FIRST, OTHER, SignIn=True)
    person = Person(world)
    request = await begin(
        person.browser, f"/signin/{ACCOUNT}/with/{UUID}?Destination={START}"
    )
    data = await sent_response(
        world, request, signing_key=key_pair("other"), **of_groups("engineers")
    )
    assert (
        await person.browser.post(f"/saml/acs/{UUID}", data=data)
    ).status_code == 400
    sent_to_all = f"{ORIGIN}/saml"
    data = await sent_response(
        world,
        request,
        recipient=sent_to_all,
        signing_key=key_pair("other"),
        **of_groups("engineers"),
    )
    assert (await person.browser.post("/saml", data=data)).status_code == 400
    # Elsewhere than in an organisation, another's address is none of a provider's.
    unasked = world.response(
        recipient=ACS, response={"destination": ACS}, **of_groups("engineers")
    )
    posted = await person.browser.post(
        f"/saml/acs/SAMLSP{FIRST}0000", data={"SAMLResponse": unasked}
    )
    assert posted.status_code == 400


async def test_an_account_and_an_organisation_are_signed_in_to_each_by_itself(
    world: SignInWorld,
) -> None:
    person = Person(world)
    await person.sign_in()
    assert (
        (await person.browser.get(START)).headers["location"].startswith("/signin/corp")
    )
    await person.sign_in(place="corp")
    assert (await person.browser.get(f"/portal/{ACCOUNT}")).status_code == 303
    handle = person.browser.cookies["broker-portal"]
    before = world.browser(cookies={"broker-portal": handle})
    assert (await before.get(START)).status_code == 200
    await person.sign_in(place="corp", aws={"session_name": "bob@example.com"})
    # It was somebody else's: that one has ended.
    assert (await before.get(START)).status_code == 303
    assert "bob@example.com" in (await person.browser.get(START)).text


async def test_another_persons_sign_in_elsewhere_ends_the_session_before(
    world: SignInWorld,
) -> None:
    deploy = f"{role_arn('Deploy', FIRST)},arn:aws:iam::{FIRST}:saml-provider/Corp"
    person = Person(world)
    await person.sign_in(place="corp")
    assert (await person.browser.get(f"/portal/{ACCOUNT}")).status_code == 303
    handle = person.browser.cookies["broker-portal"]
    before = world.browser(cookies={"broker-portal": handle})
    await person.sign_in(deploy, place="corp", aws={"session_name": "bob"})
    assert listed(await person.browser.get(START)) == [role_arn("Deploy", FIRST)]
    assert (await before.get(START)).status_code == 303


async def test_users_of_members_with_passwords_sign_in(world: SignInWorld) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    user = await create_user(world, policy=policy)
    trusting = [(ACCOUNT, "Reader"), (FIRST, "Deploy"), (OUTSIDE, "Deploy")]
    for account, name in trusting:
        async with world.services.stores.directory.change(account) as change:
            role = await change.named(ROLE, account, name)
            assert role is not None
            trust = {**statement, "Principal": {"AWS": user.arn}}
            del trust["Resource"]
            document = {"Version": "2012-10-17", "Statement": trust}
            await change.update(ROLE, replace(role, trust_policy=json.dumps(document)))
    named = [role_arn(name, account) for account, name in trusting]
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": {**statement, "Resource": named}}
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT, owner_id=user.user_id, name="Named", document=policy
            ),
        )
    person = Person(world)
    await send_password(person.browser, Destination=START)
    # The account's users do not sign in there.
    assert (await person.browser.get(START)).status_code == 303
    everyone = world.services.organisations.find("corp")
    assert everyone is not None
    member = replace(everyone.members[ACCOUNT], has_passwords=True)
    set_organisation(
        world, replace(everyone, members={**everyone.members, ACCOUNT: member})
    )
    page = await person.browser.get(START)
    assert listed(page) == [role_arn("Deploy", FIRST), role_arn("Reader")]
    data = form_fields(page, f"{START}/sign-out")
    for arn, status in zip(named, (200, 200, 403), strict=True):
        answer = await person.browser.post(
            f"{START}/credentials", data=data | {"role": arn}, headers=SAME
        )
        assert answer.status_code == status, arn
    # Without a restart nothing changes; after it, the sign-in reaches nothing.
    set_organisation(world, everyone)
    assert listed(await person.browser.get(START)) == []


def set_organisation(world: SignInWorld, organisation: Any) -> None:
    """As a restart with another file does, while sign-ins go on."""
    by_name = world.services.organisations.by_name
    assert isinstance(by_name, dict)
    by_name[organisation.name] = organisation


async def test_a_changed_file_counts_for_sign_ins_that_go_on(
    world: SignInWorld,
) -> None:
    await map_groups(world, ACCOUNT, FIRST)
    person = Person(world)
    await person.sign_in(place="corp", **of_groups("engineers"))
    page = await person.browser.get(START)
    assert listed(page) == [role_arn("Deploy", FIRST), role_arn("Reader")]
    data = form_fields(page, f"{START}/sign-out")
    corp = world.services.organisations.find("corp")
    assert corp is not None
    for changed in (
        {key: account for key, account in corp.members.items() if key != FIRST},
        {**corp.members, FIRST: replace(corp.members[FIRST], providers=())},
    ):
        set_organisation(world, replace(corp, members=changed))
        assert listed(await person.browser.get(START)) == [role_arn("Reader")]
        refused = await person.browser.post(
            f"{START}/credentials",
            data=data | {"role": role_arn("Deploy", FIRST)},
            headers=SAME,
        )
        assert refused.status_code == 403
    by_name = world.services.organisations.by_name
    assert isinstance(by_name, dict)
    by_name.clear()
    assert (await person.browser.get(START)).status_code == 303


async def test_an_organisation_comes_before_an_account_of_its_name(
    world: SignInWorld,
) -> None:
    """An account's administrators choose its alias."""
    directory = world.services.stores.directory
    async with directory.change(OTHER) as change:
        account = await change.find(kinds.ACCOUNT, OTHER)
        assert account is not None
        await update_account(change, replace(account, alias="corp"))
    page = await world.browser().get("/signin/corp")
    assert "Example Corp" in text_of(page)


def test_without_a_file_there_is_none() -> None:
    assert Organisations().find("corp") is None
    assert parse_organisations(FILE).find("corp") is not None


@pytest.mark.parametrize(
    "broken",
    [
        {"options": {"SignIn": "perhaps"}},
        {"options": {"SignIn": True}, "metadata": "<EntityDescriptor/>"},
    ],
    ids=["options", "metadata"],
)
async def test_an_unreadable_provider_does_not_stop_others(
    world: SignInWorld, broken: dict[str, Any]
) -> None:
    """A newer version's options, say, or keys that were taken with ``LegacyRsa``."""
    await map_groups(world, ACCOUNT, FIRST, SignIn=True)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(SAML_PROVIDER, replace(provider, **broken))
    page = await world.browser().get("/signin/corp")
    assert page.status_code == 200
    links = html.fromstring(page.text).xpath("//a/@href")
    assert [link for link in links if f"/signin/{FIRST}/with/" in link]
    own = await world.browser().get(f"/signin/{ACCOUNT}")
    assert own.status_code == 200
    person = Person(world)
    await person.sign_in(place="corp", **of_groups("engineers"))
    assert listed(await person.browser.get(START)) == [role_arn("Deploy", FIRST)]
    refused = await world.browser().post(
        "/saml", data={"SAMLResponse": world.response()}
    )
    assert refused.status_code == 400
