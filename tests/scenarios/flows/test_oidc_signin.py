"""Signing in at a real OpenID Connect provider, through the real pages."""

import asyncio
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import boto3
import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError
from lxml import html

from broker.compose.resealing import CLIENT_SECRET, reseal_all, sealed_values
from broker.compose.services import open_services
from broker.settings import load_settings
from tests.support.broker import ACCOUNT, REGION, Key
from tests.support.identity_providers import browsing
from tests.support.oidc_world import (
    MEMBER,
    SECRET,
    STRICT,
    OidcWorld,
    oidc_world,
    role_arn,
    sign_in,
)
from tests.support.servers import find_free_port
from tests.support.signin import text_of
from tests.support.visit import visit

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcWorld]:
    with oidc_world(tmp_path_factory.mktemp("broker")) as world:
        yield world


@pytest.mark.quick
def test_a_person_ends_in_the_console_with_the_role_of_their_group(
    world: OidcWorld,
) -> None:
    with browsing() as browser:
        page = sign_in(world, browser, "alice")
        assert browser.url == f"{world.broker.url}/console/"
        assert "assumed-role/Staff/alice@example.com" in page


def test_an_address_that_no_one_verified_makes_no_one_someone_else(
    world: OidcWorld,
) -> None:
    with browsing() as alice, browsing() as eve:
        sign_in(world, alice, "alice")
        page = sign_in(world, eve, "eve")
        assert "assumed-role/Staff/eve" in page
        assert "alice" not in page
        listed = text_of(eve.get(f"{world.broker.url}/console/sessions"))
        assert "assumed-role/Staff/eve" in listed
        assert "alice" not in listed


def test_who_has_several_roles_chooses(world: OidcWorld) -> None:
    with browsing() as browser:
        sign_in(world, browser, "admin")
        page = browser.get(f"{world.broker.url}/console/")
        # Not before a role is chosen.
        assert browser.url.startswith(f"{world.broker.url}/signin")
    with browsing() as browser:
        login = browser.get(world.start)
        consent = browser.submit(login, login="admin", password="any")
        choice = browser.submit(consent)
        page = browser.submit(choice, roleIndex=role_arn("Admin"))
        assert "assumed-role/Admin/admin@example.com" in text_of(page)


def test_the_portal_lists_all_roles_and_asks_for_none(world: OidcWorld) -> None:
    start = f"/portal/{ACCOUNT}"
    with browsing() as browser:
        login = browser.get(f"{world.start}?{urlencode({'Destination': start})}")
        page = text_of(
            browser.submit(browser.submit(login, login="admin", password="x"))
        )
        assert browser.url == f"{world.broker.url}{start}"
        assert "You are admin@example.com" in page
        assert page.index("Admin") < page.index("Staff")
        device, client = begin_device(world.broker.url)
        consent = browser.get(device["verificationUriComplete"])
        browser.submit(consent, answer="allow")
        token = client.create_token(
            grantType="urn:ietf:params:oauth:grant-type:device_code",
            deviceCode=device["deviceCode"],
            **client_of(device),
        )["accessToken"]
        sso = unsigned("sso", f"{world.broker.url}/sso")
        credentials = sso.get_role_credentials(
            roleName="Admin", accountId=ACCOUNT, accessToken=token
        )["roleCredentials"]
        key = Key(
            credentials["accessKeyId"],
            credentials["secretAccessKey"],
            credentials["sessionToken"],
        )
        arn = world.broker.client("sts", key).get_caller_identity()["Arn"]
        assert arn.endswith("assumed-role/Admin/admin@example.com")


def test_the_role_page_leads_to_the_portal(world: OidcWorld) -> None:
    with browsing() as browser:
        login = browser.get(world.start)
        choice = browser.submit(browser.submit(login, login="admin", password="any"))
        page = text_of(browser.submit(choice, pick="portal"))
        assert browser.url == f"{world.broker.url}/portal/{ACCOUNT}"
        assert "You are admin@example.com" in page


def test_an_organisation_asks_each_members_own_provider(world: OidcWorld) -> None:
    """One ID token; who has not registered its client accepts none of it."""
    with browsing() as browser:
        page = browser.get(f"{world.broker.url}/portal/corp")
        (link,) = html.fromstring(page.text).xpath("//a[@class='way']/@href")
        assert "with" in link
        login = browser.get(f"{world.broker.url}{link}")
        page = browser.submit(browser.submit(login, login="admin", password="any"))
        assert browser.url == f"{world.broker.url}/portal/corp"
        forms = "//form[@action='/portal/corp/console']//input[@name='role']/@value"
        assert html.fromstring(page.text).xpath(forms) == [
            role_arn("Admin"),
            role_arn("Staff"),
            f"arn:aws:iam::{MEMBER}:role/Admin",
        ]
        device, client = begin_device(world.broker.url, "corp")
        consent = browser.get(device["verificationUriComplete"])
        browser.submit(consent, answer="allow")
        token = client.create_token(
            grantType="urn:ietf:params:oauth:grant-type:device_code",
            deviceCode=device["deviceCode"],
            **client_of(device),
        )["accessToken"]
        sso = unsigned("sso", f"{world.broker.url}/sso")
        accounts = sso.list_accounts(accessToken=token)["accountList"]
        assert [account["accountId"] for account in accounts] == [ACCOUNT, MEMBER]
        credentials = sso.get_role_credentials(
            roleName="Admin", accountId=MEMBER, accessToken=token
        )["roleCredentials"]
        key = Key(
            credentials["accessKeyId"],
            credentials["secretAccessKey"],
            credentials["sessionToken"],
        )
        arn = world.broker.client("sts", key).get_caller_identity()["Arn"]
        assert arn == (f"arn:aws:sts::{MEMBER}:assumed-role/Admin/admin@example.com")
        with pytest.raises(ClientError, match="ForbiddenException"):
            sso.get_role_credentials(
                roleName="Admin", accountId=STRICT, accessToken=token
            )


def test_an_organisation_knows_no_provider_that_is_not_listed(world: OidcWorld) -> None:
    """A sign-in that begins with such a one is good for those that are."""
    with browsing() as browser:
        start = f"{world.start}?{urlencode({'Destination': '/portal/mixed'})}"
        login = browser.get(start)
        page = browser.submit(browser.submit(login, login="admin", password="any"))
        assert browser.url == f"{world.broker.url}/portal/mixed"
        forms = "//form[@action='/portal/mixed/console']//input[@name='role']/@value"
        match = html.fromstring(page.text).xpath(forms)
        assert match == [f"arn:aws:iam::{MEMBER}:role/Admin"]
    told = world.broker.command(
        *("audit", "--json", "--action", "sso:Authenticate", "--limit", "1")
    )
    # It is a sign-in with that provider all the same.
    assert json.loads(told.splitlines()[0])["account"] == ACCOUNT


def begin_device(url: str, place: str = ACCOUNT) -> tuple[dict[str, Any], Any]:
    """What boto3's client of ``sso-oidc`` is told; its registration is added."""
    client = unsigned("sso-oidc", f"{url}/sso-oidc")
    made = client.register_client(clientName="test", clientType="public")
    registered = {name: made[name] for name in ("clientId", "clientSecret")}
    device = client.start_device_authorization(
        startUrl=f"{url}/portal/{place}", **registered
    )
    return {**device, **registered}, client


def unsigned(service: str, url: str) -> Any:
    """A client that looks for no credentials."""
    none = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    return boto3.client(service, REGION, endpoint_url=url, **none)


def client_of(device: dict[str, Any]) -> dict[str, str]:
    return {name: device[name] for name in ("clientId", "clientSecret")}


def test_the_role_used_last_is_first_and_chosen(world: OidcWorld) -> None:
    for role in ("Staff", "Admin", "Staff"):
        with browsing() as browser:
            login = browser.get(world.start)
            consent = browser.submit(login, login="admin", password="any")
            choice = browser.submit(consent)
            browser.submit(choice, roleIndex=role_arn(role))
    with browsing() as browser:
        login = browser.get(world.start)
        consent = browser.submit(login, login="admin", password="any")
        page = html.fromstring(browser.submit(consent).text)
        assert page.xpath("//label/text()") == ["Staff", "Admin"]
        assert page.xpath("//input[@checked]/@id") == [role_arn("Staff")]


def test_a_role_that_was_not_offered_cannot_be_chosen(world: OidcWorld) -> None:
    with browsing() as browser:
        login = browser.get(world.start)
        choice = browser.submit(browser.submit(login, login="admin", password="any"))
        page = browser.submit(choice, roleIndex=role_arn("Other"))
        assert page.status_code == 403


def test_the_trust_policy_still_decides(world: OidcWorld) -> None:
    with browsing() as browser:
        page = sign_in(world, browser, "mallory")
        assert "AccessDenied" in page
        assert "/console/" not in browser.url


def begun(world: OidcWorld) -> tuple[str, dict[str, list[str]]]:
    """The cookie that a browser got, and the request it was sent away with."""
    sent = httpx.get(world.start, trust_env=False)
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    return sent.headers["set-cookie"], query


def test_a_code_for_one_browser_is_good_in_no_other(world: OidcWorld) -> None:
    """Login CSRF: the victim follows a link with the attacker's state and code."""
    _, query = begun(world)
    callback = f"{world.broker.url}/signin/oidc/callback"
    with browsing() as victim:
        victim.get(world.start)
        page = victim.get(f"{callback}?code=x&state={query['state'][0]}")
        assert page.status_code == 400
        assert "not started in this browser" in page.text


@pytest.mark.parametrize("destination", ["/console/", f"/portal/{ACCOUNT}"])
@pytest.mark.parametrize("stops_before", ["/signin/continue", "/signin/oidc/callback"])
def test_a_parked_sign_in_is_good_in_no_other_browser(
    world: OidcWorld, stops_before: str, destination: str
) -> None:
    """Login CSRF: the victim follows the address where the attacker's sign-in waits.

    What the victim has at console and portal goes on, and so does the sign-in.
    """
    portal = f"{world.broker.url}/portal/{ACCOUNT}"
    with browsing(stops_before) as attacker, browsing() as victim, browsing() as other:
        # Bob, and nobody.
        sign_in(world, victim, "bob")
        victim.get(f"{world.start}?Destination=/portal/{ACCOUNT}")
        other.get(world.start)

        login = attacker.get(f"{world.start}?{urlencode({'Destination': destination})}")
        waiting = attacker.submit(
            attacker.submit(login, login="alice", password="any")
        ).headers["location"]
        waiting = urljoin(world.broker.url, waiting)
        assert urlsplit(waiting).path == stops_before
        for browser in (other, victim):
            page = browser.get(waiting)
            assert page.status_code == 400
            assert "not started in this browser" in page.text
        assert (
            "assumed-role/Staff/bob" in victim.get(f"{world.broker.url}/console/").text
        )
        assert "You are bob" in text_of(victim.get(portal))
        assert "/signin" in str(other.get(portal).url)

        attacker.stops_before = ""
        assert attacker.get(waiting).status_code == 200
        assert urlsplit(attacker.url).path == destination


def test_the_request_has_pkce_state_nonce_and_the_exact_redirect_uri(
    world: OidcWorld,
) -> None:
    cookie, query = begun(world)
    assert query["code_challenge_method"] == ["S256"]
    assert query["response_type"] == ["code"]
    assert query["redirect_uri"] == [f"{world.broker.url}/signin/oidc/callback"]
    assert len(query["state"][0]) == len(query["nonce"][0]) == 43
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_the_client_secret_is_nowhere_in_the_open(world: OidcWorld) -> None:
    folder = Path(world.broker.environment["BROKER_DATA_DIR"])
    for path in (*folder.glob("broker.db*"), world.broker.folder / "broker.log"):
        assert SECRET.encode() not in path.read_bytes()
    assert SECRET not in world.broker.command("providers", "list", "--json")
    assert "ClientSecret" not in world.broker.command("export", ACCOUNT)


def test_the_operator_is_told_why_a_token_is_refused(
    world: OidcWorld, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("not.a.token")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "broker", "providers", "test", world.provider),
            *("--token", str(token)),
        ],
        env=world.broker.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "FAIL The token is a JWT" in done.stdout
    assert "change: Send the ID token" in done.stdout


def test_a_mobile_app_signs_in_exchanges_and_renews(world: OidcWorld) -> None:
    """``samples/mobile.py`` as it is: a public client, PKCE, an unsigned call."""
    mobile = SimpleNamespace(**runpy.run_path(str(SAMPLES / "mobile.py")))
    keys = set()
    for _ in range(2):  # signing in, and renewing
        token = id_token(world, "alice")
        match = mobile.exchange(world.broker.url, role_arn("Staff"), token)
        key = Key(match["access_key"], match["secret_key"], match["token"])
        caller = world.broker.client("sts", key).get_caller_identity()
        assert caller["Arn"].endswith("assumed-role/Staff/mobile")
        keys.add(key.access_key_id)
    assert len(keys) == 2


def test_the_mobile_sample_runs_as_it_is(world: OidcWorld) -> None:
    """With a person for a browser, and credentials that renew themselves."""
    person = f"{sys.executable} -m tests.support.visit bob %s &"
    words = (
        *("--issuer", world.issuer, "--client-id", "app"),
        *("--broker", world.broker.url, "--role", role_arn("Staff")),
        *("--port", str(find_free_port()), "--scope", "openid groups"),
    )
    done = subprocess.run(
        [sys.executable, str(SAMPLES / "mobile.py"), *words],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(world.broker.folder),
            "BROWSER": person,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.endswith("assumed-role/Staff/mobile\n"), done.stderr


def id_token(world: OidcWorld, name: str, scope: str = "openid groups") -> str:
    """Of the public client, without the broker's part."""
    mobile = SimpleNamespace(**runpy.run_path(str(SAMPLES / "mobile.py")))
    namespace = SimpleNamespace(
        issuer=world.issuer, client_id="app", port=find_free_port(), scope=scope
    )

    def open_page(url: str) -> None:
        threading.Thread(target=visit, args=(name, url), daemon=True).start()

    token: str = mobile.sign_in(namespace, open_page)
    return token


def test_the_aws_cli_exchanges_its_token(world: OidcWorld) -> None:
    answer = world.broker.aws(
        *("sts", "assume-role-with-web-identity", "--role-arn", role_arn("Staff")),
        *("--role-session-name", "cli"),
        *("--web-identity-token", id_token(world, "alice")),
        AWS_ACCESS_KEY_ID="",
    )
    assert answer["SubjectFromWebIdentityToken"] == "alice"
    assert answer["Audience"] == "app"
    key = Key.of(answer["Credentials"])
    caller = world.broker.client("sts", key).get_caller_identity()
    assert caller["Arn"].endswith("assumed-role/Staff/cli")


@pytest.mark.parametrize(
    ("name", "scope", "role"),
    [
        ("alice", "openid groups", "Admin"),
        ("admin", "openid", "Admin"),  # a token without groups
    ],
)
def test_the_api_gives_a_mapped_role_to_members_only(
    world: OidcWorld, name: str, scope: str, role: str
) -> None:
    """The role's trust policy accepts any token for the client."""
    sts = unsigned("sts", world.broker.url)
    with pytest.raises(ClientError) as refused:
        sts.assume_role_with_web_identity(
            RoleArn=role_arn(role),
            RoleSessionName="api",
            WebIdentityToken=id_token(world, name, scope),
        )
    assert refused.value.response["Error"] == {
        "Type": "Sender",
        "Code": "AccessDenied",
        "Message": "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    }
    told = world.broker.command(
        *("audit", "--json", "--action", "sts:AssumeRoleWithWebIdentity"),
        *("--limit", "1"),
    )
    assert "GroupRoles maps none of the person" in told


def test_other_roles_stay_with_their_trust_policy(world: OidcWorld) -> None:
    sts = unsigned("sts", world.broker.url)
    for name, scope, role in (
        ("admin", "openid groups", "Admin"),
        ("alice", "openid", "App"),  # which no group is mapped to
    ):
        params = sts.assume_role_with_web_identity(
            RoleArn=role_arn(role),
            RoleSessionName="api",
            WebIdentityToken=id_token(world, name, scope),
        )
        assert params["AssumedRoleUser"]["Arn"].endswith(f"assumed-role/{role}/api")


def test_a_client_secret_can_be_sealed_again(world: OidcWorld) -> None:
    """As after a rotation of the sealing keys; signing in goes on."""
    folder = Path(world.broker.environment["BROKER_DATA_DIR"])

    async def work() -> tuple[int, int]:
        async with open_services(load_settings(data_dir=folder)) as services:
            directory = services.stores.directory
            kinds = [value.kind async for value in sealed_values(directory)]
            assert CLIENT_SECRET in kinds
            resealed = await reseal_all(directory, services.vault, -1)
            return resealed.changed, len(resealed.broken)

    changed, broken = asyncio.run(work())
    assert changed >= 1
    assert broken == 0
    with browsing() as browser:
        assert "assumed-role/Staff" in sign_in(world, browser, "bob")
