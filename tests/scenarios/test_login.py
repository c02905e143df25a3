"""`broker login` against a real demo: sign-in, consent, credentials, renewal."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from broker.cli.login_browser import parse_pasted_code
from broker.cli.login_store import set_in_section
from broker.errors import ValidationError
from tests.support.aws_cli import run_aws_cli
from tests.support.demo import RunningDemo, running_demo
from tests.support.signin import BROWSER

ANALYST = r"arn:aws:sts::111122223333:assumed-role/Analyst/ben@example.com"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("login") / "demo") as running:
        yield running


@pytest.fixture
def person(demo: RunningDemo) -> Iterator["Person"]:
    person = Person(demo)
    with person.http:
        yield person


class Person:
    """Somebody with a browser."""

    def __init__(self, demo: RunningDemo) -> None:
        self.demo = demo
        self.http = httpx2.Client(follow_redirects=True, headers=BROWSER)

    def submit(self, page: httpx2.Response, **more: str) -> httpx2.Response:
        """The page's first form."""
        action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
        assert action, page.text
        hidden = re.findall(
            r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text
        )
        form = {name: unescape(value) for name, value in hidden}
        origin = "/".join(str(page.url).split("/")[:3])
        return self.http.post(
            urljoin(str(page.url), unescape(action[1])),
            data={**form, **more},
            headers={"origin": origin},
        )

    def allow(self, link: str) -> httpx2.Response:
        """From the terminal's link, through the identity provider, to the consent."""
        assert "/signin" in str(self.http.get(link).url)
        page = self.submit(self.http.get(f"{self.demo.idp}/saml/sign-in/ben"))
        assert str(page.url) == f"{self.demo.broker}/console/login"
        assert "assumed-role/Analyst" in page.text.replace("<wbr>", "")
        self.consent = page.text
        return self.submit(page, answer="allow")


def environment_of(demo: RunningDemo, home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "BROKER_PUBLIC_URL": demo.broker,
        # A browser that does nothing: the test plays the person.
        "BROWSER": "true",
        **(
            {"PYTHONPATH": os.environ["PYTHONPATH"]}
            if "PYTHONPATH" in os.environ
            else {}
        ),
    }


def begin(demo: RunningDemo, home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "broker", "login", "--profile", "work", *words],
        env=environment_of(demo, home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_link(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The link and the check code that the terminal shows."""
    link = code = ""
    deadline = time.monotonic() + 30
    assert process.stderr is not None
    while not code:
        line = process.stderr.readline()
        assert line, "the command ended"
        assert time.monotonic() < deadline
        if "/v1/authorize?" in line:
            link = line.strip()
        if "heck code: " in line:
            code = line.rpartition(" ")[2].strip()
    return link, code


def who_am_i(demo: RunningDemo, home: Path) -> Any:
    done = run_aws_cli(
        ("sts", "get-caller-identity", "--profile", "work", "--output", "json"),
        environment_of(demo, home),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["Arn"]


def serve(demo: RunningDemo, home: Path) -> subprocess.CompletedProcess[str]:
    """What the profile's credential_process prints."""
    return subprocess.run(
        [sys.executable, "-m", "broker", *("login", "--process", "--profile", "work")],
        env=environment_of(demo, home),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def age(home: Path) -> Path:
    """Have the stored credentials look as if they were about to end."""
    folder = home / ".aws" / "login" / "cache"
    (path,) = (p for p in folder.glob("*.json") if not p.name.startswith("broker-"))
    kept = json.loads(path.read_text())
    kept["accessToken"]["expiresAt"] = "2020-01-01T00:00:00Z"
    path.write_text(json.dumps(kept))
    return path


def test_the_browser_of_this_machine_logs_the_terminal_in(
    demo: RunningDemo, person: Person, tmp_path: Path
) -> None:
    config = tmp_path / ".aws" / "config"
    config.parent.mkdir()
    config.write_text("# mine\n[profile other]\nregion = eu-west-1\n")
    process = begin(demo, tmp_path)
    link, code = read_link(process)
    done = person.allow(link)
    assert done.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>You are logged in</h1>" in done.text
    assert code in person.consent
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert ANALYST in said
    assert config.read_text().startswith("# mine\n[profile other]\nregion = eu-west-1")
    assert who_am_i(demo, tmp_path) == ANALYST
    path = age(tmp_path)
    first = json.loads(path.read_text())
    served = json.loads(serve(demo, tmp_path).stdout)
    assert served["Version"] == 1
    assert served["AccessKeyId"] != first["accessToken"]["accessKeyId"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert who_am_i(demo, tmp_path) == ANALYST
    # Somebody else used a copy of the first refresh token: the login is over.
    path.write_text(json.dumps(first))
    over = serve(demo, tmp_path)
    assert over.returncode == 1
    assert "broker login --profile work" in over.stderr
    assert "Traceback" not in over.stderr


def test_a_machine_without_a_browser_shows_a_link_and_takes_a_code(
    demo: RunningDemo, person: Person, tmp_path: Path
) -> None:
    process = begin(demo, tmp_path, "--remote")
    link, code = read_link(process)
    page = person.allow(link)
    assert code in person.consent
    assert 'id="login_address">127.0.0.1<' in person.consent
    assert "broker login on" in person.consent
    shown = re.search(r'<pre id="login_code"[^>]*>([^<]+)<', page.text)
    assert shown, page.text
    _, said = process.communicate(f"{shown[1]}\n", timeout=30)
    assert process.returncode == 0, said
    assert who_am_i(demo, tmp_path) == ANALYST


def test_awss_own_login_provider_renews_against_the_broker(
    demo: RunningDemo, person: Person, tmp_path: Path
) -> None:
    process = begin(demo, tmp_path, "--login-session")
    link, _ = read_link(process)
    person.allow(link)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    path = age(tmp_path)
    before = json.loads(path.read_text())["refreshToken"]
    assert who_am_i(demo, tmp_path) == ANALYST
    assert json.loads(path.read_text())["refreshToken"] != before


def test_a_login_that_never_was_is_told(demo: RunningDemo, tmp_path: Path) -> None:
    done = serve(demo, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "You are not logged in" in done.stderr


@pytest.mark.parametrize(
    "text", ["", "nonsense", "c3RhdGU9eCZjb2RlPXk=", "Y29kZT15", "é"]
)
def test_a_code_of_another_login_is_not_taken(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_pasted_code(text, "mine")


def test_a_profile_is_changed_and_nothing_else() -> None:
    text = "[default]\nregion = x\n\n[profile a]\nregion = y\noutput = json\n[sso b]\n"
    once = set_in_section(text, "a", {"region": "z", "login_session": "s"})
    assert once == (
        "[default]\nregion = x\n\n[profile a]\nregion = z\nlogin_session = s\n"
        "output = json\n[sso b]\n"
    )
    assert set_in_section(once, "a", {"region": "z", "login_session": "s"}) == once
    assert set_in_section("", "default", {"a": "b"}) == "[default]\na = b\n"


@pytest.mark.parametrize("line", ["role_arn = x", "credential_process = other"])
def test_a_profile_with_other_credentials_is_left_alone(line: str) -> None:
    with pytest.raises(ValidationError, match="--profile"):
        set_in_section(f"[profile a]\n{line}\n", "a", {"region": "z"})
