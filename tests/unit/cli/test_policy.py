"""`broker policy`: checks of files, for people and for CI."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import Result
from typer.testing import CliRunner

from broker.cli.main import app
from tests.support.rows import of_file, rows

SARIF: Mapping[str, Any] = of_file(__file__, "SARIF")
"""The part of the standard's schema that is used, with no other members allowed."""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty folder, beside files with the policies of a row."""
    monkeypatch.chdir(tmp_path)

    def call(words: str, files: Mapping[str, Any] = {}, stdin: str = "") -> Result:
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
        return CliRunner(env={"COLUMNS": "400"}).invoke(
            app, ["policy", *words.split()], input=stdin
        )

    return call


@rows("files, command, exit_code, lines")
def test_what_is_told(
    run: Run, files: dict[str, Any], command: str, exit_code: int, lines: list[str]
) -> None:
    result = run(command, files)
    assert result.stdout.splitlines() == lines
    assert result.exit_code == exit_code, result.output


@rows("files, command, words")
def test_what_cannot_be_told_exits_with_2(
    run: Run, files: dict[str, Any], command: str, words: str
) -> None:
    result = run(command, files)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in " ".join(result.stderr.replace("│", "").split())


@rows("files, command, expected")
def test_json_has_the_place_and_the_whole_request(
    run: Run, files: dict[str, Any], command: str, expected: list[Any]
) -> None:
    result = run(f"{command} --json", files)
    entries = [json.loads(line) for line in result.stdout.splitlines()]
    assert [{k: e.get(k) for k in expected[i]} for i, e in enumerate(entries)] == (
        expected
    )


@pytest.mark.parametrize(
    "command", ["check new.json", "diff old.json new.json", "prove new.json"]
)
def test_sarif_follows_its_schema(run: Run, command: str) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}],
    }
    if command.startswith("prove"):
        command += " --action iam:CreateUser"
    result = run(f"{command} --sarif", {"new.json": policy, "old.json": ""})
    assert result.exit_code == 1
    log = json.loads(result.stdout)
    jsonschema.validate(log, SARIF)
    (run_,) = log["runs"]
    rules = [rule["id"] for rule in run_["tool"]["driver"]["rules"]]
    assert run_["results"]
    for entry in run_["results"]:
        assert rules[entry["ruleIndex"]] == entry["ruleId"]
        (location,) = entry["locations"]
        assert location["physicalLocation"]["artifactLocation"] == {"uri": "new.json"}


def test_a_name_with_accents_is_an_address_in_sarif(run: Run) -> None:
    result = run("check --sarif é.json", {"é.json": "{}"})
    location = json.loads(result.stdout)["runs"][0]["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"] == {"uri": "%C3%A9.json"}


def test_standard_input_is_a_file(run: Run) -> None:
    result = run("check -", stdin="{")
    assert result.exit_code == 1
    assert result.stdout.startswith("-:1:2: ERROR JSON_SYNTAX_ERROR: ")


def test_nothing_to_tell_is_an_empty_log(run: Run) -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": statement}
    result = run("diff a.json a.json --sarif", {"a.json": policy})
    assert result.exit_code == 0
    log = json.loads(result.stdout)
    jsonschema.validate(log, SARIF)
    assert log["runs"][0]["results"] == []


def test_control_characters_of_a_policy_stay_away_from_the_terminal(run: Run) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "s3:*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/a": "\x1b[2J"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    result = run("diff old.json new.json", {"old.json": "", "new.json": policy})
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "\\x1b[2J" in result.stdout
