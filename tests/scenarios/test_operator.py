"""What an operator does to a service that runs: it shows at once, and on record."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from broker.cli.main import app
from broker.sessions.keys import SEALS_AFTER
from tests.scenarios.installation import READER, Installation
from tests.support.broker import ACCOUNT, Key, running_broker
from tests.support.forked import run_forked
from tests.support.oidc_issuer import serving

_FOLLOWS_WITHIN_SECONDS = 3.0


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("operated")
    with (
        serving("/idp") as issuer,
        running_broker(
            folder, internal_issuers=f"127.0.0.1:{issuer.port}", audit_days="30"
        ) as broker,
    ):
        yield Installation(broker, issuer)


def command(installation: Installation, *words: str) -> str:
    """What a command prints; in this process, where nothing is to be imported."""
    environment = dict(installation.broker.environment)
    done = CliRunner(env=environment).invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def code_of(call: Callable[..., Any], **params: Any) -> str:
    """The error code of a call; empty when it succeeds."""
    try:
        call(**params)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def comes(condition: Callable[[], bool], *, after: timedelta = timedelta()) -> bool:
    """Whether it comes true ``after`` a time and that which changes may take."""
    seconds = after.total_seconds() + _FOLLOWS_WITHIN_SECONDS
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def identity_code(installation: Installation, credentials: dict[str, Any]) -> str:
    sts = installation.broker.client("sts", Key.of(credentials))
    return code_of(sts.get_caller_identity)


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_session_is_listed_shown_and_ended(operated: Installation) -> None:
    answer = operated.web_identity(RoleSessionName="listed")
    credentials = answer["Credentials"]
    key = credentials["AccessKeyId"]
    # The record is written behind the answer.
    assert comes(
        lambda: key in command(operated, "sessions", "list", "--account", ACCOUNT)
    )
    listed = [
        json.loads(line)
        for line in command(
            operated, "sessions", "list", "--account", ACCOUNT, "--json"
        ).splitlines()
    ]
    assert [s["principal_arn"] for s in listed if s["access_key_id"] == key] == [
        answer["AssumedRoleUser"]["Arn"]
    ]
    view = json.loads(command(operated, "sessions", "show", key))
    assert view["state"] == "live"
    assert view["minted_by"] == answer["ResponseMetadata"]["RequestId"]
    assert credentials["SecretAccessKey"] not in str(view)

    command(operated, "sessions", "revoke", key, "--reason", "lost laptop")
    assert comes(lambda: identity_code(operated, credentials) == "ExpiredToken")
    assert json.loads(command(operated, "sessions", "show", key))["state"] == "revoked"
    assert key not in command(operated, "sessions", "list", "--account", ACCOUNT)
    record = command(operated, "audit", "--action", "broker:RevokeSessions", "--json")
    assert "lost laptop" in record


@pytest.mark.parametrize("target", [READER, ACCOUNT, "provider"])
def test_all_sessions_up_to_now_end_and_later_ones_live(
    operated: Installation, target: str
) -> None:
    if target == "provider":
        host = operated.issuer.host_and_path
        target = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
    before = operated.web_identity()["Credentials"]
    assert identity_code(operated, before) == ""
    command(operated, "sessions", "revoke", target)
    assert comes(lambda: identity_code(operated, before) == "ExpiredToken")
    after = operated.web_identity()["Credentials"]
    assert identity_code(operated, after) == ""


def test_a_provider_made_one_time_refuses_the_second_exchange(
    operated: Installation,
) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{operated.issuer.host_and_path}"
    command(operated, "providers", "set", arn, "OneTimeUse=true")
    try:
        token = operated.issuer.issuer.token(jti="only-once")

        def is_spent() -> bool:
            return bool(code_of(operated.web_identity, WebIdentityToken=token))

        assert comes(is_spent)
        # The token, and not its use for one of the roles that it opens.
        other = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/Admin"}
        assert code_of(operated.web_identity, WebIdentityToken=token, **other) == (
            "InvalidIdentityToken"
        )
        assert comes(
            lambda: (
                '"error_code": "InvalidIdentityToken"'
                in command(operated, "audit", "--outcome", "refused", "--json")
            )
        )
    finally:
        command(operated, "providers", "set", arn, "OneTimeUse=")
        assert comes(lambda: code_of(operated.web_identity) == "")


def test_rotated_keys_take_over_without_a_restart(operated: Installation) -> None:
    broker = operated.broker
    before = operated.web_identity()["Credentials"]
    command(operated, "keys", "rotate")
    assert comes(
        lambda: _use(operated, "session", "3") == "seals and opens", after=SEALS_AFTER
    )
    after = operated.web_identity()["Credentials"]
    for credentials in (before, after):
        assert identity_code(operated, credentials) == ""
    assert code_of(broker.client("sts", operated.root).get_caller_identity) == ""

    printed = command(operated, "keys", "revoke", "1")
    assert before["AccessKeyId"] in printed
    assert comes(lambda: identity_code(operated, before) == "InvalidClientTokenId")
    assert identity_code(operated, after) == ""


def test_the_numbers_name_no_account_and_no_arn(operated: Installation) -> None:
    operated.web_identity()
    answer = operated.saml(response := operated.assertion())
    assert answer["Credentials"]
    assert code_of(operated.saml, response=response) == "InvalidIdentityToken"
    text = read(f"{operated.broker.url}/metrics")
    for line in (
        'broker_requests_total{action="AssumeRoleWithWebIdentity",outcome="ok"}',
        'broker_requests_total{action="AssumeRoleWithSAML",outcome="InvalidIdentityToken"}',
        'broker_ledger_writes_total{operation="mint",outcome="replayed"}',
    ):
        assert line in text
    assert ACCOUNT not in text
    assert "arn:" not in text
    assert str(operated.issuer.port) not in text


def test_an_unknown_action_makes_no_new_series(operated: Installation) -> None:
    url = f"{operated.broker.url}/?Action=MadeUp1&Version=2011-06-15"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=10)
    refused.value.close()
    assert "MadeUp1" not in read(f"{operated.broker.url}/metrics")


def test_the_doctor_finds_the_installation_fit(operated: Installation) -> None:
    printed = command(operated, "doctor")
    assert "keys available" in printed
    assert operated.root.access_key_id in printed


def test_a_deleted_account_takes_its_sessions_along(operated: Installation) -> None:
    other = "222222222222"
    key = operated.broker.create_account(other)
    sts = operated.broker.client("sts", key)
    assert comes(lambda: code_of(sts.get_caller_identity) == "")
    command(operated, "account", "delete", other, "--yes")
    assert comes(lambda: code_of(sts.get_caller_identity) == "InvalidClientTokenId")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"BROKER_PUBLIC_URL": "http://broker.example.com"}, "BROKER_PUBLIC_URL"),
        ({"BROKER_REGIONS": "moon"}, "BROKER_REGIONS"),
        ({"BROKER_INTERNAL_ISSUERS": "no port"}, "BROKER_INTERNAL_ISSUERS"),
        ({"BROKER_METRICS_ALLOW": "everybody"}, "BROKER_METRICS_ALLOW"),
        ({"BROKER_DATABASE_URL": "mysql://u:hunter2@h/x"}, "mysql"),
    ],
)
def test_the_service_does_not_start_with_settings_that_make_no_sense(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    done = _serve(tmp_path, **settings)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_the_service_does_not_start_without_its_keyring(tmp_path: Path) -> None:
    with running_broker(tmp_path, start=False) as broker:
        broker.create_account()
        keyring = tmp_path / "data" / "keyring.json"
        keyring.unlink()
        done = _serve(tmp_path)
        assert done.returncode != 0
        assert "restore it from your backup" in done.stderr
        assert "Traceback" not in done.stderr
        assert not keyring.exists()


def _serve(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    params = {"PATH": os.environ["PATH"], "BROKER_DATA_DIR": str(folder / "data")}
    return run_forked(("serve", "--port", "1"), {**params, **settings})


def _use(operated: Installation, kind: str, number: str) -> str:
    """What a key does now."""
    keys = map(json.loads, command(operated, "keys", "list", "--json").splitlines())
    (use,) = [
        str(key["use"])
        for key in keys
        if (key["kind"], str(key["number"])) == (kind, number)
    ]
    return use
