"""A person's home folder, in which the AWS CLI logs in to the portal."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider

from broker.console.client_settings import services_section
from tests.support.aws_cli import aws_cli_2, run_aws_cli
from tests.support.broker import ACCOUNT, REGION


class Allowing(Protocol):
    """A browser with a person who allows what the page asks for."""

    def allow(self, address: str) -> object:
        """Open the address, and allow it."""


class Home:
    """A home folder with the configuration of the documentation, and an AWS CLI."""

    def __init__(
        self,
        folder: Path,
        url: str,
        role: str = "Reader",
        *,
        program: str = "",
        start_url: str = f"https://{ACCOUNT}.awsapps.com/start",
        one_endpoint: bool = False,
    ) -> None:
        self.program = program or aws_cli_2()
        self.folder = folder
        self.url = url
        self.opened = folder / "opened"
        browser = folder / "browser"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {self.opened}\n')
        browser.chmod(0o755)
        leading_here = f"services = broker\n{services_section('broker', url)}"
        if one_endpoint:
            leading_here = f"endpoint_url = {url}"
        (folder / ".aws").mkdir()
        (folder / ".aws" / "config").write_text(
            f"""\
[sso-session corp]
sso_start_url = {start_url}
sso_region = {REGION}
sso_registration_scopes = sso:account:access
[profile dev]
region = {REGION}
sso_session = corp
sso_account_id = {ACCOUNT}
sso_role_name = {role}
{leading_here}
"""
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "AWS_PROFILE": "dev",
            "BROWSER": str(browser),
        }

    def aws(self, *words: str, program: str = "") -> str:
        done = run_aws_cli(words, self.environment, program=program or self.program)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def refuse(self, *words: str) -> str:
        """What the command says when it fails."""
        done = run_aws_cli(words, self.environment, program=self.program)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def log_in(self, browser: Allowing, *words: str) -> None:
        """Run the command, and do in the browser what it asks for."""
        failed: list[BaseException] = []

        def run() -> None:
            try:
                self.aws("sso", "login", *words)
            except BaseException as error:  # noqa: BLE001  # told by the main thread
                failed.append(error)

        self.opened.unlink(missing_ok=True)
        command = threading.Thread(target=run)
        command.start()
        deadline = time.monotonic() + 60
        while not self.opened.exists() or not self.opened.read_text():
            assert command.is_alive(), failed
            assert time.monotonic() < deadline
            time.sleep(0.05)
        browser.allow(self.opened.read_text())
        command.join(60)
        assert not failed, failed

    @property
    def _token_file(self) -> Path:
        folder = self.folder / ".aws" / "sso" / "cache"
        (path,) = (p for p in folder.glob("*.json") if "accessToken" in p.read_text())
        return path

    @property
    def token(self) -> dict[str, Any]:
        self._path = self._token_file
        results: dict[str, Any] = json.loads(self._path.read_text())
        return results

    def keep(self, token: dict[str, Any]) -> None:
        self._path.write_text(json.dumps(token))

    def forget_credentials(self) -> None:
        """Those of a role, which the CLI keeps in addition to the token."""
        for path in (self.folder / ".aws" / "cli" / "cache").glob("*.json"):
            path.unlink()

    def boto3_session(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_CONFIG_FILE", str(self.folder / ".aws" / "config"))
            patch.setenv("HOME", str(self.folder))
            folder = str(self.folder / ".aws" / "sso" / "cache")
            patch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", folder)
            patch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", folder)
            session = boto3.Session(profile_name="dev")
            session.get_credentials()
            session.client("sts")
            return session

    def boto3_who(self) -> str:
        arn: str = self.boto3_session().client("sts").get_caller_identity()["Arn"]
        return arn

    def who(self, program: str = "") -> str:
        told = self.aws(
            "sts", "get-caller-identity", "--output", "json", program=program
        )
        arn: str = json.loads(told)["Arn"]
        return arn
