"""`broker demo`, used as somebody does who tries the broker out."""

import base64
import http.cookiejar
import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws_cli import run_aws_cli
from tests.support.broker import running_broker
from tests.support.demo import RunningDemo, running_demo
from tests.support.forked import run_forked

ACCOUNT = "111122223333"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"
SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    folder: Path = tmp_path_factory.mktemp("demo") / "named"
    # Settings of a real installation must not matter to the demo.
    with running_demo(
        folder,
        forked=False,
        BROKER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        BROKER_REDIS_URL="redis://127.0.0.1:1",
        BROKER_DATA_DIR="/nonexistent",
        BROKER_KEYRING_FILE="/nonexistent/keyring.json",
        BROKER_PUBLIC_URL="https://broker.example.com",
    ) as running:
        yield running


class Browser:
    """Keeps cookies, follows redirects, fills in the forms of a page."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        self.url = ""
        self.page = ""

    def open(self, url: str, form: dict[str, str] | None = None) -> None:
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, data, {"Accept": "text/html,*/*"})
        if data is not None and self.url:
            origin = urllib.parse.urlsplit(self.url)
            request.add_header("Origin", f"{origin.scheme}://{origin.netloc}")
        with self._opener.open(request, timeout=20) as answer:
            self.url = answer.geturl()
            self.page = answer.read().decode()

    def submit(self, **more: str) -> None:
        """The page's first form, as its button would."""
        action = re.search(r'<form[^>]* action="([^"]+)"', self.page)
        assert action, self.page
        hidden = re.findall(
            r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.page
        )
        form = {name: unescape(value) for name, value in hidden}
        self.open(urllib.parse.urljoin(self.url, unescape(action[1])), {**form, **more})

    def follow(self, text: str) -> None:
        """The page's first link that says this."""
        link = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>(?:<strong>)?{text}', self.page)
        assert link, self.page
        self.open(urllib.parse.urljoin(self.url, unescape(link[1])))

    def sign_in_as_dana(self, demo: RunningDemo) -> None:
        """With what the demo's page says."""
        self.open(f"{demo.idp}/")
        typed = {
            name: unescape(value)
            for name, value in re.findall(
                r'<code id="(username|password)">([^<]+)<', self.page
            )
        }
        link = re.search(r'id="password-sign-in" href="([^"]+)"', self.page)
        assert link, self.page
        self.open(unescape(link[1]))
        self.submit(**typed)


def aws(demo: RunningDemo, *words: str, **environment: str) -> Any:
    done = run_aws_cli(
        (*words, "--output", "json"), {**demo.aws_environment, **environment}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_sample(demo: RunningDemo, name: str, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SAMPLES / name), "--broker", demo.broker, *words],
        env={**demo.aws_environment, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.quick
def test_a_person_with_one_role_goes_straight_into_the_console(
    demo: RunningDemo,
) -> None:
    browser = Browser()
    browser.open(f"{demo.idp}/saml/sign-in/ben")
    browser.submit()
    assert browser.url.startswith(f"{demo.broker}/console/")
    assert "Analyst" in browser.page
    assert "ben@example.com" in browser.page


def test_a_person_with_two_roles_chooses_one(demo: RunningDemo) -> None:
    browser = Browser()
    browser.open(f"{demo.idp}/saml/sign-in/ana")
    browser.submit()
    assert browser.url == f"{demo.broker}/saml"
    for role in ("Administrator", "Analyst"):
        assert f"arn:aws:iam::{ACCOUNT}:role/{role}" in browser.page
    browser.submit(roleIndex=f"arn:aws:iam::{ACCOUNT}:role/Administrator")
    assert browser.url.startswith(f"{demo.broker}/console/")
    assert "Administrator" in browser.page


def test_signing_in_begins_at_the_broker(demo: RunningDemo) -> None:
    """The identity provider answers what it was asked, at the address that asked."""
    browser = Browser()
    browser.open(f"{demo.broker}/signin/demo")
    browser.follow("DemoIdP")
    assert browser.url.startswith(f"{demo.idp}/saml/sso?SAMLRequest=")
    browser.follow("Sign in as Ben")
    response = re.search(r'name="SAMLResponse" value="([^"]+)"', browser.page)
    assert response
    assert b' InResponseTo="_' in base64.b64decode(response[1])
    assert f'action="{demo.broker}/saml/acs/SAMLSP' in browser.page
    browser.submit()
    assert browser.url.startswith(f"{demo.broker}/console/")
    assert "ben@example.com" in browser.page


def test_the_access_portal_asks_for_no_role_on_the_way(demo: RunningDemo) -> None:
    """As `aws sso login` does, which begins at the broker, for a person with two roles."""
    browser = Browser()
    browser.open(f"{demo.broker}/portal/demo")
    browser.follow("DemoIdP")
    browser.follow("Sign in as Ana")
    browser.submit()
    assert browser.url == f"{demo.broker}/portal/demo"
    assert "Administrator" in browser.page
    assert "Analyst" in browser.page


@pytest.mark.parametrize("binding", ["link", "form"])
def test_what_is_no_request_is_answered_nowhere(
    demo: RunningDemo, binding: str
) -> None:
    query, form = "?SAMLRequest=AAAA", None
    if binding == "form":
        query, form = "", b"SAMLRequest=AAAA"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{demo.idp}/saml/sso{query}", form, timeout=10)
    assert refused.value.code == 400
    refused.value.close()
    evil = urllib.parse.urlencode(
        {"request_id": "_a", "consumer_url": "https://evil.example/saml"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{demo.idp}/saml/sign-in/ben?{evil}", timeout=10)
    assert refused.value.code == 400
    refused.value.close()


def test_the_portal_lets_someone_in_by_a_link_once(demo: RunningDemo) -> None:
    browser = Browser()
    browser.open(f"{demo.idp}/portal", {"person": "ana"})
    link = re.search(r'id="login" href="([^"]+)"', browser.page)
    assert link, browser.page
    url = unescape(link[1])
    assert url.startswith(f"{demo.broker}/federation?Action=login&")
    browser.open(url)
    assert browser.url == f"{demo.broker}/console/"
    assert "ana@example.com" in browser.page
    with pytest.raises(urllib.error.HTTPError) as refused:
        Browser().open(url)
    assert refused.value.code == 400
    refused.value.close()


def test_an_iam_user_signs_in_with_the_password_that_the_page_shows(
    demo: RunningDemo,
) -> None:
    browser = Browser()
    browser.sign_in_as_dana(demo)
    assert browser.url == f"{demo.broker}/console/"
    assert "dana" in browser.page
    for path, text in (
        ("/console/roles", "Analyst"),
        ("/console/users", "portal"),
        ("/console/security", "You have no MFA device"),
        ("/console/security/services", "SSH"),
    ):
        browser.open(f"{demo.broker}{path}")
        assert text in browser.page
        assert "is not authorized" not in browser.page


def test_the_broker_shows_where_signing_in_begins(demo: RunningDemo) -> None:
    browser = Browser()
    for path in ("/signin", "/signin/demo"):
        browser.open(f"{demo.broker}{path}")
        assert f'href="{demo.idp}/portal"' in browser.page
    assert "DemoIdP" in browser.page


@pytest.mark.parametrize(
    ("profile", "arn"),
    [
        ("demo-ci", f"{SESSION}/Deploy/demo-"),
        ("demo-portal", f"arn:aws:iam::{ACCOUNT}:user/portal"),
        ("demo-analyst", f"{SESSION}/Analyst/demo-"),
    ],
)
def test_what_is_to_be_pasted_works(demo: RunningDemo, profile: str, arn: str) -> None:
    assert f"--profile {profile}" in demo.output.read_text()
    identity = aws(demo, "sts", "get-caller-identity", "--profile", profile)
    assert identity["Arn"].startswith(arn)


def test_the_commands_of_the_token_page_work(demo: RunningDemo, tmp_path: Path) -> None:
    browser = Browser()
    browser.open(f"{demo.idp}/token/ci")
    commands = re.search(r'<pre id="commands">(.*?)</pre>', browser.page, re.DOTALL)
    assert commands
    folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-ec", unescape(commands[1])],
        cwd=tmp_path,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["AssumedRoleUser"]["Arn"] == f"{SESSION}/Deploy/demo"


def test_the_web_identity_sample_runs(demo: RunningDemo, tmp_path: Path) -> None:
    token_url = f"{demo.idp}/token/ci.txt"
    printed = run_sample(demo, "web_identity.py", "--token-url", token_url)
    assert f"{SESSION}/Deploy/sample" in printed
    with urllib.request.urlopen(token_url, timeout=10) as answer:
        (tmp_path / "token").write_bytes(answer.read() + b"\n")
    file = str(tmp_path / "token")
    printed = run_sample(demo, "web_identity.py", "--token-file", file)
    assert f"{SESSION}/Deploy/sample" in printed


def test_the_custom_broker_sample_prints_a_link_that_opens_the_console(
    demo: RunningDemo,
) -> None:
    printed = run_sample(demo, "custom_broker.py", AWS_PROFILE="demo-portal")
    browser = Browser()
    browser.open(printed.strip())
    assert browser.url == f"{demo.broker}/console/"


def test_the_saml_sample_runs(demo: RunningDemo) -> None:
    printed = run_sample(demo, "saml_post.py", "--idp", demo.idp)
    assert f"Credentials for: {SESSION}/Analyst/ben@example.com" in printed
    assert f"The browser is at: {demo.broker}/console/" in printed


def test_the_identity_provider_answers_to_its_own_name_only(demo: RunningDemo) -> None:
    url = f"http://127.0.0.1:{demo.port + 1}/token/ci.txt"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    assert refused.value.code == 421
    refused.value.close()


@pytest.mark.parametrize("path", ["/saml/sign-in/eve", "/token/eve", "/token/eve.txt"])
def test_no_one_else_is_signed_for(demo: RunningDemo, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{demo.idp}{path}", timeout=10)
    assert refused.value.code == 404
    refused.value.close()


def test_keys_and_secrets_are_their_owners_alone(demo: RunningDemo) -> None:
    private = [
        *demo.folder.glob("*-key.pem"),
        demo.folder / "keyring.json",
        demo.folder / "aws-credentials",
        demo.folder / "console-password",
        demo.folder / "workload-token",
    ]
    assert len(private) == 6
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_nothing_secret_is_printed_or_logged(demo: RunningDemo) -> None:
    aws(demo, "sts", "get-caller-identity", "--profile", "demo-ci")
    output = demo.output.read_text()
    assert "GetCallerIdentity" in output
    key = (demo.folder / "aws-credentials").read_text()
    assert key.split("aws_secret_access_key = ")[1].strip() not in output
    assert (demo.folder / "workload-token").read_text() not in output
    with urllib.request.urlopen(f"{demo.idp}/", timeout=10) as answer:
        assert (demo.folder / "console-password").read_text().strip() in unescape(
            answer.read().decode()
        )
    assert (demo.folder / "console-password").read_text().strip() not in output
    assert "SAMLResponse" not in output


def test_a_named_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "named"
    with running_demo(folder) as first:
        key = (folder / "aws-credentials").read_text()
        certificate = (folder / "saml-signing-certificate.pem").read_text()
        password = (folder / "console-password").read_text()
        assert first.stop() == 0
    with running_demo(folder) as second:
        assert (folder / "aws-credentials").read_text() == key
        assert (folder / "saml-signing-certificate.pem").read_text() == certificate
        identity = aws(
            *(second, "sts", "get-caller-identity", "--profile", "demo-portal")
        )
        assert identity["Account"] == ACCOUNT
        assert (folder / "console-password").read_text() == password
        browser = Browser()
        browser.sign_in_as_dana(second)
        assert browser.url == f"{second.broker}/console/"


def start_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return run_forked(
        ["demo", "--port", "1", "--folder", str(folder)],
        {"PATH": os.environ["PATH"], "HOME": str(folder)},
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_without_a_name_the_folder_is_gone_with_the_demo(
    tmp_path: Path, end: signal.Signals
) -> None:
    with running_demo(tmp_path / "demo", kept=False) as running:
        assert len(list(running.folder.glob("broker-demo-*"))) == 1
        running.process.send_signal(end)
        running.process.wait(20)
        assert list(running.folder.iterdir()) == []


def test_a_folder_that_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = start_demo(tmp_path)
    assert done.returncode == 1
    assert "did not create" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_installation_is_left_alone_even_with_the_demos_mark_file(
    tmp_path: Path,
) -> None:
    with running_broker(tmp_path, start=False) as broker:
        broker.create_account()
        before = broker.command("export", "123456789012")
        data = tmp_path / "data"
        (data / ".broker-demo").touch()
        done = start_demo(data)
        assert done.returncode == 1
        assert "has an installation that is not the demo's" in done.stderr
        assert broker.command("export", "123456789012") == before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_the_demo_made_is_served_on_loopback_only(
    demo: RunningDemo, workers: str
) -> None:
    for host, url in (
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("127.0.0.1", "https://broker.example.com"),
    ):
        done = run_forked(
            ["serve", "--host", host, "--port", "1", "--workers", workers],
            {
                "PATH": os.environ["PATH"],
                "BROKER_DATA_DIR": str(demo.folder),
                "BROKER_PUBLIC_URL": url,
            },
        )
        assert done.returncode == 3
        assert "created by `broker demo`" in done.stderr
