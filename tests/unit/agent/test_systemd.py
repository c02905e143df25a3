"""Sockets that systemd hands over, and word to it: from a real process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from broker.agent.systemd import take_sockets

STARTER = """
import os, socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
other = os.dup2(listener.fileno(), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1",
               "LISTEN_FDNAMES": "metadata", "NOTIFY_SOCKET": sys.argv[1]}
os.set_inheritable(3, True)
os.execv(sys.executable, [sys.executable, "-m", "broker", "agent", "--config", sys.argv[2]])
"""


def test_it_takes_the_socket_and_says_that_it_is_ready(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(
        'endpoint = "http://127.0.0.1:1"\nregion = "eu-west-3"\n'
        f'state_dir = "{tmp_path}"\n'
        f'[identity]\njoin_token_file = "{tmp_path}/none"\n'
    )
    told = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(told))
        listener.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(told), str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},
            text=True,
        )
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            assert listener.recv(100) == b"READY=1"
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 ")
            process.terminate()
            assert listener.recv(100) == b"STOPPING=1"
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"},
        {"LISTEN_PID": str(os.getpid())},
    ],
)
def test_nothing_is_taken_that_was_not_handed_over(told: dict[str, str]) -> None:
    environment = {**told, "LISTEN_FDNAMES": "metadata", "PATH": "/bin"}
    assert not take_sockets(environment)
    assert environment == {"PATH": "/bin"}, "no child takes it for its own"
