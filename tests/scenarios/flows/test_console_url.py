"""`broker console-url`: from credentials in the environment into a real console."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from broker.cli.console_url import default_destination, find_endpoint
from broker.errors import ValidationError
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.rows import rows

POLICY = (
    '{"Version":"2012-10-17","Statement":'
    '{"Effect":"Allow","Action":"*","Resource":"*"}}'
)


@dataclass
class Place:
    broker: RunningBroker
    user: Key

    def link(
        self, key: Key, *words: str, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """What the command says with these credentials in the environment."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.broker.folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            **more,
        }
        if key.session_token:
            environment["AWS_SESSION_TOKEN"] = key.session_token
        return subprocess.run(
            [sys.executable, "-m", "broker", "console-url", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_broker(tmp_path_factory.mktemp("console-url")) as broker:
        iam = broker.client("iam", broker.create_account())
        iam.create_user(UserName="carol")
        iam.put_user_policy(UserName="carol", PolicyName="all", PolicyDocument=POLICY)
        key = Key.of(iam.create_access_key(UserName="carol")["AccessKey"])
        yield Place(broker, key)


def federation_token(place: Place) -> Key:
    sts = place.broker.client("sts", place.user)
    return Key.of(sts.get_federation_token(Name="dora", Policy=POLICY)["Credentials"])


@pytest.mark.quick
def test_the_link_opens_the_console_once(place: Place) -> None:
    done = place.link(
        federation_token(place),
        *("--endpoint", place.broker.url, "--issuer", "https://portal.example.org"),
    )
    assert done.returncode == 0, done.stderr
    link = done.stdout.strip()
    asked = parse_qs(urlsplit(link).query)
    assert asked["Issuer"] == ["https://portal.example.org"]
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.get(link)
        assert (page.status_code, str(page.url)) == (
            200,
            f"{place.broker.url}/console/",
        )
        assert "dora" in page.text
    with httpx2.Client(follow_redirects=True) as another:
        assert another.get(link).status_code == 400


def test_the_endpoint_of_the_credentials_is_enough(place: Place) -> None:
    key = federation_token(place)
    (place.broker.folder / "config").write_text(
        "[profile here]\nregion = us-east-1\nservices = b\n"
        f"[services b]\nsts =\n  endpoint_url = {place.broker.url}\n"
    )
    (place.broker.folder / "credentials").write_text(
        f"[here]\naws_access_key_id = {key.access_key_id}\n"
        f"aws_secret_access_key = {key.secret_access_key}\n"
        f"aws_session_token = {key.session_token}\n"
    )
    pasted = place.link(key, AWS_ENDPOINT_URL_STS=place.broker.url)
    profile = place.link(
        key,
        *("--profile", "here"),
        AWS_CONFIG_FILE=str(place.broker.folder / "config"),
        AWS_SHARED_CREDENTIALS_FILE=str(place.broker.folder / "credentials"),
    )
    for done in (pasted, profile):
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{place.broker.url}/federation?")


def test_a_profile_that_is_not_there_is_named(place: Place) -> None:
    done = place.link(place.user, "--profile", "nobody")
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_credential_is_written_to_the_log(place: Place) -> None:
    key = federation_token(place)
    done = place.link(key, "--endpoint", f"{place.broker.url}/federation")
    assert done.returncode == 0, done.stderr
    assert key.session_token is not None
    assert key.secret_access_key not in place.broker.log
    assert key.session_token[-60:] not in place.broker.log


def test_long_term_keys_are_refused_before_they_are_sent(place: Place) -> None:
    done = place.link(place.user, "--endpoint", place.broker.url)
    assert done.returncode == 1
    assert "long-term keys" in done.stderr


def test_a_refusal_is_told_without_a_traceback(place: Place) -> None:
    key = federation_token(place)
    done = place.link(key, "--endpoint", place.broker.url, "--duration", "3600")
    assert done.returncode == 1
    assert "status 400" in done.stderr
    assert "--duration" in done.stderr
    assert "Traceback" not in done.stderr
    assert key.secret_access_key not in done.stderr


@pytest.mark.parametrize(
    "url",
    ["", "http://broker.example.org", "ftp://127.0.0.1", "//x", "http://[1", "nowhere"],
)
def test_credentials_go_to_no_address_that_is_unsafe(url: str) -> None:
    with pytest.raises(ValidationError):
        find_endpoint(url, {})


def test_the_environment_names_the_broker() -> None:
    environment = {
        "AWS_ENDPOINT_URL": "https://api.example.org",
        "BROKER_PUBLIC_URL": "https://broker.example.org/",
    }
    assert find_endpoint(None, environment) == "https://broker.example.org"


@rows("endpoint, console")
def test_each_endpoint_has_its_own_console(endpoint: str, console: str) -> None:
    assert default_destination(endpoint) == console
