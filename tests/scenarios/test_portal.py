"""`aws sso login` against a real broker, by AWS's own clients."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError, UnauthorizedSSOTokenError
from lxml import html

from tests.scenarios.installation import Installation
from tests.scenarios.test_javascript import NODE, PROGRAM, needs_sdk
from tests.support.aws_cli import AWS_CLI_1, debians_aws_cli
from tests.support.broker import ACCOUNT, Key, running_broker
from tests.support.oidc_issuer import serving
from tests.support.servers import find_free_port
from tests.support.signin import BROWSER
from tests.support.sso_login import Home
from tests.support.tls import tls_before

PROMISED_SECONDS = 1.0
"""Until a worker knows of a revocation."""

ALICE = f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/alice@example.com"


class Browser:
    """A person's browser, which the AWS CLI opens; it is signed in by the provider."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.http = httpx.Client(follow_redirects=True, headers=BROWSER)

    def sign_in(self) -> httpx.Response:
        data = {
            "SAMLResponse": self.installation.assertion(),
            "RelayState": f"/portal/{ACCOUNT}",
        }
        page = self.http.post(self.installation.acs, data=data)
        assert "Your accounts and roles" in page.text, page.text
        return page

    def submit(self, page: httpx.Response, **more: str) -> httpx.Response:
        (form,) = html.fromstring(page.text).xpath("//form[@method='post']")
        hidden = {f.get("name"): f.get("value") for f in form.xpath(".//input")}
        return self.http.post(
            urljoin(str(page.url), form.get("action")),
            data={**hidden, **more},
            headers={"origin": self.installation.broker.url},
        )

    def allow(self, address: str) -> httpx.Response:
        page = self.http.get(address)
        assert "alice@example.com" in page.text, page.text
        return self.submit(page, answer="allow")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One storage: what the portal asks of it is held to the ports' promises."""
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        folder = tmp_path_factory.mktemp("portal")
        with running_broker(folder, workers=2, internal_issuers=internal) as broker:
            yield Installation(broker, issuer)


@pytest.fixture(params=["official", "Debian's"])
def home(
    request: pytest.FixtureRequest, tmp_path: Path, installation: Installation
) -> Home:
    url = installation.broker.url
    if request.param == "official":
        return Home(tmp_path, url)
    program = debians_aws_cli("2.22")  # the first that logs in with PKCE
    return Home(tmp_path, url, program=program, start_url=f"{url}/portal/{ACCOUNT}")


@pytest.fixture
def browser(installation: Installation) -> Iterator[Browser]:
    made = Browser(installation)
    with made.http:
        made.sign_in()
        yield made


def test_the_cli_logs_in_with_the_browser_of_this_machine(
    home: Home, browser: Browser
) -> None:
    home.log_in(browser)
    for program in (home.program, AWS_CLI_1):
        assert home.who(program) == ALICE
    assert home.boto3_who() == ALICE
    first = home.token
    first["expiresAt"] = "2020-01-01T00:00:00Z"
    home.keep(first)
    home.forget_credentials()
    assert home.who() == ALICE
    renewed = home.token
    assert renewed["refreshToken"] != first["refreshToken"]
    assert renewed["accessToken"] != first["accessToken"]


def test_the_cli_logs_in_with_a_devices_code_and_logs_out(
    home: Home, browser: Browser
) -> None:
    home.log_in(browser, "--use-device-code")
    assert home.who() == ALICE
    listed = home.aws(
        *("sso", "list-account-roles", "--account-id", ACCOUNT),
        *("--access-token", home.token["accessToken"], "--output", "json"),
    )
    assert [entry["roleName"] for entry in json.loads(listed)["roleList"]] == ["Reader"]
    token = home.token
    credentials = home.boto3_session().get_credentials().get_frozen_credentials()
    home.aws("sso", "logout")
    home.keep(token)
    time.sleep(PROMISED_SECONDS)
    with pytest.raises(UnauthorizedSSOTokenError):
        home.boto3_who()
    key = Key(credentials.access_key, credentials.secret_key, credentials.token)
    with pytest.raises(ClientError, match="ExpiredToken"):
        browser.installation.broker.client("sts", key).get_caller_identity()


def test_the_cli_learns_over_https_which_of_awss_portals_it_is(
    tmp_path: Path, installation: Installation, browser: Browser
) -> None:
    """From 2.35.13 on it takes other start URLs only if they redirect to one of AWS's."""
    port = find_free_port()
    with tls_before(tmp_path, port, installation.broker.port) as trusted:
        start_url = f"https://localhost:{port}/portal/{ACCOUNT}"
        home = Home(tmp_path, installation.broker.url, start_url=start_url)
        home.environment["AWS_CA_BUNDLE"] = str(trusted)
        home.log_in(browser)
        assert home.who() == ALICE


def test_one_endpoint_is_enough(
    tmp_path: Path, installation: Installation, browser: Browser
) -> None:
    """As aws-vault and Granted have it, which read no ``services`` section."""
    home = Home(tmp_path, installation.broker.url, one_endpoint=True)
    home.log_in(browser)
    assert home.who() == ALICE
    assert home.boto3_who() == ALICE
    token = home.token
    home.aws("sso", "logout")
    home.keep(token)
    time.sleep(PROMISED_SECONDS)
    with pytest.raises(UnauthorizedSSOTokenError):
        home.boto3_who()


@needs_sdk
def test_the_javascript_sdk_uses_the_login(home: Home, browser: Browser) -> None:
    home.log_in(browser)
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, "sso.mjs"],
        cwd=NODE,
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Arn"] == ALICE
