"""IAM logins to a real PostgreSQL, as the recipe and its samples set them up."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import pytest
from botocore import auth
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support import signers
from tests.support.aws_cli import aws_cli_2
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.certificates import server_certificate
from tests.support.servers import PostgresqlServer, find_free_port, start_postgresql
from tests.support.walk import Walk, read_steps, walking

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "protected" / "postgresql"
RECIPE = ROOT / "docs" / "recipes" / "postgresql.md"
REGION = "us-east-1"
USERS = f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:orders"
_SECONDS = 30


@dataclass(frozen=True)
class World:
    broker: RunningBroker
    database: PostgresqlServer
    folder: Path
    certificate: Path
    alice: Key
    bob: Key

    @property
    def host(self) -> str:
        return f"localhost:{self.database.port}"

    def log_in(self, token: str, user: str = "reader", **environment: str) -> str:
        """Who one is, or empty; PostgreSQL's log has the rest."""
        place = f"host=localhost port={self.database.port} user={user} dbname=postgres"
        done = subprocess.run(
            ["psql", "-wAtc", "SELECT current_user", f"{place} sslmode=verify-full"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "PGPASSWORD": token,
                "PGSSLROOTCERT": str(self.certificate),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip()

    def token(self, key: Key, user: str = "reader") -> str:
        """As boto3 makes it."""
        client = boto3.client(
            "rds",
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
        )
        made: str = client.generate_db_auth_token("localhost", self.database.port, user)
        return made

    def said_by_the_database(self) -> str:
        return (self.database.folder / "server.log").read_text()


def sign(
    key: Key, url: str, *, service: str = "rds-db", seconds: int = 900, **other: str
) -> str:
    """A token that no client makes."""
    request = AWSRequest("GET", f"https://{url}", params=other)
    credentials = Credentials(
        key.access_key_id, key.secret_access_key, key.session_token
    )
    SigV4QueryAuth(credentials, service, REGION, seconds).add_auth(request)
    return str(request.url).removeprefix("https://")


@contextmanager
def answering(
    origin: str, token: str, hosts: tuple[str, ...], port: int, folder: Path
) -> Iterator[None]:
    """The program next to the database, with a clean environment."""
    words = [word for host in hosts for word in ("--database", host)]
    with (
        (folder / "logins.log").open("ab") as log,
        subprocess.Popen(
            [
                *(sys.executable, "-S", str(SAMPLES / "database_logins.py")),
                *("--broker", origin, "--resource", USERS),
                *("--listen", f"127.0.0.1:{port}", *words),
            ],
            env={"BROKER_SERVICE_TOKEN": token, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _SECONDS
            while not _listens(port):
                assert process.poll() is None, (folder / "logins.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def set_up(database: PostgresqlServer, logins_port: int, walk: Walk) -> Path:
    """What the recipe's administrator does; the certificate that clients trust."""
    certificate, key = server_certificate(name="localhost")
    data = database.folder / "data"
    owner = (data / "pg_hba.conf").stat()
    for name, text in (("server.crt", certificate), ("server.key", key)):
        (data / name).write_text(text)
        (data / name).chmod(0o600)
        os.chown(data / name, owner.st_uid, owner.st_gid)
    sample = (SAMPLES / "pg_hba.conf").read_text()
    assert "ldapport=389" in sample
    hba = sample.replace("ldapport=389", f"ldapport={logins_port}")
    old = (data / "pg_hba.conf").read_text()
    (data / "pg_hba.conf").write_text(f"{hba}\n{old}")
    shutil.copy(data / "server.crt", walk.folder / "ca.crt")
    walk.run(f"psql -q '{database.url}' -c 'ALTER SYSTEM SET ssl = on'")
    walk.do([s for s in read_steps(RECIPE, "At the database") if s.file])
    walk.run(f"psql -q '{database.url}' -f logins.sql")
    assert not walk.run(
        f"psql -At '{database.url}' -c 'SELECT error FROM pg_hba_file_rules"
        " WHERE error IS NOT NULL'"
    ).strip()
    return walk.folder / "ca.crt"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("logins")
    definition = (SAMPLES / "rds-db.yaml").read_text()
    assert '["db.example.com:5432"]' in definition
    with (
        running_broker(tmp_path_factory.mktemp("broker"), home_region=REGION) as broker,
        start_postgresql() as database,
    ):
        hosts = (f"localhost:{database.port}", "replica.example.com:5432")
        (folder / "rds-db.yaml").write_text(
            definition.replace('["db.example.com:5432"]', json.dumps(hosts))
        )
        root = broker.create_account()
        iam = broker.client("iam", root)
        keys = []
        for name in ("alice", "bob"):
            iam.create_user(UserName=name)
            made = iam.create_access_key(UserName=name)["AccessKey"]
            keys.append(Key.of(made))
        port = find_free_port()
        walk = Walk(
            folder,
            {
                **broker.environment,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "AWS_ENDPOINT_URL_IAM": broker.url,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": root.access_key_id,
                "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
                "PGSSLROOTCERT": "ca.crt",
            },
            instead={"db.example.com": "localhost", "5432": str(database.port)},
        )
        with walking(walk, shares_network=True) as here:
            certificate = set_up(database, port, here)
            here.do(read_steps(RECIPE, "At the broker"))
            made = broker.command("services", "token", "rds-db", "--account", ACCOUNT)
            with answering(broker.url, json.loads(made)["Token"], hosts, port, folder):
                for user in ("other", "a/reader"):
                    here.run(
                        f"psql -q '{database.url}' -c 'CREATE ROLE \"{user}\" LOGIN"
                        " IN ROLE iam_logins'"
                    )
                alice = keys[0]
                here.run(
                    f"export AWS_ACCESS_KEY_ID={alice.access_key_id}"
                    f" AWS_SECRET_ACCESS_KEY={alice.secret_access_key}"
                )
                here.do(read_steps(RECIPE, "Log in"))
                yield World(broker, database, folder, certificate, *keys)


def test_a_session_logs_in(world: World) -> None:
    """Its token is too long for PAM; boto3 makes it, and asyncpg uses it as psql does."""
    sts = world.broker.client("sts", world.alice)
    session = Key.of(sts.get_session_token()["Credentials"])
    token = world.token(session)
    assert len(token) > 512
    assert world.log_in(token) == "reader"
    assert world.log_in(token) == "reader", "within the time it can be used again"

    async def connect() -> Any:
        connection = await asyncpg.connect(
            host="localhost",
            port=world.database.port,
            user="reader",
            database="postgres",
            password=token,
            ssl="require",
        )
        try:
            return await connection.fetchval("SELECT current_user")
        finally:
            await connection.close()

    assert asyncio.run(connect()) == "reader"


def test_who_logged_in_is_recorded_with_the_reason(world: World) -> None:
    assert world.log_in(world.token(world.alice)) == "reader"
    assert world.log_in(world.token(world.bob)) == ""
    listed = world.broker.command("audit", "--json", "--action", "rds-db:connect")
    records = [json.loads(line) for line in listed.splitlines()]
    assert {record["decision"] for record in records} == {"allowed", "denied"}
    assert all(record["reason"] for record in records)
    said = world.said_by_the_database()
    assert "LDAP diagnostics: AccessDenied; broker explain " in said
    request_id = said.rpartition("broker explain ")[2].split()[0]
    why = world.broker.command("explain", request_id)
    assert f"{USERS}/reader" in why


def refused_tokens(world: World) -> dict[str, str]:
    alice, url = world.alice, f"{world.host}/?Action=connect&DBUser=reader"
    good = world.token(alice)
    wrong = replace(alice, secret_access_key="a" * 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            *(auth, "get_current_datetime"),
            lambda *_given, **_named: datetime.now(UTC) - timedelta(seconds=930),
        )
        old = sign(alice, url)
    return {
        "another user's": world.token(alice, "other"),
        "another user, unsigned": good.replace("DBUser=reader", "DBUser=other"),
        "a user more": f"{good}&DBUser=reader",
        "a field more": f"{good}&x=1",
        "a signed field more": sign(alice, url, x="1"),
        "another host": sign(alice, "other.example.com/?Action=connect&DBUser=reader"),
        "another port": sign(alice, "localhost:1/?Action=connect&DBUser=reader"),
        "another of its hosts": good.replace(world.host, "replica.example.com:5432"),
        "another action": sign(alice, f"{world.host}/?Action=drop&DBUser=reader"),
        "another path": sign(alice, f"{world.host}/x?Action=connect&DBUser=reader"),
        "another service": sign(alice, url, service="sts"),
        "too long": sign(alice, url, seconds=901),
        "too old": old,
        "signed with another key": sign(wrong, url),
        "cut": good[:-1],
        "with a scheme": f"https://{good}",
        "no token": "correct horse",
        "long": "x" * 65_530,
        "long token": f"{good}&x={'y' * 20_000}",
        "not text": good + "\u00e9",
    }


def test_other_tokens_do_not_log_in(world: World) -> None:
    for name, token in refused_tokens(world).items():
        assert world.log_in(token) == "", name
    assert world.log_in(world.token(world.alice, "a/reader"), "a/reader") == ""
    assert world.log_in(world.token(world.alice, "broker"), "broker") == "broker", (
        "not of iam_logins, and trusted by the lines below"
    )
    plain = {"PGSSLMODE": "disable"}
    place = f"host=localhost port={world.database.port} user=reader dbname=postgres"
    done = subprocess.run(
        ["psql", "-wAtc", "SELECT 1", place],
        env={
            "PATH": os.environ["PATH"],
            "PGPASSWORD": world.token(world.alice),
            **plain,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "pg_hba.conf rejects" in done.stderr
    assert world.log_in(world.token(world.alice)) == "reader"
    said = (world.folder / "logins.log").read_text() + world.said_by_the_database()
    assert "X-Amz-" not in said


@pytest.mark.parametrize(
    "language", ["javascript", pytest.param("go", marks=pytest.mark.long)]
)
def test_aws_sdks_make_tokens(world: World, language: str) -> None:
    place = "localhost", world.database.port
    token = signers.rds_token(language, world.alice, *place, "reader")
    assert world.log_in(token) == "reader"


def test_the_aws_cli_of_version_2(world: World) -> None:
    done = subprocess.run(
        [
            *(aws_cli_2(), "rds", "generate-db-auth-token", "--hostname", "localhost"),
            *("--port", str(world.database.port), "--username", "reader"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(world.folder),
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": world.alice.access_key_id,
            "AWS_SECRET_ACCESS_KEY": world.alice.secret_access_key,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert world.log_in(done.stdout.strip()) == "reader"


def test_a_revoked_session_logs_in_no_more(world: World) -> None:
    sts = world.broker.client("sts", world.alice)
    session = Key.of(sts.get_session_token()["Credentials"])
    token = world.token(session)
    assert world.log_in(token) == "reader"
    revoked = ("sessions", "revoke", session.access_key_id, "--reason", "left")
    world.broker.command(*revoked)
    deadline = time.monotonic() + _SECONDS
    while world.log_in(token):
        assert time.monotonic() < deadline
    assert world.log_in(world.token(world.alice)) == "reader"


def test_without_the_broker_nobody_logs_in(world: World) -> None:
    token = world.token(world.alice)
    world.broker.stop()
    try:
        assert world.log_in(token) == ""
        assert "the broker does not answer" in world.said_by_the_database()
    finally:
        world.broker.start()
    assert world.log_in(token) == "reader"


def test_a_broker_that_hangs_is_not_waited_for(world: World, tmp_path: Path) -> None:
    port = find_free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with answering(origin, "none", (world.host,), port, tmp_path):
            answers: list[bytes] = []

            def ask() -> None:
                name, password = b"reader", world.token(world.alice).encode()
                with socket.create_connection(("127.0.0.1", port), 60) as client:
                    client.sendall(bind(name, password))
                    answers.append(client.recv(1000))

            threads = [threading.Thread(target=ask) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert all(answer[9:10] == b"\x34" for answer in answers), answers
    assert len(answers) == 20


def bind(name: bytes, password: bytes) -> bytes:
    """A bind as libldap sends it."""
    size = len(password).to_bytes(2, "big")
    inner = b"\x02\x01\x03\x04" + bytes([len(name)]) + name + b"\x80\x82" + size
    inner += password
    bound = b"\x60\x82" + len(inner).to_bytes(2, "big") + inner
    message = b"\x02\x01\x01" + bound
    return b"\x30\x82" + len(message).to_bytes(2, "big") + message
