"""`aws login` against a real demo: sign-in, consent, credentials, renewal."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from tests.support.aws_cli import AWS_CLI_1, aws_cli_2, run_aws_cli
from tests.support.demo import RunningDemo, running_demo
from tests.support.signin import BROWSER

ANALYST = "arn:aws:sts::111122223333:assumed-role/Analyst/ben@example.com"


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
        return self.submit(page, answer="allow")


class Terminal:
    """A profile that names the broker, and AWS's programs."""

    def __init__(self, demo: RunningDemo, home: Path) -> None:
        self._folder = home / ".aws" / "login" / "cache"
        config = home / ".aws" / "config"
        config.parent.mkdir()
        config.write_text(
            "[profile work]\nregion = us-east-1\nservices = broker\n"
            "[services broker]\n"
            + "".join(
                f"{service} =\n  endpoint_url = {demo.broker}\n"
                for service in ("signin", "sts")
            )
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_EC2_METADATA_DISABLED": "true",
            # A browser that does nothing: the test plays the person.
            "BROWSER": "true",
        }

    def begin(self, *words: str) -> tuple[subprocess.Popen[str], str]:
        """Start `aws login`; the process, and the link that it shows."""
        process = subprocess.Popen(
            [aws_cli_2(), "login", "--profile", "work", *words],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "/v1/authorize?" in line:
                return process, line.strip()
        pytest.fail("the command ended")

    def who(self, program: str) -> subprocess.CompletedProcess[str]:
        words = ("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
        return run_aws_cli(
            (*words, "--profile", "work"), self.environment, program=program
        )

    def age(self) -> dict[str, Any]:
        """Have the kept credentials look as if they were about to end."""
        kept = self.kept()
        kept["accessToken"]["expiresAt"] = "2020-01-01T00:00:00Z"
        self.put(kept)
        return kept

    def kept(self) -> dict[str, Any]:
        (path,) = self._folder.glob("*.json")
        results: dict[str, Any] = json.loads(path.read_text())
        return results

    def put(self, kept: Mapping[str, Any]) -> None:
        (path,) = self._folder.glob("*.json")
        path.write_text(json.dumps(kept))


@pytest.fixture
def terminal(demo: RunningDemo, tmp_path: Path) -> Terminal:
    return Terminal(demo, tmp_path)


def finish(process: subprocess.Popen[str], text: str | None = None) -> None:
    said, _ = process.communicate(text, timeout=60)
    assert process.returncode == 0, said


def test_the_browser_of_this_machine_logs_the_terminal_in(
    person: Person, terminal: Terminal
) -> None:
    process, link = terminal.begin()
    assert person.allow(link).status_code == 200
    finish(process)
    for program in (aws_cli_2(), AWS_CLI_1):
        assert terminal.who(program).stdout.strip() == ANALYST
        first = terminal.age()
        assert terminal.who(program).stdout.strip() == ANALYST
        assert terminal.kept()["accessToken"] != first["accessToken"]


@pytest.mark.parametrize("share", [True, False], ids=["one cache", "copies of it"])
def test_commands_that_renew_at_the_same_time_keep_the_login(
    person: Person, terminal: Terminal, tmp_path: Path, share: bool
) -> None:
    """AWS's programs take no lock: each renews with the token that it has read."""
    process, link = terminal.begin()
    assert person.allow(link).status_code == 200
    finish(process)
    words = ("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    for _ in range(2):
        terminal.age()
        homes = [Path(terminal.environment["HOME"])] * 4
        if not share:
            homes = [tmp_path.parent / f"{tmp_path.name}-{n}" for n in range(4)]
            for home in homes:
                shutil.copytree(tmp_path, home, dirs_exist_ok=True)
        commands = [
            subprocess.Popen(
                [aws_cli_2(), *words, "--profile", "work"],
                env={**terminal.environment, "HOME": str(home)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for home in homes
        ]
        for command in commands:
            told, complaint = command.communicate(timeout=120)
            if share and re.search(r"\[ERROR\]: '[0-9a-f]{64}'", complaint):
                continue  # it read the shared file while another was writing it
            assert (command.returncode, told.strip()) == (0, ANALYST), complaint
    assert terminal.who(aws_cli_2()).stdout.strip() == ANALYST


def test_a_machine_without_a_browser_shows_a_link_and_takes_a_code(
    person: Person, terminal: Terminal
) -> None:
    process, link = terminal.begin("--remote")
    match = re.search(r'<pre id="login_code"[^>]*>([^<]+)<', person.allow(link).text)
    assert match
    finish(process, f"{match[1]}\n")
    assert terminal.who(aws_cli_2()).stdout.strip() == ANALYST
