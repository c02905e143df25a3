"""The command ``broker agent``: every failure is a line, and a status."""

import subprocess
import sys
from pathlib import Path

import pytest

from broker.agent.main import Order, find_order, run

TEXT = """
endpoint = "https://127.0.0.1:1"
region = "eu-west-3"
ca_file = "{0}/ca.pem"
[identity]
access_key_file = "{0}/credentials"
role_arn = "arn:aws:iam::111122223333:role/web"
"""


@pytest.mark.parametrize("what", ["serve", "check", "process"])
def test_authorities_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(TEXT.format(tmp_path))
    assert run(Order(what, config)) == 1
    written = capsys.readouterr()
    assert f"ca_file: {tmp_path}/ca.pem: " in written.out + written.err


@pytest.mark.parametrize("what", ["serve", "check", "process"])
def test_a_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    assert run(Order(what, tmp_path / "agent.toml")) == 1
    written = capsys.readouterr()
    assert "No such file" in written.out + written.err


def test_a_strangers_text_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in ("check", "process"):
        assert run(Order(what, Path(f"{tmp_path}/\x1b]0;title\x07\n"))) == 1
        written = capsys.readouterr()
        text = written.out + written.err
        assert "/?]0;title??: No such file" in text
        assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ("", Order()),
        ("check", Order("check")),
        ("process --config x.toml", Order("process", Path("x.toml"))),
        ("--config=x.toml", Order("serve", Path("x.toml"))),
        ("--config x.toml check", Order("check", Path("x.toml"))),
        ("check process", None),
        ("fetch", None),
        ("serve --config", None),
        ("check -h", None),
        ("--help", None),
    ],
)
def test_words_ask_for_one_thing(words: str, order: Order | None) -> None:
    assert find_order(words.split()) == order


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("-h", 0, "Provide a machine's credentials to the programs on it."),
        ("check --help", 0, "The agent's settings."),
        ("fetch", 2, "No such command 'fetch'"),
        ("serve --configuration x", 2, "No such option: --configuration"),
    ],
)
def test_help_and_mistakes_look_as_everywhere(
    words: str, status: int, text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "broker", "agent", *words.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert "Usage: " in done.stdout + done.stderr
    assert text in done.stdout + done.stderr
