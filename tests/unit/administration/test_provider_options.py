"""Broker-only options in the console: only where the operator lets the account."""

from typing import Any

import pytest
from lxml import html
from msgspec.structs import replace

from broker.model.entities import OidcProvider
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import OIDC_PROVIDER, SAML_PROVIDER
from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import ACCOUNT, SignInWorld, provider_arn, role_arn, text_of

PAGE, DETAIL = "/console/providers/options", "/console/providers/provider"
CORP = provider_arn()
ISSUER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example.com"
GROUPS = f'{{"Engineers": ["{role_arn("Reader")}"]}}'


@pytest.fixture
async def allowed(world: SignInWorld) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        options = {**account.options, "SetProviderOptionsInConsole": True}
        await update_account(change, replace(account, options=options))


async def add_issuer(world: SignInWorld) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            OIDC_PROVIDER,
            OidcProvider(
                account=ACCOUNT,
                unique_id="OIDCPAAAAAAAAAAAAAAAA",
                url="https://issuer.example.com",
                client_ids=(),
                thumbprints=(),
                created_at=world.clock.now(),
            ),
        )


async def options_of(world: SignInWorld, arn: str = CORP) -> dict[str, Any]:
    directory = world.services.stores.directory
    name = arn.partition("-provider/")[2]
    provider = (
        await directory.named(OIDC_PROVIDER, ACCOUNT, name)
        if arn == ISSUER
        else await directory.named(SAML_PROVIDER, ACCOUNT, name)
    )
    assert provider is not None
    return dict(provider.options)


async def save(admin: Administrator, arn: str = CORP, **typed: str) -> Any:
    """Send the form with what it holds, and what is typed."""
    page = await admin.see(PAGE, arn=arn)
    (form,) = html.fromstring(page.text).xpath(f"//form[@action='{PAGE}']")
    held = {name: value for name, value in form.form_values() if value is not None}
    return await admin.send(page, PAGE, **{**held, **typed})


async def test_only_the_operator_sets_them_unless_he_lets_the_account(
    world: SignInWorld,
) -> None:
    await grant(world, "iam:*")
    admin = await enter(world)
    assert "SetProviderOptionsInConsole" in text_of(await admin.see(DETAIL, arn=CORP))
    page = await admin.browser.get(PAGE, params={"arn": CORP})
    assert page.status_code == 403
    home = await admin.see(DETAIL, arn=CORP)
    token = html.fromstring(home.text).xpath("//input[@name='csrf']/@value")[0]
    sent = await admin.browser.post(
        PAGE,
        data={"csrf": token, "arn": CORP, "SignIn": "true"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert sent.status_code == 403
    assert await options_of(world) == {}


@pytest.mark.usefixtures("allowed")
async def test_saml_options_are_set_changed_and_removed(world: SignInWorld) -> None:
    await grant(world, "iam:*")
    admin = await enter(world)
    url = "https://idp.example.com/metadata"
    answer = await save(
        admin,
        SignIn="true",
        MetadataUrl=url,
        GroupAttribute="groups",
        GroupRoles=GROUPS,
    )
    assert answer.status_code == 303
    assert await options_of(world) == {
        "SignIn": True,
        "MetadataUrl": url,
        "GroupAttribute": "groups",
        "GroupRoles": {"Engineers": [role_arn("Reader")]},
    }
    record = await world.recorded("signin:SetProviderOptions")
    assert record.parameters["Options"]["MetadataUrl"] == url
    assert "Options saved." in text_of(await admin.see(DETAIL, arn=CORP))
    await save(admin, Profile="aws", MetadataUrl="", GroupRoles="", GroupAttribute="")
    assert await options_of(world) == {"SignIn": True, "Profile": "aws"}


@pytest.mark.usefixtures("allowed")
async def test_a_secret_is_sealed_kept_and_never_shown(world: SignInWorld) -> None:
    await add_issuer(world)
    await grant(world, "iam:*")
    admin = await enter(world)
    secret = "correct horse battery"
    await save(admin, ISSUER, ClientId="console", ClientSecret=secret)
    first = (await options_of(world, ISSUER))["ClientSecret"]
    assert secret not in first
    page = await admin.see(PAGE, arn=ISSUER)
    assert secret not in page.text
    assert first not in page.text
    await save(admin, ISSUER, Scopes="openid, email")
    there = await options_of(world, ISSUER)
    assert (there["ClientSecret"], there["Scopes"]) == (first, ["openid", "email"])
    refused = await save(admin, ISSUER, Algorithms="none")
    assert refused.status_code == 400
    (field,) = html.fromstring(refused.text).xpath("//input[@name='ClientSecret']")
    assert field.get("value") == "(sealed)"
    await save(admin, ISSUER, ClientSecret="")
    assert "ClientSecret" not in await options_of(world, ISSUER)
    for entry in await world.audit():
        assert secret not in str(entry.parameters)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"MetadataTrustTls": "true"}, "MetadataUrl"),
        ({"GroupRoles": "{"}, "GroupRoles is not JSON"),
        ({"GroupRoles": "[" * 60_000}, "GroupRoles is not JSON"),
        ({"GroupRoles": '{"a":' * 9_000}, "GroupRoles is not JSON"),
        (
            {"GroupRoles": GROUPS.replace("Engineers", "\\ud800")},
            "GroupRoles is not JSON",
        ),
        ({"Profile": "lenient"}, "Profile"),
        ({"MetadataUrl": "file:///etc/passwd"}, "MetadataUrl"),
    ],
)
async def test_what_the_shell_refuses_is_refused_here(
    world: SignInWorld, typed: dict[str, str], says: str
) -> None:
    await grant(world, "iam:*")
    answer = await save(await enter(world), **typed)
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert await options_of(world) == {}


@pytest.mark.usefixtures("allowed")
async def test_keys_that_cannot_be_read_are_refused(world: SignInWorld) -> None:
    await add_issuer(world)
    await grant(world, "iam:*")
    admin = await enter(world)
    for text in ('{"keys":' + "[" * 60_000, '{"keys": ["\\ud800"]}', "[]"):
        answer = await save(admin, ISSUER, StaticJwks=text)
        assert answer.status_code == 400
        assert "StaticJwks is not JSON, or not a JWK set" in text_of(answer)


@pytest.mark.usefixtures("allowed")
async def test_reading_a_provider_is_not_enough(world: SignInWorld) -> None:
    await grant(world, "iam:GetSAMLProvider")
    answer = await save(await enter(world), SignIn="true")
    assert answer.status_code == 403
    assert await options_of(world) == {}
