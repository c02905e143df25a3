"""What the command line refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from broker.agent.http_server import bind
from broker.webhook.main import run
from tests.support.certificates import issue

NEEDED = {
    "--sts-endpoint": "https://broker.example.com",
    "--tls-certificate": "/nonexistent/tls.crt",
    "--tls-key": "/nonexistent/tls.key",
    "--api-server": "https://10.0.0.1",
}


def words(**more: str) -> list[str]:
    given = NEEDED | {f"--{name.replace('_', '-')}": one for name, one in more.items()}
    return [f"{name}={value}" for name, value in given.items()]


@pytest.mark.parametrize(
    "more",
    [
        {"sts_endpoint": "http://broker.example.com"},
        {"sts_endpoint": "https://"},
        {"sts_endpoint": "https://a:b"},
        {"sts_endpoint": "https://broker.example.com/?x=1"},
        {"sts_endpoint": "https://user@broker.example.com"},
        {"api_server": "http://10.0.0.1"},
        {"listen": "8443"},
        {"token_seconds": "599"},
        {"token_seconds": "x"},
        {"region": "eu west"},
        {"annotation_prefix": "a/b"},
        {"mount_path": "run"},
        {"mount_path": "/"},
        {"audience": ""},
    ],
    ids=str,
)
def test_a_wrong_word_is_refused(
    more: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(words(**more))
    assert ended.value.code == 2
    (name,) = more
    assert f"--{name.replace('_', '-')}" in capsys.readouterr().err


def test_outside_a_cluster_the_api_server_must_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SystemExit):
        run([word for word in words() if "api-server" not in word])
    assert "--api-server" in capsys.readouterr().err


def test_without_a_certificate_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    assert run(words(listen="127.0.0.1:0")) == 1
    assert "/nonexistent/tls.crt and /nonexistent/tls.key cannot be used" in caplog.text


def test_without_its_address_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = issue("webhook")
    (tmp_path / "tls.crt").write_text(served.pem)
    (tmp_path / "tls.key").write_text(served.key_pem)
    with bind("127.0.0.1", 0) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        files = {
            "tls_certificate": str(tmp_path / "tls.crt"),
            "tls_key": str(tmp_path / "tls.key"),
        }
        assert run(words(listen=listen, **files)) == 1
    assert f"{listen} cannot be opened: Address already in use" in caplog.text


def test_it_imports_little() -> None:
    """It runs in every cluster next to other things: it requests 48 MiB."""
    code = (
        "import sys; sys.argv = ['broker', 'webhook', '--help']\n"
        "from broker.__main__ import run\n"
        "try: run()\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert not modules & {"typer", "cryptography", "pydantic", "sqlalchemy", "uvicorn"}
