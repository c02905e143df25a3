"""Real servers for tests: PostgreSQL and Redis on free loopback ports.

Each is stopped by the context manager that started it, whatever happens. When the
tests run as root the servers run as an unprivileged user (PostgreSQL insists).
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import count
from pathlib import Path

from tests.support.kept import UNTIL_THE_END

_READY_SECONDS = 30
_UNPRIVILEGED = ("postgres", "nobody")

_PORT_PAIRS = 1_100
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % 10
_FIRST_PORT = 10_000 + 2 * _PORT_PAIRS * _WORKER
_TURNS = count(secrets.randbelow(_PORT_PAIRS))


class Server(ABC):
    """A process that can be stopped, killed, frozen and started again."""

    runs_as_root = False

    def __init__(self, command: list[str], folder: Path, port: int) -> None:
        self.port = port
        self.folder = folder
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                **({} if self.runs_as_root else as_unprivileged()),
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "server.log").read_text(errors="replace")
                self.kill()
                raise RuntimeError(f"{self._command[0]} did not start: {said[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order; its clients are cut off."""
        self._signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self._signal_family(signal.SIGKILL)
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """It accepts connections (the kernel does) and never answers."""
        self._signal_family(signal.SIGSTOP)

    def thaw(self) -> None:
        """End a freeze."""
        self._signal_family(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.send_signal(number)
            self._process.wait(_READY_SECONDS)
            self._process = None

    def _signal_family(self, number: signal.Signals) -> None:
        """PostgreSQL answers from children, each in a process group of its own."""
        if self._process is not None:
            for pid in (self._process.pid, *find_children(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    @abstractmethod
    def _is_ready(self) -> bool: ...


class RedisServer(Server):
    """A Redis without persistence."""

    @property
    def url(self) -> str:
        """For ``BROKER_REDIS_URL``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self, *words: str) -> bytes:
        """Send one command and return its raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(" ".join(words).encode() + b"\r\n")
            return client.recv(65536)

    def _is_ready(self) -> bool:
        try:
            return self.command("PING").startswith(b"+PONG")
        except OSError:
            return False


class PostgresqlServer(Server):
    """A PostgreSQL whose superuser ``broker`` needs no password."""

    def __init__(
        self, command: list[str], folder: Path, port: int, binaries: Path
    ) -> None:
        super().__init__(command, folder, port)
        self._binaries = binaries

    @property
    def url(self) -> str:
        """For ``BROKER_DATABASE_URL``: the database that always exists."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The address of one database."""
        return f"postgresql://broker@127.0.0.1:{self.port}/{name}"

    def create_database(self, name: str, template: str = "template0") -> str:
        """Make a database; its address."""
        self._run("createdb", "-T", template, name)
        return self.database_url(name)

    @property
    def data(self) -> Path:
        """The folder of its cluster."""
        return Path(self._command[self._command.index("-D") + 1])

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints of one value."""
        words = ["-d", database, "-XAtqc", statement]
        return self._run("psql", *words).decode().strip()

    def drop_database(self, name: str) -> None:
        """Remove a database and everyone in it."""
        self._run("dropdb", "--force", "--if-exists", name)

    def _run(self, program: str, *arguments: str) -> bytes:
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "broker"]
        return subprocess.run(
            [str(self._binaries / program), *place, *arguments],
            check=True,
            capture_output=True,
            timeout=30,
        ).stdout

    def _is_ready(self) -> bool:
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        command = [str(self._binaries / "pg_isready"), "-q", *place]
        return subprocess.run(command, check=False).returncode == 0


def find_redis() -> str | None:
    """The server's program, None when it is not installed."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's programs, None when it is not installed."""
    paths = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if paths:
        return paths[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


@contextlib.contextmanager
def start_redis(*options: str) -> Iterator[RedisServer]:
    """A running Redis, empty; ``options`` go on its command line."""
    program = find_redis()
    if program is None:
        raise RuntimeError("redis-server is not installed")
    with server_folder() as folder:
        port = find_free_port()
        place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        memory = ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        server = RedisServer([program, *place, *memory, *options], folder, port)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def start_redis_cluster() -> Iterator[RedisServer]:
    """A cluster of one node: it refuses whatever spans slots, as a large one does."""
    # By default the nodes talk 10,000 ports higher, where there may be none.
    bus = ["--cluster-port", str(find_free_port())]
    with start_redis("--cluster-enabled", "yes", *bus) as server:
        server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        deadline = time.monotonic() + _READY_SECONDS
        while b"cluster_state:ok" not in server.command("CLUSTER", "INFO"):
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster does not come up")
            time.sleep(0.02)
        yield server


@contextlib.contextmanager
def start_redis_family(masters: int = 3) -> Iterator[list[RedisServer]]:
    """A cluster of masters, then as many replicas, one of each; it notices in 0.5 s."""
    with ExitStack() as stack:
        nodes: list[RedisServer] = []
        buses: list[int] = []
        for _ in range(2 * masters):
            buses.append(find_free_port())
            options = (
                *("--cluster-enabled", "yes", "--cluster-port", str(buses[-1])),
                *("--cluster-node-timeout", "500"),
                *("--cluster-replica-validity-factor", "0"),
                *("--repl-diskless-sync-delay", "0"),
            )
            nodes.append(stack.enter_context(start_redis(*options)))
        first = nodes[0]
        for node, bus in list(zip(nodes, buses, strict=True))[1:]:
            first.command("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(bus))
        bounds = [16384 * number // masters for number in range(masters + 1)]
        for number in range(masters):
            ends = str(bounds[number]), str(bounds[number + 1] - 1)
            nodes[number].command("CLUSTER", "ADDSLOTSRANGE", *ends)
        for master, replica in zip(nodes[:masters], nodes[masters:], strict=True):
            name = master.command("CLUSTER", "MYID").split()[1].decode()
            _wait(lambda n=name, r=replica: _follow(r, n))
        _wait(lambda: all(is_whole(node) for node in nodes))
        _wait(lambda: all(is_in_step(replica) for replica in nodes[masters:]))
        yield nodes


def _follow(replica: RedisServer, name: str) -> bool:
    """Whether it knows the master already."""
    return replica.command("CLUSTER", "REPLICATE", name).startswith(b"+OK")


def is_whole(node: RedisServer) -> bool:
    """Whether a node thinks that its cluster serves."""
    return b"cluster_state:ok" in node.command("CLUSTER", "INFO")


def is_in_step(replica: RedisServer) -> bool:
    """Whether a replica has what its master has."""
    return b"master_link_status:up" in replica.command("INFO", "replication")


def is_master(node: RedisServer) -> bool:
    """Whether it is one by now."""
    return b"role:master" in node.command("INFO", "replication")


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError("the servers do not find together")
        time.sleep(0.02)


@contextlib.contextmanager
def start_redis_sentinel(master: RedisServer, name: str) -> Iterator[RedisServer]:
    """A sentinel that watches one master under a name."""
    program = find_redis()
    if program is None:
        raise RuntimeError("redis-server is not installed")
    with server_folder() as folder:
        port = find_free_port()
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {name} 127.0.0.1 {master.port} 1\n"
        )
        account = _find_account()
        if account is not None:
            os.chown(settings, account.pw_uid, account.pw_gid)
        server = RedisServer([program, str(settings), "--sentinel"], folder, port)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def start_postgresql(
    *, fsync: bool = False, data: Path | None = None
) -> Iterator[PostgresqlServer]:
    """A running PostgreSQL; without ``fsync`` it is quick and forgets at a crash.

    ``data`` is the folder of a cluster that is there; by default a new one is made.
    """
    binaries = find_postgresql()
    if binaries is None:
        raise RuntimeError("PostgreSQL is not installed")
    with server_folder() as folder:
        if data is None:
            data = folder / "data"
            subprocess.run(
                ["cp", "-a", str(_fresh_cluster(binaries)), str(data)],
                check=True,
                **as_unprivileged(),
            )
        port = find_free_port()
        place = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        settings = ["max_connections=100", "shared_buffers=32MB", "jit=off"]
        if not fsync:
            settings += ["fsync=off", "full_page_writes=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        server = PostgresqlServer(
            [str(binaries / "postgres"), *place, *options], folder, port, binaries
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


@cache
def _fresh_cluster(binaries: Path) -> Path:
    """What initdb makes, once for this process, to be copied."""
    folder = UNTIL_THE_END.enter_context(server_folder())
    data = folder / "data"
    first = ["-D", str(data), "-U", "broker", "--auth=trust", "--no-sync"]
    subprocess.run(
        [str(binaries / "initdb"), *first, "-E", "UTF8", "--locale=C"],
        check=True,
        capture_output=True,
        cwd=folder,
        **as_unprivileged(),
    )
    return data


def find_free_port() -> int:
    """A loopback port that is free, with the next one, and that no other caller gets.

    It is below those that the kernel gives to outgoing connections, one of which could
    have it before the server does. Each process of a run has a range of its own.
    """
    while True:
        port = _FIRST_PORT + 2 * (next(_TURNS) % _PORT_PAIRS)
        with contextlib.suppress(OSError), ExitStack() as probes:
            for candidate in (port, port + 1):
                probe = probes.enter_context(socket.socket())
                probe.bind(("127.0.0.1", candidate))
            return port


def find_children(parent: int) -> list[int]:
    return [pid for pid, (ppid, _) in _processes().items() if ppid == parent]


def find_workers(supervisor: int) -> set[int]:
    """The workers of a `broker serve` that began a session.

    They are forked from a child of it, and may outlive that one.
    """
    return {
        pid
        for pid, (parent, session) in _processes().items()
        if session == supervisor and supervisor not in {pid, parent}
    }


def processor_seconds(pid: int) -> float:
    """What a process, its children and its workers have used of the processors."""
    family = {pid, *find_children(pid), *find_workers(pid)}
    # The clock of another process, as clock_getcpuclockid(3) makes its number.
    return sum(time.clock_gettime(~each << 3 | 2) for each in family)


def _processes() -> dict[int, tuple[int, int]]:
    """Parent and session of each process."""
    results = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in brackets may hold anything.
            state, parent, _, session, *_ = (
                status.read_text().rpartition(")")[2].split(maxsplit=4)
            )
            if state != "Z":
                results[int(status.parent.name)] = int(parent), int(session)
    return results


def as_unprivileged() -> dict[str, object]:
    """Options of a subprocess that may not run as root, as PostgreSQL may not."""
    account = _find_account()
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _find_account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """A folder for a server, its own if it runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="broker-test-"))
    account = _find_account()
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
