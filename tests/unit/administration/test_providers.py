"""Identity providers in the console: health, editing, creation, by permission."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from lxml import html
from msgspec.structs import replace

from broker.model.entities import SamlProvider
from broker.proofs.addresses import parse_internal_issuers
from broker.stores.directory.kinds import OIDC_PROVIDER, SAML_PROVIDER
from tests.support.administrator import Administrator, enter, grant
from tests.support.oidc_issuer import IssuerServer, OidcIssuer, serving
from tests.support.saml_idp import key_pair, metadata_xml
from tests.support.signin import (
    ACCOUNT,
    ORIGIN,
    OTHER,
    SignInWorld,
    open_world,
    provider_arn,
    role_arn,
    text_of,
)

LIST = "/console/providers"
DETAIL = "/console/providers/provider"
DELETE = {"do": "delete"}
PAGE_BYTES_MAX = 60_000
CORP = provider_arn()


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    await grant(world, "iam:*", "cloudtrail:*")
    return await enter(world)


@pytest.fixture(scope="module")
def issuer() -> Iterator[IssuerServer]:
    with serving("/idp") as running:
        yield running


@pytest.fixture
async def frame(tmp_path: Path, issuer: IssuerServer) -> AsyncIterator[Administrator]:
    """An administrator where the issuer may be reached."""
    internal = parse_internal_issuers(f"127.0.0.1:{issuer.port}")
    async with open_world(tmp_path, internal_issuers=internal) as world:
        await grant(world, "iam:*")
        yield await enter(world)


async def saml(world: SignInWorld, name: str = "Corp") -> SamlProvider:
    provider = await world.services.stores.directory.named(SAML_PROVIDER, ACCOUNT, name)
    assert provider is not None
    return provider


async def test_the_list_tells_how_each_does(
    world: SignInWorld, admin: Administrator
) -> None:
    await world.browser().post(
        "/saml", data={"SAMLResponse": world.response(audience="urn:else")}
    )
    await world.services.uses.flush()
    page = await admin.see(LIST)
    text = text_of(page)
    assert "Corp" in text
    assert "Good" in text
    assert "Never" not in text
    assert len(page.content) < PAGE_BYTES_MAX
    none = await admin.see(LIST, q="nothing")
    assert "No matching providers." in text_of(none)


async def test_a_hundred_providers_are_shown_page_by_page(
    world: SignInWorld, admin: Administrator
) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for number in range(99):
            await change.insert(
                SAML_PROVIDER,
                SamlProvider(
                    account=ACCOUNT,
                    uuid=f"SAMLSP{number:04d}",
                    name=f"P{number:03d}",
                    metadata=metadata_xml(),
                    created_at=world.clock.now(),
                    valid_until=world.clock.now(),
                ),
            )
    page = await admin.see(LIST)
    assert len(page.content) < PAGE_BYTES_MAX
    assert page.text.count("<tr>") == 51
    rest = await admin.see(LIST, page="2")
    assert rest.text.count("<tr>") == 51
    assert 'rel="next"' not in rest.text


async def test_who_may_only_list_sees_names(world: SignInWorld) -> None:
    await grant(world, "iam:ListSAMLProviders")
    lister = await enter(world)
    text = text_of(await lister.see(LIST))
    assert "Corp" in text
    assert "Not shown" in text
    assert "iam:ListOpenIDConnectProviders" in text


async def test_one_provider_shows_what_to_set_up_there(
    world: SignInWorld, admin: Administrator
) -> None:
    page = await admin.see(DETAIL, arn=CORP)
    text = text_of(page)
    uuid = (await saml(world)).uuid
    for wanted in (
        f"{ORIGIN}/saml/acs/{uuid}",
        f"{ORIGIN}/saml",
        f"{ORIGIN}/static/saml/{uuid}/saml-metadata.xml",
        f"{ORIGIN}/saml/slo/{uuid}",
        "names no SingleLogoutService",
        "AES-128-CBC",
        "https://aws.amazon.com/SAML/Attributes/Role",
        CORP,
        "https://idp.example.com/sso",
        "Reader",
    ):
        assert wanted in text or wanted in page.text, wanted
    assert len(page.content) < PAGE_BYTES_MAX
    link = await admin.browser.get(f"/static/saml/{uuid}/saml-metadata.xml")
    assert link.status_code == 200


async def test_another_accounts_provider_is_not_there(admin: Administrator) -> None:
    for arn in (provider_arn(OTHER), provider_arn(name="None"), "x", ""):
        page = await admin.browser.get(DETAIL, params={"arn": arn})
        assert page.status_code in {400, 404}, arn


async def test_a_saml_provider_is_made_from_metadata(
    world: SignInWorld, admin: Administrator
) -> None:
    path = f"{LIST}/new/saml"
    form = await admin.see(path)
    wrong = await admin.send(
        form,
        path,
        name="New",
        metadata=f"<nonsense>{'x' * 1000}</nonsense>",
        tags="team=blue",
    )
    assert wrong.status_code == 400
    assert "Could not parse metadata" in text_of(wrong)
    assert "another root element" in text_of(wrong)
    assert "&lt;nonsense&gt;xxx" in wrong.text
    made = await admin.do(
        wrong, path, name="New", metadata=metadata_xml(), tags="team=blue"
    )
    assert "New" in text_of(made)
    provider = await saml(world, "New")
    assert provider.tags == {"team": "blue"}
    record = await world.recorded("iam:CreateSAMLProvider")
    assert record.door == "console"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (f"-----BEGIN CERTIFICATE-----\n{'MIIB' * 300}", "This is a certificate"),
        ("MIIB" * 300, "This is a certificate"),
        (f"-----BEGIN PRIVATE KEY-----\n{'MIIB' * 300}", "This is a key"),
        (f"https://idp.example.com/{'x' * 1000}", "MetadataUrl"),
        (f"<!DOCTYPE html><p>{'x' * 1000}", "This is a web page"),
        ("{" + " " * 1000 + "}", "This is not XML"),
    ],
)
async def test_malformed_metadata_is_refused_with_the_reason(
    admin: Administrator, given: str, said: str
) -> None:
    path = f"{LIST}/new/saml"
    wrong = await admin.send(await admin.see(path), path, name="N", metadata=given)
    assert wrong.status_code == 400
    assert said in text_of(wrong)
    assert "EntityDescriptor" in text_of(wrong)


@pytest.mark.parametrize("allowed", [True, False])
async def test_metadata_with_plain_http_is_for_the_operator_to_allow(
    tmp_path: Path, *, allowed: bool
) -> None:
    internal = parse_internal_issuers("keycloak:8080" if allowed else "other:8080")
    metadata = metadata_xml().replace(
        "https://idp.example.com/", "http://keycloak:8080/"
    )
    path = f"{LIST}/new/saml"
    async with open_world(tmp_path, internal_issuers=internal) as world:
        await grant(world, "iam:*")
        admin = await enter(world)
        page = await admin.send(
            await admin.see(path), path, name="New", metadata=metadata
        )
        assert (page.status_code == 303) is allowed
        told = "set BROKER_INTERNAL_ISSUERS=keycloak:8080 " in page.text
        assert told is not allowed


async def test_a_new_saml_provider_is_compared_with_others(
    admin: Administrator,
) -> None:
    path = f"{LIST}/new/saml"
    page = await admin.do(
        await admin.see(path), path, name="Twin", metadata=metadata_xml()
    )
    text = text_of(page)
    assert "signing certificates 1, valid until" in text
    assert "Corp is registered with the same entity ID" in text


async def test_metadata_is_replaced_and_downloaded(
    world: SignInWorld, admin: Administrator
) -> None:
    page = await admin.see(DETAIL, arn=CORP)
    newer = metadata_xml(key_pair("new"))
    bad = await admin.send(page, DETAIL, do="metadata", metadata="x" * 1000, arn=CORP)
    assert bad.status_code == 400
    assert (await saml(world)).metadata != newer
    await admin.do(page, DETAIL, do="metadata", metadata=newer, arn=CORP)
    assert (await saml(world)).metadata == newer.strip()
    got = await admin.see(f"{LIST}/metadata", arn=CORP)
    assert got.text == newer.strip()
    assert "attachment" in got.headers["content-disposition"]


async def test_what_a_browser_sends_is_kept_with_a_files_line_ends(
    world: SignInWorld, admin: Administrator
) -> None:
    """A text area's line ends arrive as CRLF, whatever was pasted into it."""
    lines = metadata_xml().replace("><", ">\n<").strip()
    sent = lines.replace("\n", "\r\n")
    path = f"{LIST}/new/saml"
    await admin.do(await admin.see(path), path, name="New", metadata=sent)
    assert (await saml(world, "New")).metadata == lines
    page = await admin.see(DETAIL, arn=CORP)
    await admin.do(page, DETAIL, do="metadata", metadata=sent, arn=CORP)
    assert (await saml(world)).metadata == lines


async def test_private_keys_and_encryption(
    world: SignInWorld, admin: Administrator
) -> None:
    pem = key_pair("sp").private_pem.decode()
    page = await admin.see(DETAIL, arn=CORP)
    bad = await admin.send(page, DETAIL, do="mode", mode="Required", arn=CORP)
    assert "no private key" in text_of(bad)
    wrong = await admin.send(page, DETAIL, do="add-key", pem=f"{pem[:-90]}x", arn=CORP)
    assert wrong.status_code == 400
    assert pem[:60] not in wrong.text
    page = await admin.do(page, DETAIL, do="add-key", pem=pem, arn=CORP)
    (key,) = (await saml(world)).private_keys
    assert key.key_id in text_of(page)
    await admin.do(page, DETAIL, do="mode", mode="Required", arn=CORP)
    assert (await saml(world)).encryption_mode == "Required"
    page = await admin.do(page, DETAIL, do="mode", mode="Allowed", arn=CORP)
    await admin.do(page, DETAIL, do="remove-key", arn=CORP, key=key.key_id)
    assert (await saml(world)).private_keys == ()
    record = await world.recorded("iam:UpdateSAMLProvider")
    assert pem[:60] not in str(record)


async def test_tags_come_and_go(world: SignInWorld, admin: Administrator) -> None:
    page = await admin.see(DETAIL, arn=CORP)
    page = await admin.do(page, DETAIL, do="tag", tags="a=1\nb=2", arn=CORP)
    assert (await saml(world)).tags == {"a": "1", "b": "2"}
    await admin.do(page, DETAIL, do="untag", key="a", arn=CORP)
    assert (await saml(world)).tags == {"b": "2"}


async def test_deletion_wants_the_name(
    world: SignInWorld, admin: Administrator
) -> None:
    page = await admin.see(DETAIL, arn=CORP)
    kept = await admin.send(page, DETAIL, **DELETE, sure="corp", arn=CORP)
    assert kept.status_code == 400
    assert await saml(world)
    gone = await admin.send(page, DETAIL, **DELETE, sure="Corp", arn=CORP)
    assert gone.status_code == 303
    directory = world.services.stores.directory
    assert await directory.named(SAML_PROVIDER, ACCOUNT, "Corp") is None
    # Whoever came in by it is out with it.
    after = await admin.browser.get(gone.headers["location"])
    assert "Your session has ended" in text_of(after)


async def test_an_unknown_button_is_refused(admin: Administrator) -> None:
    page = await admin.see(DETAIL, arn=CORP)
    for do in ("add-client", "explode", ""):
        assert (await admin.send(page, DETAIL, do=do, arn=CORP)).status_code == 400


async def test_options_are_shown_and_not_set(
    world: SignInWorld, admin: Administrator
) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.update(
            SAML_PROVIDER,
            replace(
                await saml(world),
                options={"Profile": "aws", "AllowSha1": True, "SignIn": True},
            ),
        )
    text = text_of(await admin.see(DETAIL, arn=CORP))
    assert "AllowSha1" in text
    assert f"broker providers set {CORP}" in text
    uuid = (await saml(world)).uuid
    assert f"{ORIGIN}/signin/{ACCOUNT}/with/{uuid}" in text


class TestOpenIdConnect:
    """The same for issuers of tokens."""

    @staticmethod
    async def made(frame: Administrator, issuer: IssuerServer) -> httpx.Response:
        path = f"{LIST}/new/oidc"
        form = await frame.see(path)
        return await frame.do(
            form, path, url=issuer.issuer.url, clients="client-1\nclient-2"
        )

    async def test_it_is_made_looked_after_and_removed(
        self, frame: Administrator, issuer: IssuerServer
    ) -> None:
        page = await self.made(frame, issuer)
        text = text_of(page)
        assert "Provider added." in text
        assert "/.well-known/openid-configuration says: key-1." in text
        assert "Good" in text
        assert issuer.issuer.url in text
        arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/127.0.0.1:{issuer.port}/idp"
        page = await frame.do(page, DETAIL, do="check", arn=arn)
        assert "without problems" in text_of(page)
        assert "key-1" in text_of(page)
        page = await frame.do(page, DETAIL, do="add-client", client="third", arn=arn)
        page = await frame.do(
            page, DETAIL, do="remove-client", client="client-2", arn=arn
        )
        directory = frame.world.services.stores.directory
        (provider,) = await directory.all_of(OIDC_PROVIDER, ACCOUNT)
        assert provider.client_ids == ("client-1", "third")
        prints = f"{'a' * 40}\n{'b' * 40}"
        page = await frame.do(
            page, DETAIL, do="thumbprints", thumbprints=prints, arn=arn
        )
        page = await frame.do(page, DETAIL, do="tag", tags="a=1", arn=arn)
        (provider,) = await directory.all_of(OIDC_PROVIDER, ACCOUNT)
        assert provider.thumbprints == ("a" * 40, "b" * 40)
        assert provider.tags == {"a": "1"}
        await frame.do(page, DETAIL, **DELETE, sure=provider.host_and_path, arn=arn)
        assert await directory.all_of(OIDC_PROVIDER, ACCOUNT) == ()

    async def test_a_look_that_fails_says_why(self, frame: Administrator) -> None:
        path = f"{LIST}/new/oidc"
        page = await frame.do(
            await frame.see(path), path, url="https://idp.invalid", clients="a"
        )
        arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.invalid"
        failed = await frame.send(page, DETAIL, do="check", arn=arn)
        assert failed.status_code == 400
        assert "idp.invalid" in text_of(failed)
        assert "Problem" in text_of(await frame.see(LIST))

    async def test_one_that_cannot_be_reached_is_added_and_told(
        self, frame: Administrator
    ) -> None:
        path = f"{LIST}/new/oidc"
        page = await frame.do(
            await frame.see(path), path, url="https://idp.invalid/x", clients="a"
        )
        text = text_of(page)
        assert "Provider added." in text
        assert "Its keys cannot be read: https://idp.invalid/x/.well-known" in text
        assert "Check the URL, name, network and certificate" in text
        assert "INTERNAL_ISSUERS" not in text

    async def test_one_that_is_almost_another_is_told(
        self, frame: Administrator, issuer: IssuerServer
    ) -> None:
        await self.made(frame, issuer)
        path = f"{LIST}/new/oidc"
        almost = f"{issuer.issuer.url}/"
        page = await frame.do(
            await frame.see(path), path, url=almost, clients="client-1"
        )
        text = text_of(page)
        assert f"{issuer.issuer.url} is registered, too, and is almost the same" in text
        assert f"issuer is '{issuer.issuer.url}', expected '{almost}'" in text

    @pytest.mark.parametrize(
        ("url", "setting"),
        [
            ("http://keycloak:8080/realms/x", "keycloak:8080"),
            ("http://idp.example.com/realms/x", "idp.example.com:80"),
            ("https://idp.example.com:8443", "idp.example.com:8443"),
            ("http://[::1]:8080/x", "[::1]:8080"),
        ],
    )
    async def test_one_for_the_operator_to_allow_names_the_setting(
        self, frame: Administrator, url: str, setting: str
    ) -> None:
        path = f"{LIST}/new/oidc"
        wrong = await frame.send(await frame.see(path), path, url=url, clients="one")
        assert wrong.status_code == 400
        assert f"set BROKER_INTERNAL_ISSUERS={setting} " in text_of(wrong)

    async def test_what_was_typed_is_kept(self, frame: Administrator) -> None:
        path = f"{LIST}/new/oidc"
        form = await frame.see(path)
        wrong = await frame.send(form, path, url="ftp://x", clients="one\ntwo")
        assert wrong.status_code == 400
        assert "one\ntwo" in wrong.text


class TestDiagnosis:
    """The page where a proof is tried."""

    PAGE = f"{LIST}/diagnose"

    async def tried(self, admin: Administrator, proof: str, **more: str) -> str:
        form = await admin.see(self.PAGE, arn=CORP)
        answer = await admin.send(form, self.PAGE, arn=CORP, proof=proof, **more)
        assert answer.status_code == 200
        assert proof[:200] not in answer.text
        assert len(answer.content) < PAGE_BYTES_MAX
        return text_of(answer)

    async def test_a_bad_response_names_the_check(
        self, world: SignInWorld, admin: Administrator
    ) -> None:
        text = await self.tried(admin, world.response(audience="urn:else"))
        assert "The proof is refused" in text
        assert "urn:else" in text
        assert "Set the audience" in text
        assert "not reached" in text

    async def test_a_good_one_tells_who_and_which_roles(
        self, world: SignInWorld, admin: Administrator
    ) -> None:
        text = await self.tried(admin, world.response())
        assert "The proof is accepted" in text
        assert role_arn("Reader") in text
        assert "saml:aud" in text

    async def test_an_old_one_can_be_judged_as_of_its_time(
        self, world: SignInWorld, admin: Administrator
    ) -> None:
        response = world.response()
        made = world.clock.now().isoformat()[:16]
        world.clock.move(1800)
        assert "refused" in await self.tried(admin, response)
        assert "accepted" in await self.tried(admin, response, at=made)

    async def test_nonsense_is_told_and_bounded(self, admin: Administrator) -> None:
        assert "can be read" in await self.tried(admin, "nonsense")
        form = await admin.see(self.PAGE, arn=CORP)
        for proof, more in (
            ("", {}),
            ("x" * 300_001, {}),
            ("x", {"at": "yesterday"}),
            ("x", {"arn": provider_arn(OTHER)}),
        ):
            params = {"arn": CORP, "proof": proof, **more}
            answer = await admin.send(form, self.PAGE, **params)
            assert answer.status_code in {400, 404}, (proof[:9], more)
            assert 'role="alert"' in answer.text
        huge = await admin.send(form, self.PAGE, arn=CORP, proof="x" * 600_000)
        assert huge.status_code == 413

    async def test_the_provider_is_found_from_the_proof(
        self, frame: Administrator, issuer: IssuerServer
    ) -> None:
        await TestOpenIdConnect.made(frame, issuer)
        world = frame.world
        for proof, name in (
            (world.response(), "saml-provider/Corp"),
            (world.response(attributes={}), "saml-provider/Corp"),
            (base64.b64decode(world.response()).decode(), "saml-provider/Corp"),
            (issuer.issuer.token(), "oidc-provider/"),
        ):
            form = await frame.see(self.PAGE)
            answer = await frame.send(form, self.PAGE, arn="", proof=proof)
            assert "The proof is" in text_of(answer), text_of(answer)
            (chosen,) = html.fromstring(answer.text).xpath("//option[@selected]/@value")
            assert name in chosen

    async def test_a_token_is_tried_for_the_chosen_provider_alone(
        self, frame: Administrator, issuer: IssuerServer
    ) -> None:
        """Whoever may look at the one need not be one who may look at the other."""
        await TestOpenIdConnect.made(frame, issuer)
        directory = frame.world.services.stores.directory
        (made,) = await directory.all_of(OIDC_PROVIDER, ACCOUNT)
        other = replace(made, unique_id="OIDCPOTHER", url="https://other.example")
        async with directory.change(ACCOUNT) as change:
            await change.insert(OIDC_PROVIDER, other)
        proof = issuer.issuer.token()
        form = await frame.see(self.PAGE)
        answer = await frame.send(form, self.PAGE, arn=other.arn, proof=proof)
        text = text_of(answer)
        assert "The proof is refused" in text
        assert f"the token is of {made.url}" in text

    async def test_a_proof_of_an_unknown_person_says_whose_it_is(
        self, frame: Administrator
    ) -> None:
        stranger = OidcIssuer("https://stranger.example")
        for proof, says in (
            (stranger.token(), "https://stranger.example"),
            (
                frame.world.response(
                    issuer="https://else.example/idp",
                    attributes={},
                    response={"issuer": "https://else.example/idp"},
                ),
                "https://else.example/idp",
            ),
            ("a.b.c", "not a token"),
            ("nonsense", "neither a SAML response nor a token"),
        ):
            form = await frame.see(self.PAGE)
            answer = await frame.send(form, self.PAGE, arn="", proof=proof)
            assert answer.status_code == 400
            assert says in text_of(answer)

    async def test_it_needs_the_permission_on_that_provider(
        self, world: SignInWorld
    ) -> None:
        await grant(world, "iam:ListSAMLProviders", "iam:ListOpenIDConnectProviders")
        lister = await enter(world)
        form = await lister.see(self.PAGE)
        answer = await lister.send(form, self.PAGE, arn=CORP, proof=world.response())
        assert answer.status_code == 403
        assert "iam:GetSAMLProvider" in text_of(answer)


async def test_a_refused_sign_in_is_explained_from_the_audit_log(
    world: SignInWorld, admin: Administrator
) -> None:
    """From the console alone: the record, which check failed, what to change."""
    await world.browser().post(
        "/saml", data={"SAMLResponse": world.response(recipient="https://else/saml")}
    )
    record = None
    async with asyncio.timeout(10):
        while record is None:
            await asyncio.sleep(0.05)
            refused = (r for r in await world.audit() if r.error_code)
            record = next(refused, None)
    log = await admin.see("/console/audit", provider=CORP)
    assert record.event_id in log.text
    text = text_of(await admin.see("/console/audit", event=record.event_id))
    assert "Why this proof was refused" in text
    assert "Recipient" in text
    assert "https://else/saml" in text
    assert "Set the recipient" in text
