"""`broker config`: what is in force, and where it is from."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from broker.cli.main import app
from broker.settings import Settings
from tests.unit.cli.conftest import CommandLine


def settings(cli: CommandLine) -> dict[str, Any]:
    return {entry["Name"]: entry for entry in cli.lines("config", "--json")}


def test_every_setting_has_its_value_and_source(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_RATE_LIMIT", "7")
    monkeypatch.setenv("broker_regions", "us-east-1, eu-west-1")
    listed = settings(cli)
    assert listed.keys() == {f"BROKER_{name.upper()}" for name in Settings.model_fields}
    assert listed["BROKER_RATE_LIMIT"] == {
        "Name": "BROKER_RATE_LIMIT",
        "Value": "7",
        "Source": "BROKER_RATE_LIMIT",
    }
    assert listed["BROKER_REGIONS"]["Value"] == ["us-east-1", "eu-west-1"]
    assert listed["BROKER_REGIONS"]["Source"] == "broker_regions"
    assert listed["BROKER_AUDIT_DAYS"]["Source"] == "default"
    # What follows from others is shown as it is used.
    folder = cli.folder / "data"
    assert listed["BROKER_DATABASE_URL"]["Value"] == f"sqlite:///{folder / 'broker.db'}"
    assert listed["BROKER_KEYRING_FILE"]["Value"] == str(folder / "keyring.json")
    assert "http://127.0.0.1:8080/saml" in listed["BROKER_SAML_AUDIENCES"]["Value"]


def test_no_secret_is_shown(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_DATABASE_URL", "postgresql://user:hush@db/broker")
    monkeypatch.setenv("BROKER_REDIS_URL", "rediss://user:hush@cache:6379/0")
    for output in (cli("config"), cli("config", "--json")):
        assert "hush" not in output
        assert "db/broker" in output
        assert "cache:6379" in output


def test_a_setting_may_be_a_file(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "broker_rate_limit"
    file.write_text("9")
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path / "secrets")
    listed = settings(cli)["BROKER_RATE_LIMIT"]
    assert (listed["Value"], listed["Source"]) == ("9", str(file))


def test_what_is_no_setting_is_told(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_THING", "1")
    settings(cli)
    assert cli.stderr == "BROKER_THING is not a setting of the broker.\n"


def test_a_wrong_setting_is_told_and_nothing_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROKER_RATE_LIMIT", "many")
    result = CliRunner().invoke(app, ["config"])
    assert result.exit_code == 1
    assert "BROKER_RATE_LIMIT" in str(result.exception)
    assert result.stdout == ""
