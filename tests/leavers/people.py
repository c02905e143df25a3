"""The people and machines of the table: how each kind signs in and proves who it is.

``base`` are the credentials that everything else is made with: the long-term key of a
user, those copied from the console of somebody who signed in elsewhere, and those that
a machine gets for its certificate or its key.
"""

import json
import re
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2 as httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lxml import html

from tests.leavers import keycloak
from tests.leavers.command_line import CommandLine
from tests.leavers.world import ADMINISTRATOR, Account, World
from tests.support import roles_anywhere, saml_idp
from tests.support.broker import REGION, Key
from tests.support.certificates import Issued, issue
from tests.support.machines import public_text
from tests.support.signin import BROWSER

PASSWORD = "Correct-horse-7"
_SAME = {"sec-fetch-site": "same-origin"}
_VERSION = "2026-11-27"
"""Of the broker's own service."""

_SECRETS: dict[str, str] = {}
_BEGINS = threading.Lock()
"""Of clients of Keycloak, by account; and who is the first of two people."""

_NAMES = iter(range(1, 1 << 16))


class Browser:
    """A browser with an address of its own, so that limits by address are its own."""

    def __init__(self, world: World) -> None:
        number = next(_NAMES)
        address = f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        self.world = world
        # Browsers take the loopback for a secure context: secure cookies go there.
        policy = DefaultCookiePolicy(secure_protocols=("https", "http"))
        self.http = httpx.Client(
            base_url=world.url,
            follow_redirects=True,
            cookies=CookieJar(policy),
            headers=BROWSER,
            timeout=60,
            transport=httpx.HTTPTransport(
                local_address=address, limits=world.each_question_connects
            ),
        )

    def get(self, url: str) -> httpx.Response:
        return self.http.get(url)

    def allow(self, address: str) -> httpx.Response:
        """Open what a terminal shows, and allow it."""
        return self.submit(self.get(address), answer="allow")

    def submit(
        self,
        page: httpx.Response,
        form_action: str = "",
        *,
        goes_on: bool = True,
        **typed: str,
    ) -> httpx.Response:
        """Send a form of the page, that of an action or the first that posts."""
        wanted = f"[@action='{form_action}']" if form_action else "[@method='post']"
        forms = html.fromstring(page.text).xpath(f"//form{wanted}")
        assert forms, f"{page.url}: {page.status_code} {page.text}"
        inputs = forms[0].xpath(".//input[@name][not(@type='checkbox')]")
        hidden = {each.get("name"): each.get("value") or "" for each in inputs}
        return self.http.post(
            urljoin(str(page.url), forms[0].get("action") or ""),
            data={**hidden, **typed},
            headers={**_SAME, "origin": "/".join(str(page.url).split("/")[:3])},
            follow_redirects=goes_on,
        )

    @property
    def cookies(self) -> str:
        """What it sends to the broker."""
        host = urlsplit(self.world.url).hostname
        return "; ".join(
            f"{cookie.name}={cookie.value}"
            for cookie in self.http.cookies.jar
            if cookie.domain == host
        )


@dataclass
class Person:
    """Whoever leaves, in an account of the row's own."""

    account: Account
    name: str = "leaver"
    has_pages: ClassVar[bool] = True
    """Whether it signs in with a browser."""

    tokens: dict[str, str] = field(default_factory=dict)
    """The ids of tokens that an administrator may delete."""

    def __post_init__(self) -> None:
        """Make whatever proves who it is."""

    @property
    def world(self) -> World:
        return self.account.world

    @cached_property
    def base(self) -> Key:
        return self.copied

    @cached_property
    def copied(self) -> Key:
        """What the console shows for a terminal."""
        page = self.console.get("/console/")
        text = self.console.submit(page, "/console/credentials").text
        matches = dict(
            re.findall(
                r"export (AWS_[A-Z_]+)=(\S+)", html.fromstring(text).text_content()
            )
        )
        assert matches, text
        return Key(
            matches["AWS_ACCESS_KEY_ID"],
            matches["AWS_SECRET_ACCESS_KEY"],
            matches["AWS_SESSION_TOKEN"],
        )

    @cached_property
    def console(self) -> Browser:
        """A browser in which the console is open."""
        return self.sign_in("/console/")

    @cached_property
    def portal(self) -> Browser:
        """Another, with the access portal."""
        return self.sign_in(self.portal_path)

    @property
    def portal_role(self) -> str:
        """The one that the portal offers."""
        return "Person"

    @property
    def portal_path(self) -> str:
        return f"/portal/{self.account.number}"

    @cached_property
    def command_line(self) -> CommandLine | None:
        homes = self.world.homes
        if homes is None or not self.has_pages:
            return None
        return CommandLine(homes, self.world.url, self.account.number, self.portal_role)

    def sign_in(self, path: str) -> Browser:
        """A new browser that signed in to a page."""
        browser = Browser(self.world)
        page = self.open(browser, path)
        assert str(page.url).endswith(path), f"{page.url}: {page.text}"
        assert page.status_code == 200, page.text
        return browser

    def open(self, browser: Browser, path: str) -> httpx.Response:
        """Sign in with a browser, and follow it to a page."""
        raise AssertionError(f"{type(self).__name__} opens no {path} with {browser}")

    def exchange(self) -> Key | None:
        """Credentials that the provider's proof gives without a page."""
        return None

    def prove(self) -> Any:
        """A proof as the provider issues it now; what `accepts` takes."""
        return None

    def accepts(self, proof: Any, node: int = 0) -> bool:
        """Whether the proof opens a session."""
        kind = type(self).__name__
        raise AssertionError(f"{kind} has no proof for node {node}: {proof}")

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """What boto3 gets with the base's credentials."""
        client = self.account.client(service, self.base)
        answer: dict[str, Any] = getattr(client, operation)(**params)
        client.close()
        return answer


def credentials_in(answer: httpx.Response) -> Key:
    """Of STS."""
    assert answer.status_code == 200, answer.text
    values = [
        match[1]
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
        if (match := re.search(f"<{name}>([^<]+)</", answer.text))
    ]
    return Key(*values)


class User(Person):
    """An IAM user with a password and an access key."""

    def __post_init__(self) -> None:
        iam = self.account.client("iam")
        self.user_id: str = iam.create_user(UserName=self.name)["User"]["UserId"]
        iam.attach_user_policy(UserName=self.name, PolicyArn=ADMINISTRATOR)
        iam.create_login_profile(UserName=self.name, Password=PASSWORD)
        self.key = Key.of(iam.create_access_key(UserName=self.name)["AccessKey"])
        iam.close()

    @cached_property
    def base(self) -> Key:
        return self.key

    @property
    def portal_role(self) -> str:
        return "First"

    def open(self, browser: Browser, path: str) -> httpx.Response:
        start = path if "portal" in path else f"/signin/{self.account.number}"
        page = browser.get(start)
        if "username" not in page.text:
            (link,) = html.fromstring(page.text).xpath(
                "//a[contains(@href, 'users') or contains(@href, 'kind=user')]/@href"
            )
            page = browser.get(link)
        return browser.submit(page, username=self.name, password=PASSWORD)

    def prove(self) -> str:
        return PASSWORD

    def accepts(self, _proof: str, _node: int = 0) -> bool:
        """The password, typed again in a new browser."""
        browser = Browser(self.world)
        page = self.open(browser, "/console/")
        return page.status_code == 200 and str(page.url).endswith("/console/")


class SamlPerson(Person):
    """Somebody whom a SAML provider vouches for."""

    def prove(self) -> str:
        acs = f"{self.world.url}/saml"
        pair = f"{self.account.arn('role/Person')},{self.account.provider}"
        attributes = saml_idp.aws_attributes(
            role=pair, session_name=self.name, source_identity=f"{self.name}-identity"
        ) | {"groups": ("staff",)}
        return saml_idp.build_response(
            now=datetime.now(UTC),
            assertion_id=f"_{uuid.uuid4().hex}",
            recipient=acs,
            audience=acs,
            issuer=self.account.entity_id,
            subject=self.name,
            response={"destination": acs, "issuer": self.account.entity_id},
            attributes=attributes,
        )

    def open(self, browser: Browser, path: str) -> httpx.Response:
        data = {"SAMLResponse": self.prove(), "RelayState": path}
        return browser.http.post("/saml", data=data)

    def exchange(self) -> Key:
        return credentials_in(self._exchange(self.prove()))

    def _exchange(self, proof: str, node: int = 0) -> httpx.Response:
        return self.world.query(
            None,
            "AssumeRoleWithSAML",
            node,
            RoleArn=self.account.arn("role/Person"),
            PrincipalArn=self.account.provider,
            SAMLAssertion=proof,
        )

    def accepts(self, proof: str, node: int = 0) -> bool:
        """An assertion that was not spent: by STS, or else on the page."""
        if self._exchange(proof, node).status_code == 200:
            return True
        browser = Browser(self.world)
        data = {"SAMLResponse": proof, "RelayState": "/console/"}
        page = browser.http.post("/saml", data=data)
        return page.status_code == 200 and str(page.url).endswith("/console/")


class OidcPerson(Person):
    """Somebody whom an OpenID Connect provider vouches for."""

    def open(self, browser: Browser, path: str) -> httpx.Response:
        return browser.get(
            f"{self._start(browser)}?Destination={path}"
            if "portal" not in path
            else self._portal_start(browser, path)
        )

    def _start(self, browser: Browser) -> str:
        page = browser.get(f"/signin/{self.account.number}")
        return with_provider(page)

    def _portal_start(self, browser: Browser, path: str) -> str:
        return with_provider(browser.get(path))

    @property
    def logout_address(self) -> str:
        start = self._start(Browser(self.world)).partition("?")[0]
        return f"{self.world.url}{start}/backchannel-logout"

    def prove(self) -> str:
        return self.world.provider.id_token(self.account.number)

    def exchange(self) -> Key:
        return credentials_in(self._exchange(self.prove()))

    def _exchange(self, proof: str, node: int = 0) -> httpx.Response:
        return self.world.query(
            None,
            "AssumeRoleWithWebIdentity",
            node,
            RoleArn=self.account.arn("role/Person"),
            RoleSessionName=self.name,
            WebIdentityToken=proof,
        )

    def accepts(self, proof: str, node: int = 0) -> bool:
        return self._exchange(proof, node).status_code == 200


def with_provider(page: httpx.Response) -> str:
    """Where the page leads who signs in with the account's provider."""
    found = sorted(
        set(html.fromstring(page.text).xpath("//a[contains(@href, '/with/')]/@href"))
    )
    assert found, f"{page.url}: {page.text}"
    return str(found[0])


class KeycloakPerson(OidcPerson):
    """Somebody whom Keycloak vouches for."""

    def __post_init__(self) -> None:
        assert self.world.keycloak is not None
        self.keycloak = self.world.keycloak
        self.id = self.keycloak.add_person(self.name)
        with _BEGINS:
            self.secret = _SECRETS.get(self.account.number) or self._register()
            _SECRETS[self.account.number] = self.secret

    def _register(self) -> str:
        """The account as a client of the realm."""
        client = self.account.client_id
        secret = self.keycloak.add_client(client, self.world.url, self.logout_address)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(secret)
            file.flush()
            self.world.broker.command(
                *("providers", "set", self.account.provider),
                f"ClientSecret=@{file.name}",
            )
        self.world.settle()
        return secret

    def open(self, browser: Browser, path: str) -> httpx.Response:
        page = super().open(browser, path)
        if "password" not in page.text:
            return page
        return browser.submit(page, username=self.name, password=keycloak.PASSWORD)

    def prove(self) -> str:
        """An ID token, as a program of the client's gets one by a code."""
        back = keycloak.TOKENS_AT
        query = {
            "client_id": self.account.client_id,
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": back,
        }
        browser = Browser(self.world)
        address = f"{self.keycloak.realm}/protocol/openid-connect"
        page = browser.get(f"{address}/auth?{httpx.QueryParams(query)}")
        code = code_in(
            browser.submit(
                page, goes_on=False, username=self.name, password=keycloak.PASSWORD
            )
        )
        answer = httpx.post(
            f"{address}/token",
            data={
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": back,
            },
            auth=(self.account.client_id, self.secret),
            trust_env=False,
        )
        return str(answer.json()["id_token"])


class LdapPerson(Person):
    """Somebody who has a directory's password."""

    password = PASSWORD

    def __post_init__(self) -> None:
        assert self.world.directories is not None
        self.directories = self.world.directories
        self.add()

    def add(self) -> None:
        """To the directory, and to the group with the role."""
        self.directories.add_person(self.name)

    def open(self, browser: Browser, path: str) -> httpx.Response:
        start = path if "portal" in path else f"/signin/{self.account.number}"
        page = browser.get(urljoin(self.world.url, with_provider(browser.get(start))))
        return browser.submit(page, username=self.name, password=PASSWORD)

    def prove(self) -> str:
        return PASSWORD

    def accepts(self, _proof: str, _node: int = 0) -> bool:
        page = self.open(Browser(self.world), "/console/")
        return page.status_code == 200 and str(page.url).endswith("/console/")

    def exchange(self) -> Key:
        return credentials_in(
            self.world.query(
                None,
                "AssumeRoleWithLDAPIdentity",
                LDAPUsername=self.name,
                LDAPPassword=PASSWORD,
                RoleArn=self.account.arn("role/Person"),
                RoleSessionName=self.name,
            )
        )


class AdPerson(LdapPerson):
    """Somebody with an account in Active Directory."""

    def add(self) -> None:
        self.directories.add_account(self.name)


class Certified(Person):
    """A machine with a certificate, by IAM Roles Anywhere."""

    has_pages = False

    def __post_init__(self) -> None:
        self.authority = issue("Corp Root", is_authority=True)
        self.certificate: Issued = self.authority.issue(self.name)
        api = self.account.client("rolesanywhere")
        source = {
            "sourceType": "CERTIFICATE_BUNDLE",
            "sourceData": {"x509CertificateData": self.authority.pem},
        }
        self.anchor = api.create_trust_anchor(name="corp", enabled=True, source=source)[
            "trustAnchor"
        ]
        self.profile = api.create_profile(
            name="machines", roleArns=[self.account.arn("role/Person")], enabled=True
        )["profile"]
        api.close()

    @property
    def members(self) -> Mapping[str, str]:
        return {
            "trustAnchorArn": self.anchor["trustAnchorArn"],
            "profileArn": self.profile["profileArn"],
            "roleArn": self.account.arn("role/Person"),
        }

    @cached_property
    def base(self) -> Key:
        if self.world.helper is not None:
            return self._ask_with(self.world.helper)
        answer = self._ask()
        assert answer.status_code == 201, answer.text
        made = answer.json()["credentialSet"][0]["credentials"]
        return Key(made["accessKeyId"], made["secretAccessKey"], made["sessionToken"])

    def _ask_with(self, helper: Path) -> Key:
        """By AWS's program, as a profile's ``credential_process`` runs it."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "machine.pem").write_text(self.certificate.pem)
            (folder / "machine.key").write_text(self.certificate.key_pem)
            command = [
                *(str(helper), "credential-process", "--endpoint", self.world.url),
                *("--region", REGION),
                *("--certificate", str(folder / "machine.pem")),
                *("--private-key", str(folder / "machine.key")),
                *("--trust-anchor-arn", self.members["trustAnchorArn"]),
                *("--profile-arn", self.members["profileArn"]),
                *("--role-arn", self.members["roleArn"]),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Key.of(json.loads(done.stdout))

    def _ask(self, node: int = 0) -> httpx.Response:
        url = f"{self.world.url}/sessions"
        body = json.dumps(self.members).encode()
        headers = roles_anywhere.sign(url, body, self.certificate)
        return self.world.ask("POST", "/sessions", node, headers=headers, content=body)

    def prove(self) -> Issued:
        return self.certificate

    def accepts(self, _proof: Issued, node: int = 0) -> bool:
        return self._ask(node).status_code == 201


class Machine:
    """An instance that a join token admitted, with a key of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.key = Ed25519PrivateKey.generate()
        self.arn = ""

    def join(self, token: str, node: int = 0) -> bool:
        answer = self._ask(
            "RegisterInstance",
            node,
            JoinToken=token,
            PublicKey=public_text(self.key),
        )
        if answer.status_code != 200:
            return False
        match = re.search(r"arn:aws:[a-z0-9]+:[^<\"]*:instance/[^<\"]+", answer.text)
        assert match, answer.text
        self.arn = match[0]
        return True

    @property
    def instance_id(self) -> str:
        return self.arn.rpartition("/")[2]

    def credentials(self, node: int = 0) -> Key | None:
        """None if it is refused."""
        claims = {
            "iss": self.arn,
            "sub": self.arn,
            "aud": "broker:GetInstanceCredentials",
            "iat": int(time.time()),
            "jti": uuid.uuid4().hex,
        }
        answer = self._ask(
            "GetInstanceCredentials",
            node,
            InstanceArn=self.arn,
            InstanceProof=jwt.encode(claims, self.key, algorithm="EdDSA"),
        )
        return credentials_in(answer) if answer.status_code == 200 else None

    def _ask(self, action: str, node: int, **params: str) -> httpx.Response:
        return self.world.query(None, action, node, Version=_VERSION, **params)


class Instance(Person):
    """A machine that an administrator's join token admitted."""

    has_pages = False

    def __post_init__(self) -> None:
        api = self.account.client("broker")
        token = api.create_join_token(InstanceProfileName="Machine")["Token"]
        api.close()
        self.machine = Machine(self.world)
        assert self.machine.join(token)

    @cached_property
    def base(self) -> Key:
        made = self.machine.credentials()
        assert made is not None
        return made

    def prove(self) -> Machine:
        return self.machine

    def accepts(self, proof: Machine, node: int = 0) -> bool:
        return proof.credentials(node) is not None


class TokenHolder(Person):
    """Who has a token that an administrator made, and nothing else."""

    has_pages = False


def code_in(answer: httpx.Response) -> str:
    """Of an address that a page leads to."""
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    return code
