"""Sign-in that begins here: a signed request, answered once, in the same browser."""

import base64
import zlib
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree, html
from msgspec.structs import replace

from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.saml_idp import aws_attributes
from tests.support.signin import ACCOUNT, ORIGIN, SignInWorld, pair, role_arn, text_of

UUID = f"SAMLSP{ACCOUNT}AAAA"
START = f"/signin/{ACCOUNT}/with/{UUID}"
ACS = f"{ORIGIN}/saml/acs/{UUID}"
NS = {
    "md": "urn:oasis:names:tc:SAML:2.0:metadata",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}


@pytest.fixture(autouse=True)
async def _offered(world: SignInWorld) -> None:
    await set_options(world, SignIn=True)


async def set_options(world: SignInWorld, **options: object) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(SAML_PROVIDER, replace(provider, options=options))


async def begin(browser: httpx.AsyncClient, url: str = START) -> etree._Element:
    """The AuthnRequest that the browser carries away."""
    sent = await browser.get(url)
    assert sent.status_code == 303, sent.text
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    packed = base64.b64decode(query["SAMLRequest"][0])
    return etree.fromstring(zlib.decompress(packed, -15))


def answer(world: SignInWorld, request_id: str | None, *roles: str) -> str:
    return world.response(
        *roles,
        recipient=ACS,
        in_response_to=request_id,
        response={"destination": ACS, "in_response_to": request_id},
    )


async def post(browser: httpx.AsyncClient, response: str) -> httpx.Response:
    return await browser.post(f"/saml/acs/{UUID}", data={"SAMLResponse": response})


async def test_the_sign_in_page_calls_a_provider_by_its_display_name(
    world: SignInWorld,
) -> None:
    await set_options(world, SignIn=True)
    page = await world.browser().get(f"/signin/{ACCOUNT}")
    assert "With your organization Corp" in text_of(page)
    await set_options(world, SignIn=True, DisplayName="Staff & partners")
    page = await world.browser().get(f"/signin/{ACCOUNT}")
    assert "With your organization Staff & partners" in text_of(page)


async def test_the_request_is_signed_with_the_key_that_the_metadata_publishes(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    sent = await browser.get(START)
    location = sent.headers["location"]
    assert location.startswith("https://idp.example.com/sso?SAMLRequest=")
    signed, _, signature = urlsplit(location).query.rpartition("&Signature=")
    metadata = etree.fromstring(
        (await browser.get(f"/static/saml/{UUID}/saml-metadata.xml")).content
    )
    text = metadata.findtext(
        ".//md:KeyDescriptor[@use='signing']//ds:X509Certificate", namespaces=NS
    )
    assert text is not None
    key = x509.load_der_x509_certificate(base64.b64decode(text)).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    value = parse_qs(f"Signature={signature}")["Signature"][0]
    key.verify(
        base64.b64decode(value), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    consumer = metadata.find(".//md:AssertionConsumerService", NS)
    assert consumer is not None
    assert consumer.get("Location") == ACS
    request = await begin(browser)
    assert request.get("AssertionConsumerServiceURL") == ACS
    assert request[0].text == f"{ORIGIN}/saml" == metadata.get("entityID")


async def test_an_answer_opens_the_portal_when_that_is_where_it_began(
    world: SignInWorld,
) -> None:
    browser, other = world.browser(), world.browser()
    request = await begin(browser, f"{START}?Destination=/portal/{ACCOUNT}")
    response = answer(world, request.get("ID"), pair("Reader"), pair("Admin"))
    posted = await post(other, response)
    stolen = await other.get(posted.headers["location"])
    assert stolen.status_code == 400
    posted = await post(browser, response)
    arrived = await browser.get(posted.headers["location"])
    assert arrived.headers["location"] == f"/portal/{ACCOUNT}"
    page = text_of(await browser.get(f"/portal/{ACCOUNT}"))
    assert "alice@example.com" in page
    assert "Admin" in page


async def test_a_person_who_is_new_to_the_provider_may_be_given_a_name(
    world: SignInWorld,
) -> None:
    """Without it Lasso refuses (*Federation not found*), as SAML Core 3.4.1.1 says."""
    request = await begin(world.browser())
    policy = request.find("{urn:oasis:names:tc:SAML:2.0:protocol}NameIDPolicy")
    assert policy is not None
    assert dict(policy.attrib) == {"AllowCreate": "true"}


async def test_the_global_metadata_names_the_global_address(world: SignInWorld) -> None:
    answered = await world.browser().get("/static/saml-metadata.xml")
    assert answered.headers["content-type"].startswith("application/samlmetadata+xml")
    consumer = etree.fromstring(answered.content).find(
        ".//md:AssertionConsumerService", NS
    )
    assert consumer is not None
    assert consumer.get("Location") == f"{ORIGIN}/saml"


async def test_an_answer_to_the_request_signs_in_once(world: SignInWorld) -> None:
    browser = world.browser()
    request = await begin(browser, f"{START}?Destination=/console/?there")
    posted = await post(browser, answer(world, request.get("ID")))
    assert posted.status_code == 303, posted.text
    entered = await browser.get(posted.headers["location"])
    assert entered.headers["location"] == "/console/?there"
    assert "alice@example.com" in text_of(await browser.get("/console/"))
    again = await post(browser, answer(world, request.get("ID")))
    assert again.status_code == 400
    assert "invalid SAML response" in text_of(again)


async def test_an_answer_in_another_browser_does_not_sign_in(
    world: SignInWorld,
) -> None:
    request = await begin(world.browser())
    victim = world.browser()
    posted = await post(victim, answer(world, request.get("ID")))
    entered = await victim.get(posted.headers["location"])
    assert entered.status_code == 400
    assert "not started in this browser" in text_of(entered)
    other = world.browser()
    mine = await begin(other)
    posted = await post(other, answer(world, mine.get("ID")))
    await begin(victim)  # has a cookie by now, of its own
    entered = await victim.get(posted.headers["location"])
    assert entered.status_code == 400


async def test_an_answer_to_nothing_or_too_late_is_refused(world: SignInWorld) -> None:
    browser = world.browser()
    assert (await post(browser, answer(world, "_invented"))).status_code == 400
    request = await begin(browser)
    world.clock.move(601)
    assert (await post(browser, answer(world, request.get("ID")))).status_code == 400


async def test_the_role_page_keeps_the_request_open(world: SignInWorld) -> None:
    browser = world.browser()
    request = await begin(browser)
    response = answer(world, request.get("ID"), pair("Reader"), pair("Admin"))
    assert (await post(browser, response)).status_code == 200
    chosen = await browser.post(
        f"/saml/acs/{UUID}",
        data={
            "SAMLResponse": response,
            "roleIndex": f"arn:aws:iam::{ACCOUNT}:role/Admin",
        },
    )
    entered = await browser.get(chosen.headers["location"])
    assert entered.headers["location"] == "/console/"


async def test_only_offered_providers_are_on_the_page(world: SignInWorld) -> None:
    browser = world.browser()
    assert START in (await browser.get(f"/signin/{ACCOUNT}")).text
    assert START in (await browser.get("/signin/example")).text
    await set_options(world)
    assert START not in (await browser.get(f"/signin/{ACCOUNT}")).text
    assert (await browser.get(START)).status_code == 404


async def test_groups_become_roles_where_the_operator_says_so(
    world: SignInWorld,
) -> None:
    """For a provider that sends neither Role nor RoleSessionName."""
    arn = f"arn:aws:iam::{ACCOUNT}:role/Reader"
    foreign = "arn:aws:iam::444455556666:role/Reader"
    await set_options(world, GroupRoles={"staff": [arn, foreign]})
    response = {"recipient": ACS, "response": {"destination": ACS}}
    for groups, status in (("staff", 303), ("others", 400)):
        text = world.response(**response, attributes={"groups": [groups]})
        assert (await post(world.browser(), text)).status_code == status


async def test_a_mapped_role_that_the_assertion_names_is_for_members_only(
    world: SignInWorld,
) -> None:
    """Whatever sends the Role attribute, such as a role of everybody's."""
    await set_options(world, GroupRoles={"staff": [role_arn("Reader")]})
    response = {"recipient": ACS, "response": {"destination": ACS}}
    for groups, status in (("staff", 303), ("others", 400)):
        named = {**aws_attributes(role=pair("Reader")), "groups": (groups,)}
        text = world.response(**response, attributes=named)
        assert (await post(world.browser(), text)).status_code == status


def way_back(page: httpx.Response) -> list[str]:
    links: list[str] = html.fromstring(page.text).xpath("//a[@id='back_link']/@href")
    return links


async def test_a_refusal_leads_back_to_the_identity_provider(
    world: SignInWorld,
) -> None:
    expired = world.response()
    world.clock.move(600)
    browser = world.browser()
    page = await browser.post("/saml", data={"SAMLResponse": expired})
    assert page.status_code == 400
    assert "This sign-in has expired" in page.text
    assert way_back(page) == [START]
    assert (await browser.get(START)).status_code == 303

    await set_options(world)
    page = await browser.post("/saml", data={"SAMLResponse": expired})
    assert way_back(page) == [f"/signin/{ACCOUNT}"]


async def test_no_role_is_explained_and_leads_back(world: SignInWorld) -> None:
    role = pair("Reader").replace(str(ACCOUNT), "444455556666", 1)
    page = await post(world.browser(), answer(world, None, role))
    assert page.status_code == 400
    assert "You have no role here" in text_of(page)
    assert "Your request included an invalid SAML response." in text_of(page)
    assert way_back(page) == [START]


async def test_a_used_response_leads_back(world: SignInWorld) -> None:
    response = world.response()
    for expected in (303, 400):
        browser = world.browser()
        posted = await browser.post("/saml", data={"SAMLResponse": response})
        page = await browser.get(posted.headers["location"])
        assert page.status_code == expected
    assert way_back(page) == [START]


async def test_the_end_of_the_session_leads_back(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    world.clock.move(3601)
    page = await browser.get("/console/")
    assert page.status_code == 403
    (link,) = html.fromstring(page.text).xpath("//a[@id='issuer_link']/@href")
    assert link == START
