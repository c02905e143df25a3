"""``broker serve`` and ``broker demo`` where they cannot listen."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cli.listening import ListenError, listen, private_socket
from tests.support.forked import run_forked
from tests.support.rows import rows
from tests.support.servers import find_free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use; the one below it is not."""
    with socket.socket() as used:
        used.bind(("127.0.0.1", find_free_port() + 1))
        used.listen()
        yield used.getsockname()[1]


def test_every_address_of_a_host_is_listened_on() -> None:
    port = find_free_port()
    listeners = listen("localhost", port)
    try:
        for listener in listeners:
            listener.listen()
            with socket.create_connection(listener.getsockname()[:2], timeout=5):
                pass
    finally:
        for listener in listeners:
            listener.close()


def test_a_port_that_was_just_let_go_is_taken_over() -> None:
    port = find_free_port()
    (first,) = listen("127.0.0.1", port)
    first.listen()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        accepted, _ = first.accept()
        accepted.close()
        first.close()
        client.recv(1)
    (second,) = listen("127.0.0.1", port)
    second.close()


@rows("host, says")
def test_a_host_that_is_not_here_is_named(host: str, says: str) -> None:
    with pytest.raises(ListenError, match=says):
        listen(host, find_free_port())


def test_a_forbidden_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(ListenError, match="not allowed to listen on port 80 of 127"):
        listen("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("words", "less"),
    [(["serve"], 0), (["serve", "--workers", "2"], 0), (["demo"], 0), (["demo"], 1)],
)
def test_a_port_that_is_taken_is_told_in_one_sentence(
    tmp_path: Path, taken: int, words: list[str], less: int
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "BROKER_DATA_DIR": str(tmp_path / "data"),
    }
    done = run_forked([*words, "--port", str(taken - less)], environment)
    assert done.returncode == 1
    host = "localhost" if less else "127.0.0.1"
    assert done.stderr == (
        f"broker: port {taken} of {host} is in use by another program; stop it, or"
        f" use another port, such as --port {taken + 10}\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_private_socket_is_for_owner_and_group_while_it_is_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "private.sock"
    before = os.umask(0)
    try:
        with private_socket(path) as made:
            assert stat.S_IMODE(path.lstat().st_mode) == 0o660
            assert made.getsockname() == str(path)
            with pytest.raises(ListenError, match="in use"), private_socket(path):
                pass
            assert path.exists()
        assert not path.exists()
    finally:
        os.umask(before)


def test_a_stale_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "private.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with private_socket(path):
        assert path.is_socket()
    path.write_text("something")
    with pytest.raises(ListenError, match="not a socket"), private_socket(path):
        pass
    assert path.read_text() == "something"
    long = tmp_path / ("x" * 120)
    with pytest.raises(ListenError, match="cannot make"), private_socket(long):
        pass


def test_anothers_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "private.sock"
    with private_socket(path):
        path.rename(tmp_path / "old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.is_socket()
