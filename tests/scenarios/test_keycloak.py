"""Keycloak itself, with what the recipe says: the file, both tables, the commands."""

import copy
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import jwt
import pytest
import yaml
from botocore.exceptions import ClientError
from lxml import html

from tests.scenarios.test_recipes import (
    ACCOUNT_ROLES,
    PROVIDERS,
    RECIPES,
    exchange,
    following_keycloak,
    login_page,
)
from tests.scenarios.test_upstream_stores import store, until_refused
from tests.support.broker import Key
from tests.support.identity_providers import Browser, browsing
from tests.support.machine_agent import until
from tests.support.programs import installed, program_marks
from tests.support.signin import text_of
from tests.support.walk import Walk

pytestmark = program_marks("keycloak")

CLIENT = "federation-broker"
SECRET = "a-secret-for-this-machine-only"
PASSWORD = "change-me"
ACCOUNT = "123456789012"
SAML = f"arn:aws:iam::{ACCOUNT}:saml-provider/Keycloak"
ADMIN = {"username": "admin", "password": "only-a-test"}
OPERATOR = "assumed-role/Operator/ana@example.com"
_SECONDS = 30
_WATCH_SECONDS, _ENDING = 30, 2
"""As the page has it, and what an end takes to reach every worker."""


@dataclass
class World:
    here: Walk
    broker: str
    keycloak: str
    admin: httpx.Client

    @property
    def realm(self) -> str:
        return f"{self.keycloak}/realms/example"

    @property
    def provider(self) -> str:
        return f"{PROVIDERS}/{self.realm.removeprefix('http://')}"

    def ask(self, method: str, path: str, **params: Any) -> Any:
        """What the administration answers; it must not refuse."""
        told = self.admin.post(
            "/realms/master/protocol/openid-connect/token",
            data={"grant_type": "password", "client_id": "admin-cli", **ADMIN},
        )
        token = {"authorization": f"Bearer {told.json()['access_token']}"}
        address = f"/admin/realms/example{path}"
        answer = self.admin.request(method, address, headers=token, **params)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def client(self) -> dict[str, Any]:
        (match,) = self.ask("GET", "/clients", params={"clientId": CLIENT})
        return dict(match)

    def account_file(self) -> dict[str, Any]:
        """What the page's file says, to change it."""
        text = (self.here.folder / "keycloak.yaml").read_text()
        return dict(yaml.safe_load(text))

    def apply(self, changed: dict[str, Any]) -> None:
        (self.here.folder / "changed.yaml").write_text(yaml.safe_dump(changed))
        self.here.run("broker apply changed.yaml")

    def sign_in(self, browser: Browser, name: str) -> str:
        page = browser.submit(
            login_page(browser, self.broker), username=name, password=PASSWORD
        )
        return text_of(page)

    def id_token(self, name: str) -> str:
        """As a program of the client's gets one: by the code of a login."""
        back = f"{self.broker}/signin/oidc/callback"
        asked = {"client_id": CLIENT, "response_type": "code", "scope": "openid"}
        with browsing() as browser:
            query = httpx.QueryParams({**asked, "redirect_uri": back})
            login = browser.get(f"{self.realm}/protocol/openid-connect/auth?{query}")
            browser.submit(login, username=name, password=PASSWORD)
            (code,) = parse_qs(urlsplit(browser.url).query)["code"]
        answer = httpx.post(
            f"{self.realm}/protocol/openid-connect/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": back,
            },
            auth=(CLIENT, SECRET),
        )
        return str(answer.json()["id_token"])

    def end_all_sessions(self, name: str) -> None:
        (user,) = self.ask("GET", "/users", params={"username": name})
        self.ask("POST", f"/users/{user['id']}/logout")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    program, folder = installed("keycloak"), tmp_path_factory.mktemp("keycloak")
    home = folder / "keycloak"
    docker = (
        f"cp -a {program} {home} && mkdir -p {home}/data/import"
        f" && cp {folder}/example-realm.json {home}/data/import || exit"
        '\nwhile [ "$1" != start-dev ]; do shift; done'
        f'\nexec {home}/bin/kc.sh "$@"'
    )
    own = {f"KC_BOOTSTRAP_ADMIN_{name.upper()}": word for name, word in ADMIN.items()}
    with (
        following_keycloak(folder, docker, **own) as (here, broker, keycloak),
        httpx.Client(base_url=keycloak, timeout=_SECONDS) as admin,
    ):
        yield World(here, broker, keycloak, admin)


def test_ana_has_the_role_of_her_group_and_carl_of_its_namesake_has_none(
    world: World,
) -> None:
    with browsing() as browser:
        page = world.sign_in(browser, "ana")
        assert OPERATOR in page
    with browsing() as browser:
        assert "none of your groups is mapped to a role" in world.sign_in(
            browser, "carl"
        )


def test_a_token_is_exchanged_for_the_groups_role_only(world: World) -> None:
    role = f"{ACCOUNT_ROLES}/Operator"
    arn = exchange(world.here, role, world.id_token("ana"))
    assert arn.endswith("assumed-role/Operator/job")
    with pytest.raises(AssertionError, match="AccessDenied"):
        exchange(world.here, role, world.id_token("carl"))


def test_credentials_of_an_exchange_end_by_issuer_and_subject(world: World) -> None:
    """As the page says for a leaver."""
    token = world.id_token("ana")
    claims = jwt.decode(token, options={"verify_signature": False})
    sts = store("sts", world.broker, Key("none", "none"))
    made = sts.assume_role_with_web_identity(
        RoleArn=f"{ACCOUNT_ROLES}/Operator",
        RoleSessionName="job",
        WebIdentityToken=token,
    )["Credentials"]
    session = store("sts", world.broker, Key.of(made))
    assert session.get_caller_identity()["Account"] == ACCOUNT
    world.here.run(
        f"broker sessions revoke {ACCOUNT_ROLES.split(':')[4]}"
        f" --issuer {world.realm} --subject {claims['sub']}"
    )
    until_refused(session.get_caller_identity)


def test_logout_of_all_sessions_is_told_where_keycloak_has_one(world: World) -> None:
    """Once it has the address that the broker shows: it ends before it could be asked."""
    tell_of_logouts(world)
    began = time.monotonic()
    with browsing() as browser:
        sign_in_elsewhere(world, browser, "ana")
        login_page(browser, world.broker)  # a single sign-on: no page of Keycloak's
        assert is_signed_in(browser, world.broker)
        world.end_all_sessions("ana")
        until(lambda: not is_signed_in(browser, world.broker), _SECONDS)
        assert time.monotonic() < began + _WATCH_SECONDS


def test_logout_of_all_sessions_is_found_out_where_keycloak_has_none(
    world: World,
) -> None:
    """It keeps an offline session alone of who signed in to nothing but the broker."""
    (group,) = (g for g in world.ask("GET", "/groups") if g["name"] == "operators")
    tell_of_logouts(world)
    with ExitStack() as stack:
        person = leaver(world, "alone", group["id"], stack)
        assert world.ask("GET", f"/users/{person.user['id']}/sessions") == []
        time.sleep(2 - time.time() % 1)  # what it issues in that second stays good
        world.end_all_sessions("alone")
        until(lambda: not person.has_page(world), 2 * _WATCH_SECONDS)


def sign_in_elsewhere(world: World, browser: Browser, name: str) -> None:
    """To Keycloak's own console, which asks for no offline session."""
    query = httpx.QueryParams(
        {
            "client_id": "security-admin-console",
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": f"{world.keycloak}/admin/example/console/",
            "code_challenge": "a" * 43,
            "code_challenge_method": "S256",
        }
    )
    page = browser.get(f"{world.realm}/protocol/openid-connect/auth?{query}")
    browser.submit(page, username=name, password=PASSWORD)


def test_sign_out_there_too_returns_to_the_broker(world: World) -> None:
    with browsing() as browser:
        world.sign_in(browser, "ana")
        page = browser.get(f"{world.broker}/console/")
        out = browser.submit(page, "/console/sign-out")
        (there,) = html.fromstring(out.text).xpath("//a[@id='sign_out_there']/@href")
        posting = browser.get(f"{world.broker}{there}")
        left = browser.submit(posting)
        assert browser.url.startswith(f"{world.broker}/signin/signed-out"), left.text
        assert "Sign in to" in text_of(login_page(browser, world.broker))


@dataclass
class Leaver:
    """Somebody with a console session, and keys copied from it."""

    name: str
    browser: Browser
    keys: Any
    user: dict[str, Any]

    def has_page(self, world: World) -> bool:
        page = self.browser.get(f"{world.broker}/console/")
        return f"assumed-role/Operator/{self.name}@" in text_of(page)

    def has_keys(self, _world: World) -> bool:
        try:
            self.keys.get_caller_identity()
        except ClientError:
            return False
        return True


def leaver(world: World, name: str, group: str, stack: ExitStack) -> Leaver:
    """A new person of the realm, who signs in to the console and copies keys."""
    world.ask(
        "POST",
        "/users",
        json={
            "username": name,
            "email": f"{name}@example.com",
            "firstName": name.title(),
            "lastName": "Example",
            "enabled": True,
            "emailVerified": True,
            "credentials": [{"type": "password", "value": PASSWORD}],
        },
    )
    (user,) = world.ask("GET", "/users", params={"username": name, "exact": "true"})
    world.ask("PUT", f"/users/{user['id']}/groups/{group}")
    browser = stack.enter_context(browsing())
    assert f"assumed-role/Operator/{name}@" in world.sign_in(browser, name)
    home = browser.get(f"{world.broker}/console/")
    shown = browser.submit(home, "/console/credentials")
    (bash,) = html.fromstring(shown.text).xpath("//pre[@id='bash']")
    exported = dict(re.findall(r"export (\w+)=(\S+)", bash.text_content()))
    key = Key(
        exported["AWS_ACCESS_KEY_ID"],
        exported["AWS_SECRET_ACCESS_KEY"],
        exported["AWS_SESSION_TOKEN"],
    )
    return Leaver(name, browser, store("sts", world.broker, key), user)


def test_whoever_leaves_keycloak_is_out_within_the_interval(world: World) -> None:
    """Page and copied keys; who stays keeps both."""
    (group,) = (g for g in world.ask("GET", "/groups") if g["name"] == "operators")
    ways: dict[str, Callable[[str], object]] = {
        "disabled": lambda user: world.ask(
            "PUT", f"/users/{user}", json={"enabled": False}
        ),
        "deleted": lambda user: world.ask("DELETE", f"/users/{user}"),
        "moved": lambda user: world.ask(
            "DELETE", f"/users/{user}/groups/{group['id']}"
        ),
        "revoked": lambda user: world.ask("DELETE", f"/users/{user}/consents/{CLIENT}"),
        "ended": lambda user: world.ask("POST", f"/users/{user}/logout"),
    }
    tell_of_logouts(world)
    with ExitStack() as stack:
        people = {
            way: leaver(world, way, group["id"], stack) for way in (*ways, "stays")
        }
        left: dict[str, float] = {}
        dead: dict[tuple[str, str], float] = {}
        for way, leave in ways.items():
            leave(people[way].user["id"])
            left[way] = time.monotonic()
        began = time.monotonic()
        places = {"page": Leaver.has_page, "keys": Leaver.has_keys}
        while len(dead) < len(ways) * len(places):
            assert time.monotonic() < began + _WATCH_SECONDS + _SECONDS, dead
            looked = time.monotonic()
            for way in ways:
                for place, has in places.items():
                    if (way, place) not in dead and not has(people[way], world):
                        dead[way, place] = time.monotonic() - left[way]
            pace = time.monotonic() - looked
            # A look takes as long as the machine is slow.
            late = [
                at for at in dead.values() if at > _WATCH_SECONDS + _ENDING + 2 * pace
            ]
            assert not late, dead
            time.sleep(0.1)
        assert all(has(people["stays"], world) for has in places.values())


def tell_of_logouts(world: World) -> None:
    """Keycloak has the address that the broker shows."""
    told = world.here.run(f"broker get provider {world.provider} --json")
    registered = world.client()
    registered["attributes"] |= {
        "backchannel.logout.url": json.loads(told)["BackChannelLogoutUri"],
        "backchannel.logout.session.required": "true",
    }
    world.ask("PUT", f"/clients/{registered['id']}", json=registered)


def is_signed_in(browser: Browser, url: str) -> bool:
    return OPERATOR in text_of(browser.get(f"{url}/console/"))


def saml_client(world: World, metadata: str, address: str) -> None:
    """By *Import client*, and then the page's tables."""
    made = world.ask("POST", "/client-description-converter", content=metadata)
    made["attributes"] |= {
        "saml.server.signature": "true",
        "saml.assertion.signature": "true",
        "saml.signature.algorithm": "RSA_SHA256",
        "saml_signature_canonicalization_method": "http://www.w3.org/2001/10/xml-exc-c14n#",
        "saml.encryption.algorithm": "http://www.w3.org/2009/xmlenc11#aes256-gcm",
        "saml_idp_initiated_sso_url_name": CLIENT,
        "saml_name_id_format": "persistent",
    }
    assert made["attributes"]["saml.encrypt"] == "true"
    made |= {"frontchannelLogout": False, "adminUrl": address}
    made["protocolMappers"] = [
        mapper(
            "saml-user-property-mapper",
            "https://aws.amazon.com/SAML/Attributes/RoleSessionName",
            **{"user.attribute": "email"},
        ),
        mapper(
            "saml-group-membership-mapper",
            "groups",
            **{"full.path": "true", "single": "true"},
        ),
    ]
    world.ask("POST", "/clients", json=made)
    (match,) = world.ask("GET", "/clients", params={"clientId": made["clientId"]})
    scopes = f"/clients/{match['id']}/default-client-scopes"
    for scope in world.ask("GET", scopes):
        if scope["name"] == "role_list":
            world.ask("DELETE", f"{scopes}/{scope['id']}")


def mapper(kind: str, attribute: str, **more: str) -> dict[str, object]:
    config = {"attribute.name": attribute, "attribute.nameformat": "Basic", **more}
    return {
        "name": attribute,
        "protocol": "saml",
        "protocolMapper": kind,
        "config": config,
    }


@pytest.fixture(scope="module")
def with_saml(world: World) -> str:
    """The address of the broker's metadata, after the page's part on SAML."""
    page = (RECIPES / "keycloak.md").read_text()
    block = page.partition("```yaml\n    SAMLProviders:")[2].partition("```")[0]
    written = yaml.safe_load(f"SAMLProviders:{block}")["SAMLProviders"]
    (provider,) = written
    provider["SamlMetadataDocument"] = httpx.get(
        f"{world.realm}/protocol/saml/descriptor"
    ).text
    # What needs https: new metadata is registered by hand, as the page says.
    del provider["Broker"]["MetadataUrl"], provider["Broker"]["MetadataTrustTls"]
    applied = world.account_file()
    (account,) = applied["Accounts"].values()
    account["SAMLProviders"] = written
    (role,) = account["Roles"]
    role["AssumeRolePolicyDocument"]["Statement"].append(
        {
            "Effect": "Allow",
            "Principal": {"Federated": SAML},
            "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
        }
    )
    world.apply(applied)
    printed = world.here.run(f"broker account root-key {ACCOUNT} --new")
    key = json.loads(printed.splitlines()[-1])
    pem = world.here.run("openssl genpkey -algorithm RSA")
    store("iam", world.broker, Key.of(key)).update_saml_provider(
        SAMLProviderArn=SAML, AddPrivateKey=pem
    )
    told = json.loads(world.here.run(f"broker get provider {SAML} --json"))
    saml_client(world, httpx.get(told["Metadata"]).text, told["AcsUrl"][0])
    return f"{world.realm}/protocol/saml/clients/{CLIENT}"


def test_with_saml_too(world: World, with_saml: str) -> None:
    pages = {}
    for name in ("ana", "carl"):
        with browsing() as browser:
            login = browser.get(with_saml)
            posting = browser.submit(login, username=name, password=PASSWORD)
            pages[name] = text_of(browser.submit(posting))
            if name == "ana":
                assert is_signed_in(browser, world.broker)
                world.end_all_sessions("ana")
                until(lambda: not is_signed_in(browser, world.broker), _SECONDS)
    assert OPERATOR in pages["ana"]
    assert "You have no role here" in pages["carl"]


def test_a_service_has_the_role_that_names_its_client(world: World) -> None:
    """By the page's commands, once the provider lists the client."""
    audience = {"included.custom.audience": CLIENT, "access.token.claim": "true"}
    made = {
        "clientId": "reports",
        "secret": "SECRET",
        "standardFlowEnabled": False,
        "serviceAccountsEnabled": True,
        "protocolMappers": [
            {
                "name": "audience",
                "protocol": "openid-connect",
                "protocolMapper": "oidc-audience-mapper",
                "config": audience,
            }
        ],
    }
    world.ask("POST", "/clients", json=made)
    applied = world.account_file()
    (account,) = applied["Accounts"].values()
    account["OIDCProviders"][0]["ClientIdList"].append("reports")
    (operator,) = account["Roles"]
    trust = copy.deepcopy(operator["AssumeRolePolicyDocument"])
    host = world.provider.partition("/")[2]
    trust["Statement"][0]["Condition"] = {"StringEquals": {f"{host}:aud": "reports"}}
    account["Roles"] = [{"RoleName": "Reports", "AssumeRolePolicyDocument": trust}]
    world.apply(applied)
    page = (RECIPES / "keycloak.md").read_text()
    (block,) = re.findall(r"```\n(curl .*?)```", page, re.DOTALL)
    for before, after in (
        ("https://keycloak.example.com", world.keycloak),
        ("https://broker.example.com", world.broker),
    ):
        assert before in block
        block = block.replace(before, after)
    printed = world.here.run(f"(\n{block}\n)")
    assert ":assumed-role/Reports/" in json.loads(printed)["Arn"]
