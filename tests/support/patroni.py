"""A Patroni cluster of two PostgreSQL servers, with a third voter for its Raft."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path

import yaml

from tests.support.replicas import owner_of
from tests.support.servers import (
    PostgresqlServer,
    as_unprivileged,
    find_free_port,
    find_postgresql,
    server_folder,
)

_SECONDS = 60
_PASSWORD = "in-this-cluster-alone"


def find_patroni() -> str | None:
    """The program, None when it is not installed."""
    if shutil.which("patroni_raft_controller") is None:
        return None
    return shutil.which("patroni")


class PatroniNode:
    """One Patroni, and the PostgreSQL that it starts and stops."""

    def __init__(self, name: str, folder: Path, raft: int, others: list[int]) -> None:
        binaries = find_postgresql()
        assert binaries is not None
        self.name = name
        self.folder = folder
        self.rest = find_free_port()
        data, port = folder / "data", find_free_port()
        self.postgresql = PostgresqlServer(
            ["postgres", "-D", str(data)], folder, port, binaries
        )
        self._process: subprocess.Popen[bytes] | None = None
        superuser = {"username": "broker", "password": _PASSWORD}
        settings = {
            "scope": "broker",
            "name": name,
            "restapi": {
                "listen": f"127.0.0.1:{self.rest}",
                "connect_address": f"127.0.0.1:{self.rest}",
            },
            "raft": raft_settings(folder, raft, others),
            "bootstrap": {
                "dcs": {
                    "ttl": 20,
                    "loop_wait": 1,
                    "retry_timeout": 3,
                    "postgresql": {"use_pg_rewind": True},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
                "pg_hba": [
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                    "local all all trust",
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{port}",
                "connect_address": f"127.0.0.1:{port}",
                "data_dir": str(data),
                "bin_dir": str(binaries),
                "pgpass": str(folder / "pgpass"),
                "authentication": {
                    "superuser": superuser,
                    "replication": superuser,
                    "rewind": superuser,
                },
                "parameters": {"unix_socket_directories": str(folder)},
            },
        }
        self._settings = folder / "patroni.yml"
        self._settings.write_text(yaml.safe_dump(settings), "utf-8")
        os.chown(self._settings, *owner_of(folder))

    def start(self) -> None:
        with (self.folder / "patroni.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(find_patroni()), str(self._settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **as_unprivileged(),
            )

    def kill(self) -> None:
        """As if the power went."""
        for pid in (self._postmaster(), self._process.pid if self._process else 0):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_SECONDS)
            self._process = None

    def is_in_role(self, role: str) -> bool:
        """Whether it is ``primary``, or a ``replica`` that streams."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.rest}/{role}", timeout=5
            ) as answer:
                state = json.loads(answer.read())
        except (urllib.error.URLError, OSError):
            return False
        return bool(state["state"] == "running")

    def hand_over(self, to: "PatroniNode") -> None:
        """A planned switchover."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest}/switchover",
            json.dumps({"leader": self.name, "candidate": to.name}).encode(),
            {"Content-Type": "application/json"},
        )

        def is_done() -> bool:
            """Patroni refuses while the other is not known to be in step."""
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                    return bool(answer.status == HTTPStatus.OK)
            except urllib.error.HTTPError:
                return to.is_in_role("primary")

        wait_until(is_done)

    def _postmaster(self) -> int:
        try:
            return int((self.postgresql.data / "postmaster.pid").read_text().split()[0])
        except OSError:
            return 0


def raft_settings(folder: Path, port: int, others: list[int]) -> dict[str, object]:
    (folder / "raft").mkdir()
    os.chown(folder / "raft", *owner_of(folder))
    return {
        "data_dir": str(folder / "raft"),
        "self_addr": f"127.0.0.1:{port}",
        "partner_addrs": [f"127.0.0.1:{other}" for other in others],
    }


@contextmanager
def start_patroni() -> Iterator[tuple[PatroniNode, PatroniNode]]:
    """The primary, and the replica that streams from it."""
    rafts = [find_free_port() for _ in range(3)]
    with ExitStack() as stack:
        folders = [stack.enter_context(server_folder()) for _ in rafts]
        stack.enter_context(voting(folders[2], rafts[2], rafts[:2]))
        nodes = [
            PatroniNode(name, folders[n], rafts[n], [p for p in rafts if p != rafts[n]])
            for n, name in enumerate(("one", "two"))
        ]
        for node, role in zip(nodes, ("primary", "replica"), strict=True):
            node.start()
            stack.callback(node.kill)
            wait_until(lambda n=node, r=role: n.is_in_role(r))
        yield nodes[0], nodes[1]


@contextmanager
def voting(folder: Path, port: int, others: list[int]) -> Iterator[None]:
    """A member of the Raft without a database."""
    file = folder / "raft.yml"
    file.write_text(
        yaml.safe_dump({"raft": raft_settings(folder, port, others)}), "utf-8"
    )
    os.chown(file, *owner_of(folder))
    with (folder / "raft.log").open("wb") as log:
        process = subprocess.Popen(
            ["patroni_raft_controller", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **as_unprivileged(),
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(_SECONDS)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the cluster does not come to that"
        time.sleep(0.1)
