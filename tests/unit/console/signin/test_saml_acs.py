"""From a posted response to a console session."""

from datetime import timedelta
from typing import Any

import pytest
from lxml import html
from msgspec.structs import replace

from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.saml_idp import key_pair, metadata_xml, saml_time
from tests.support.signin import (
    ACCOUNT,
    APPS,
    COOKIE,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    pair,
    provider_arn,
    role_arn,
    text_of,
)

INVALID = "Your request included an invalid SAML response. To logout, click here."


async def ends(world: SignInWorld) -> int:
    """When the one console session there is will end, in seconds from now."""
    (record,) = [r.session for r in await world.audit() if r.session]
    assert record is not None
    return round(record["expires_at"] - world.clock.now().timestamp())


async def test_one_role_goes_straight_on(world: SignInWorld) -> None:
    browser = world.browser()
    posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
    assert posted.status_code == 303
    assert posted.headers["location"].startswith("/signin/continue?handle=")
    assert COOKIE not in posted.cookies
    entered = await browser.get(posted.headers["location"])
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
    home = await browser.get("/console/")
    assert home.status_code == 200
    text = text_of(home)
    assert "alice@example.com" in text
    assert "Reader @ example" in text


async def test_the_mint_is_the_saml_doors_own_and_audited(world: SignInWorld) -> None:
    await world.sign_in(world.browser())
    minted, listed = await world.audit()
    assert (listed.action, listed.door) == ("signin:ListRolesWithSAML", "saml")
    assert listed.resources == (role_arn("Reader"),)
    assert (minted.action, minted.door) == ("sts:AssumeRoleWithSAML", "saml")
    assert minted.session["principal_arn"] == (
        f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/alice@example.com"
    )


async def test_several_roles_show_a_page_that_command_line_tools_can_read(
    world: SignInWorld,
) -> None:
    """saml2aws's own parsing: ``aws_account.go``, ``ExtractAWSAccounts``."""
    response = world.response(pair("Reader"), pair("Admin"))
    page = await world.browser().post("/saml", data={"SAMLResponse": response})
    assert page.status_code == 200
    results = [
        (
            block.xpath(".//div[@class='saml-account-name']")[0].text_content(),
            [
                (label.text_content(), label.get("for"))
                for label in block.xpath(".//label")
            ],
        )
        for block in html.fromstring(page.text).xpath(
            "//fieldset/div[@class='saml-account']"
        )
    ]
    assert results == [
        (
            f"Account: example ({ACCOUNT})",
            [("Admin", role_arn("Admin")), ("Reader", role_arn("Reader"))],
        )
    ]


async def test_the_role_page_has_the_documented_selectors(world: SignInWorld) -> None:
    response = world.response(pair("Reader"), pair("Admin"))
    page = await world.browser().post(
        "/saml", data={"SAMLResponse": response, "RelayState": "x"}
    )
    (form,) = html.fromstring(page.text).xpath("//form[@id='saml_form']")
    assert (form.get("name"), form.get("action"), form.get("method")) == (
        "saml_form",
        "/saml",
        "post",
    )
    assert form_fields(page, "/saml") == {
        "RelayState": "x",
        "SAMLResponse": response,
        "name": "",
    }
    radios = form.xpath(".//div[@class='saml-role']/input[@class='saml-radio']")
    assert {(r.get("type"), r.get("name")) for r in radios} == {("radio", "roleIndex")}
    assert all(r.get("id") == r.get("value") for r in radios)
    assert form.xpath(".//label[@class='saml-role-description']")
    (first, _) = form.xpath(".//div[@class='saml-role']/button[@type='submit']")
    assert (first.get("name"), first.get("value")) == ("pick", radios[0].get("value"))


async def test_the_role_used_last_is_first_and_chosen(world: SignInWorld) -> None:
    """By who signs in: the response's post brings no cookie."""
    roles = [pair("Reader"), pair("Admin"), pair("Brief")]
    browser = world.browser()
    for role in ("Brief", "Reader"):
        fields = {"SAMLResponse": world.response(*roles), "roleIndex": role_arn(role)}
        await browser.post("/saml", data=fields)

    async def listed(**knobs: Any) -> tuple[list[str], list[str]]:
        page = await world.browser().post(
            "/saml", data={"SAMLResponse": world.response(*roles, **knobs)}
        )
        form = html.fromstring(page.text).xpath("//form[@id='saml_form']")[0]
        return form.xpath(".//label/text()"), form.xpath(".//input[@checked]/@id")

    assert await listed() == (["Reader", "Brief", "Admin"], [role_arn("Reader")])
    other = await listed(aws={"session_name": "bob@example.com"})
    assert other == (["Admin", "Brief", "Reader"], [])


async def test_a_role_that_is_not_offered_any_more_is_not_on_the_page(
    world: SignInWorld,
) -> None:
    await world.browser().post(
        "/saml",
        data={
            "SAMLResponse": world.response(pair("Reader"), pair("Brief")),
            "roleIndex": role_arn("Brief"),
        },
    )
    response = world.response(pair("Reader"), pair("Admin"))
    page = await world.browser().post("/saml", data={"SAMLResponse": response})
    form = html.fromstring(page.text).xpath("//form[@id='saml_form']")[0]
    assert form.xpath(".//label/text()") == ["Admin", "Reader"]
    assert form.xpath(".//input[@checked]") == []


async def test_two_hundred_roles_are_a_small_page(world: SignInWorld) -> None:
    roles = [pair(f"Team-{n:03d}-Operator") for n in range(200)]
    page = await world.browser().post(
        "/saml",
        data={"SAMLResponse": world.response(*roles)},
        headers={"accept-encoding": "gzip"},
    )
    assert page.text.count('class="saml-role"') == 200
    assert int(page.headers["content-length"]) < 60_000
    plain = await world.browser().post(
        "/saml",
        data={"SAMLResponse": world.response(*roles)},
        headers={"accept-encoding": "identity"},
    )
    assert "content-encoding" not in plain.headers
    assert plain.text.count('class="saml-role"') == 200


async def test_an_account_without_an_alias_shows_its_number(world: SignInWorld) -> None:
    roles = [pair("Reader", OTHER), pair("Admin", OTHER)]
    response = world.response(*roles, signing_key=key_pair("other"))
    page = await world.browser().post("/saml", data={"SAMLResponse": response})
    names = html.fromstring(page.text).xpath("//div[@class='saml-account-name']/text()")
    assert names == [f"Account: {OTHER}"]


async def test_the_role_page_posts_the_assertion_again_and_enters(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    response = world.response(pair("Reader"), pair("Admin"))
    page = await browser.post("/saml", data={"SAMLResponse": response})
    fields = form_fields(page, "/saml") | {"roleIndex": role_arn("Admin")}
    posted = await browser.post("/saml", data=fields)
    entered = await browser.get(posted.headers["location"])
    assert entered.status_code == 303
    assert "Admin @ example" in text_of(await browser.get("/console/"))


async def test_a_role_that_is_not_listed_cannot_be_chosen(world: SignInWorld) -> None:
    response = world.response(pair("Reader"), pair("Admin"))
    answer = await world.browser().post(
        "/saml", data={"SAMLResponse": response, "roleIndex": role_arn("Brief")}
    )
    assert answer.status_code == 403


async def test_listing_spends_nothing_and_entering_spends_once(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    response = world.response()
    locations = [
        (await browser.post("/saml", data={"SAMLResponse": response})).headers[
            "location"
        ]
        for _ in range(2)
    ]
    assert (await browser.get(locations[0])).status_code == 303
    again = await browser.get(locations[1])
    assert again.status_code == 400
    assert "has been used before" in again.text
    assert "set-cookie" not in again.headers


async def enter(world: SignInWorld, response: str, place: str) -> int:
    """Use a response up at one of the doors; the answer's status."""
    browser = world.browser()
    account = OTHER if place == "another account" else ACCOUNT
    if place in {"console", "portal"}:
        relay = f"/portal/{ACCOUNT}" if place == "portal" else ""
        form = {
            "SAMLResponse": response,
            "RelayState": relay,
            "roleIndex": role_arn("Reader"),
        }
        posted = await browser.post("/saml", data=form)
        return (await browser.get(posted.headers["location"])).status_code
    asked = {
        "Action": "AssumeRoleWithSAML",
        "Version": "2011-06-15",
        "RoleArn": role_arn("Admin" if place == "another role" else "Reader", account),
        "PrincipalArn": provider_arn(account),
        "SAMLAssertion": response,
    }
    return (await browser.post("/", data=asked)).status_code


PLACES = ("console", "portal", "API", "another role", "another account")


@pytest.mark.parametrize("first", PLACES)
async def test_a_response_is_spent_once_altogether(
    world: SignInWorld, first: str
) -> None:
    """At every door, for every role, also by accounts that trust the same provider."""
    async with world.services.stores.directory.change(OTHER) as change:
        provider = await change.named(SAML_PROVIDER, OTHER, "Corp")
        assert provider is not None
        same = replace(provider, metadata=metadata_xml(key_pair()))
        await change.update(SAML_PROVIDER, same)
    roles = (pair("Reader"), pair("Admin"), pair("Reader", OTHER))
    for place in PLACES:
        response = world.response(*roles)
        # Listing, as the first post does, uses nothing up.
        fields = {"SAMLResponse": response}
        assert (await world.browser().post("/saml", data=fields)).status_code == 200
        outcomes = [await enter(world, response, each) for each in (first, place)]
        assert (outcomes[0] < 400, outcomes[1]) == (True, 400), place


async def test_who_has_other_keys_spends_nothing_of_a_provider(
    world: SignInWorld,
) -> None:
    """Another account may call its provider the same, and its assertions."""
    name = "_the-same"
    forged = world.response(
        pair("Reader", OTHER), signing_key=key_pair("other"), assertion_id=name
    )
    assert await enter(world, forged, "another account") == 200
    genuine = world.response(pair("Reader"), assertion_id=name)
    assert await enter(world, genuine, "API") == 200


@pytest.mark.parametrize("per_door", [False, True])
async def test_an_assertion_is_good_once_or_once_at_each_door(
    world: SignInWorld, per_door: bool
) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        options = {"MintPerDoor": True} if per_door else {}
        await change.update(SAML_PROVIDER, replace(provider, options=options))
    response = world.response()

    async def at_the_page() -> int:
        browser = world.browser()
        posted = await browser.post("/saml", data={"SAMLResponse": response})
        return (await browser.get(posted.headers["location"])).status_code

    async def at_the_api() -> int:
        asked = {
            "Action": "AssumeRoleWithSAML",
            "Version": "2011-06-15",
            "RoleArn": role_arn("Reader"),
            "PrincipalArn": provider_arn(),
            "SAMLAssertion": response,
        }
        return (await world.browser().post("/", data=asked)).status_code

    assert (await at_the_page(), await at_the_page()) == (303, 400)
    expected = (200, 400) if per_door else (400, 400)
    assert (await at_the_api(), await at_the_api()) == expected
    assert await at_the_page() == 400


async def test_an_operator_may_let_an_assertion_be_exchanged_twice(
    world: SignInWorld,
) -> None:
    """By programs that try first; within a minute of its issue."""
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(
            SAML_PROVIDER, replace(provider, options={"ExchangeTwice": True})
        )

    async def exchange(response: str, role: str) -> int:
        asked = {
            "Action": "AssumeRoleWithSAML",
            "Version": "2011-06-15",
            "RoleArn": role_arn(role),
            "PrincipalArn": provider_arn(),
            "SAMLAssertion": response,
        }
        return (await world.browser().post("/", data=asked)).status_code

    response = world.response(pair("Reader"), pair("Admin"))
    roles = ("Reader", "Admin", "Reader")
    assert [await exchange(response, role) for role in roles] == [200, 200, 400]
    late = world.response()
    assert await exchange(late, "Reader") == 200
    world.clock.move(121)  # a minute, and the leeway for clocks
    assert await exchange(late, "Reader") == 400


async def test_who_has_no_role_is_on_record_where_the_provider_is(
    world: SignInWorld,
) -> None:
    path = f"/saml/acs/SAMLSP{ACCOUNT}AAAA"
    acs = f"{ORIGIN}{path}"
    sent = world.response(
        pair("Reader", OTHER), recipient=acs, response={"destination": acs}
    )
    page = await world.browser().post(path, data={"SAMLResponse": sent})
    assert page.status_code == 400
    record = await world.recorded("signin:ListRolesWithSAML")
    assert (record.account, record.error_code) == (ACCOUNT, "InvalidIdentityToken")
    assert record.resources == (provider_arn(),)
    assert record.parameters["UserName"] == "alice@example.com"


async def test_a_handle_works_once(world: SignInWorld) -> None:
    browser = world.browser()
    posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
    assert (await browser.get(posted.headers["location"])).status_code == 303
    again = await browser.get(posted.headers["location"])
    assert again.status_code == 400
    assert "already been used" in again.text


async def test_a_handle_works_for_a_minute(world: SignInWorld) -> None:
    browser = world.browser()
    posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
    world.clock.move(61)
    assert (await browser.get(posted.headers["location"])).status_code == 400


async def test_the_session_lasts_as_the_assertion_asks(world: SignInWorld) -> None:
    await world.sign_in(world.browser(), aws={"duration": "5400"})
    assert await ends(world) == pytest.approx(5400, abs=3)


async def test_the_session_lasts_an_hour_unless_asked(world: SignInWorld) -> None:
    await world.sign_in(world.browser())
    assert await ends(world) == pytest.approx(3600, abs=3)


async def test_the_roles_maximum_caps_the_console(world: SignInWorld) -> None:
    await world.sign_in(world.browser(), aws={"duration": "43200"})
    assert await ends(world) == pytest.approx(7200, abs=3)


async def test_the_identity_providers_session_end_caps_the_console(
    world: SignInWorld,
) -> None:
    end = saml_time(world.clock.now() + timedelta(minutes=30))
    await world.sign_in(
        world.browser(), session_not_on_or_after=end, aws={"duration": "5400"}
    )
    assert await ends(world) == pytest.approx(1800, abs=3)


@pytest.mark.parametrize(
    ("relay", "lands"),
    [
        ("/console/?a=1", "/console/?a=1"),
        (f"{APPS}/start", f"{APPS}/start"),
        ("", "/console/"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/", "/console/"),
        ("some opaque state", "/console/"),
        ("x" * 100_000, "/console/"),
    ],
)
async def test_relay_state_leads_to_safe_places_only(
    world: SignInWorld, relay: str, lands: str
) -> None:
    browser = world.browser()
    posted = await browser.post(
        "/saml", data={"SAMLResponse": world.response(), "RelayState": relay}
    )
    entered = await browser.get(posted.headers["location"])
    assert entered.headers["location"] == lands


async def test_a_providers_own_address_needs_no_nomination(world: SignInWorld) -> None:
    browser = world.browser()
    path = f"/saml/acs/SAMLSP{ACCOUNT}AAAA"
    response = world.response(
        pair("Reader"),
        pair("Admin"),
        recipient=ORIGIN + path,
        response={"destination": ORIGIN + path},
    )
    page = await browser.post(path, data={"SAMLResponse": response})
    fields = form_fields(page, path) | {"roleIndex": role_arn("Reader")}
    posted = await browser.post(path, data=fields)
    assert (await browser.get(posted.headers["location"])).status_code == 303


async def test_another_providers_address_takes_nothing(world: SignInWorld) -> None:
    for uuid in (f"SAMLSP{OTHER}AAAA", "SAMLSPUNKNOWN"):
        answer = await world.browser().post(
            f"/saml/acs/{uuid}", data={"SAMLResponse": world.response()}
        )
        assert answer.status_code == 400


async def test_only_pairs_whose_own_provider_verified_them_are_shown(
    world: SignInWorld,
) -> None:
    """Both accounts know the same entity id; only one knows the key."""
    response = world.response(
        pair("Reader"),
        pair("Admin"),
        pair("Admin", OTHER),
        f"{role_arn('Brief')},{provider_arn(OTHER)}",
        f"{role_arn('Brief', OTHER)},{provider_arn()}",
    )
    page = await world.browser().post("/saml", data={"SAMLResponse": response})
    view = html.fromstring(page.text).xpath("//label/@for")
    assert view == [role_arn("Admin"), role_arn("Reader")]


async def test_a_role_of_an_account_that_did_not_verify_cannot_be_chosen(
    world: SignInWorld,
) -> None:
    response = world.response(pair("Reader"), pair("Admin", OTHER))
    answer = await world.browser().post(
        "/saml", data={"SAMLResponse": response, "roleIndex": role_arn("Admin", OTHER)}
    )
    assert answer.status_code == 403


async def test_two_accounts_that_trust_one_provider_are_both_shown(
    world: SignInWorld,
) -> None:
    services = world.services
    provider = await services.stores.directory.named(SAML_PROVIDER, OTHER, "Corp")
    assert provider is not None
    async with services.stores.directory.change(OTHER) as change:
        await change.update(SAML_PROVIDER, replace(provider, metadata=metadata_xml()))
    browser = world.browser()
    response = world.response(pair("Reader"), pair("Reader", OTHER))
    page = await browser.post("/saml", data={"SAMLResponse": response})
    names = html.fromstring(page.text).xpath("//div[@class='saml-account-name']/text()")
    assert names == [f"Account: example ({ACCOUNT})", f"Account: {OTHER}"]


@pytest.mark.parametrize("text", ["", "!!!", "PHg+", "A" * 100_001])
async def test_a_malformed_response_is_refused(world: SignInWorld, text: str) -> None:
    answer = await world.browser().post("/saml", data={"SAMLResponse": text})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")


async def test_an_unsigned_response_shows_the_documented_text(
    world: SignInWorld,
) -> None:
    answer = await world.browser().post(
        "/saml", data={"SAMLResponse": world.response(sign="none")}
    )
    assert answer.status_code == 400
    assert INVALID in text_of(answer)
    page = html.fromstring(answer.text)
    (lead,) = page.xpath("//p[@class='lead']")
    # AWS's words are for the operator, who opens that part of the page.
    assert "Response (with optional signature)" not in lead.text_content()
    assert "give the request ID to its administrator" in lead.text_content()
    (link,) = page.xpath("//details//a[text()='click here']/@href")
    assert link == "/federation?Action=logout"
    request_id = answer.text.partition("Request ID: ")[2].partition(")")[0]
    assert (
        "Error: Response (with optional signature) must contain an assertion with a"
        " mandatory signature (Service: AWSSecurityTokenService; Status Code: 400;"
        f" Error Code: InvalidIdentityToken; Request ID: {request_id})"
    ) in text_of(answer)
    record = await world.recorded("signin:ListRolesWithSAML")
    assert record.event_id == request_id
    assert record.error_code == "InvalidIdentityToken"


async def test_an_expired_response_says_to_start_again(world: SignInWorld) -> None:
    response = world.response()
    world.clock.move(600)
    answer = await world.browser().post("/saml", data={"SAMLResponse": response})
    assert answer.status_code == 400
    assert "Response has expired" in answer.text
    assert "start again" in answer.text


async def test_a_response_that_expires_on_the_role_page_is_refused(
    world: SignInWorld,
) -> None:
    """The second post is verified again in full."""
    browser = world.browser()
    response = world.response(pair("Reader"), pair("Admin"))
    page = await browser.post("/saml", data={"SAMLResponse": response})
    world.clock.move(600)
    fields = form_fields(page, "/saml") | {"roleIndex": role_arn("Admin")}
    answer = await browser.post("/saml", data=fields)
    assert answer.status_code == 400
    assert "Response has expired" in answer.text


async def test_an_untrusted_or_missing_role_ends_on_a_page(world: SignInWorld) -> None:
    entered = await world.sign_in(world.browser(), pair("Nobody"))
    assert entered.status_code == 403
    assert "Not authorized to perform sts:AssumeRoleWithSAML" in entered.text
    assert COOKIE not in entered.headers.get("set-cookie", "")


async def test_reloading_the_address_alone_leads_to_sign_in(world: SignInWorld) -> None:
    answer = await world.browser().get(
        "/saml", params={"SAMLResponse": world.response()}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
