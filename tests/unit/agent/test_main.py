"""The command ``broker agent``: every failure is a line, and a status."""

from pathlib import Path

import pytest

from broker.agent.main import run

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
    assert run([what, "--config", str(config)]) == 1
    written = capsys.readouterr()
    assert f"ca_file: {tmp_path}/ca.pem: " in written.out + written.err


@pytest.mark.parametrize("what", ["serve", "check", "process"])
def test_a_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    assert run([what, "--config", str(tmp_path / "agent.toml")]) == 1
    written = capsys.readouterr()
    assert "No such file" in written.out + written.err


def test_a_strangers_text_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in ("check", "process"):
        assert run([what, "--config", f"{tmp_path}/\x1b]0;title\x07\n"]) == 1
        written = capsys.readouterr()
        text = written.out + written.err
        assert "/?]0;title??: No such file" in text
        assert text.count("\n") == 1
