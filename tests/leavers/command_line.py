"""The AWS CLI 2 in a home folder: it logs in, and then says who it is, or not."""

import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Protocol

from broker.console.client_settings import services_section
from tests.support.aws_cli import aws_cli_2
from tests.support.broker import REGION

_SECONDS = 120


class Allowing(Protocol):
    """A browser with a person who allows what the page asks for."""

    def allow(self, address: str) -> object:
        """Open the address, and allow it."""


class CommandLine:
    """Profiles by the documentation: ``work`` for the console, ``dev`` for the portal."""

    def __init__(self, folder: Path, url: str, number: str, role: str) -> None:
        home = folder / uuid.uuid4().hex
        (home / ".aws").mkdir(parents=True)
        (home / ".aws" / "config").write_text(
            f"""\
[profile work]
region = {REGION}
services = broker
[sso-session corp]
sso_start_url = https://{number}.awsapps.com/start
sso_region = {REGION}
sso_registration_scopes = sso:account:access
[profile dev]
region = {REGION}
sso_session = corp
sso_account_id = {number}
sso_role_name = {role}
services = broker
{services_section("broker", url)}"""
        )
        self._opened = home / "opened"
        browser = home / "browser"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {self._opened}\n')
        browser.chmod(0o755)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "BROWSER": str(browser),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [aws_cli_2(), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )

    def knows_itself(self, profile: str) -> bool:
        words = ("sts", "get-caller-identity", "--profile", profile)
        return self.run(*words).returncode == 0

    def log_in(self, browser: Allowing, *words: str) -> None:
        """Run a command that opens a browser, and allow there what it asks for."""
        self._opened.unlink(missing_ok=True)
        with subprocess.Popen(
            [aws_cli_2(), *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            while not self._opened.exists() or not self._opened.read_text():
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            browser.allow(self._opened.read_text())
            said, _ = process.communicate(timeout=_SECONDS)
        assert process.returncode == 0, said
