"""Tokens that are read or refused before the broker is asked, and the bounds."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker.client.connections import Connections
from samples.protected.postgresql import database_logins
from samples.protected.postgresql.database_logins import (
    Database,
    DatabaseLogins,
    LoginRefused,
    main,
    read_login,
)
from tests.support.fake_broker import FakeBroker
from tests.support.rows import cases, of_file

RESOURCE = "arn:aws:rds-db:us-east-1:111122223333:dbuser:orders"
DATABASE = Database(frozenset({"db.example.com:5432"}), RESOURCE)
QUERY = "Action=connect&DBUser=reader&X-Amz-Signature=00"
TOKEN = f"db.example.com:5432/?{QUERY}"


def test_the_question_has_what_was_signed() -> None:
    token = TOKEN.replace("db.", "DB.")
    question = json.loads(read_login(DATABASE, "reader", token))
    assert question["Request"]["Target"] == f"/?{QUERY}"
    assert question["Request"]["Headers"] == [["host", "DB.example.com:5432"]]
    assert question["Request"]["Method"] == "GET"
    assert question["Actions"] == ["rds-db:connect"]
    assert question["Resources"] == [f"{RESOURCE}/reader"]
    assert "SourceIp" not in question["Request"]


def test_a_token_without_the_slash_is_the_same() -> None:
    """As AWS's SDK for Go makes it."""
    without = TOKEN.replace("/?", "?")
    assert read_login(DATABASE, "reader", without) == read_login(
        DATABASE, "reader", TOKEN
    )


@pytest.mark.parametrize("name", ["a+b", "J\u00f6rg", "a b", "x" * 63, "a:b*", "a&b"])
def test_a_users_name_is_compared_decoded(name: str) -> None:
    from urllib.parse import quote, quote_plus

    for encode in (quote, quote_plus):
        token = TOKEN.replace("=reader", f"={encode(name)}")
        question = json.loads(read_login(DATABASE, name, token))
        assert question["Resources"] == [f"{RESOURCE}/{name}"]


REFUSED = of_file(__file__, "REFUSED")


@pytest.mark.parametrize(("user", "token"), REFUSED.values(), ids=REFUSED)
def test_what_is_for_someone_else_is_refused(user: str, token: str) -> None:
    with pytest.raises(LoginRefused) as refused:
        read_login(DATABASE, user, token)
    assert "X-Amz" not in str(refused.value)


@pytest.mark.parametrize(
    "host", ["db.example.com", "db:x", "db:1/", "a@db:1", ":1", ""]
)
def test_a_host_has_a_port(host: str) -> None:
    with pytest.raises(ValueError, match=r"port|Port"):
        Database(frozenset({host}), RESOURCE)


@pytest.mark.parametrize(
    "arn", ["", "orders", f"{RESOURCE}/reader", RESOURCE.replace("rds-db", "rds")]
)
def test_a_resource_is_one_of_database_users(arn: str) -> None:
    with pytest.raises(ValueError, match="dbuser"):
        Database(DATABASE.hosts, arn)


ARGUMENTS = {
    "--broker": "http://127.0.0.1:1",
    "--database": "db.example.com:5432",
    "--resource": RESOURCE,
    "--listen": "127.0.0.1:0",
}


@cases("name, value")
def test_arguments_are_checked(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_SERVICE_TOKEN", "token")
    words = [word for pair in {**ARGUMENTS, name: value}.items() for word in pair]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code not in {0, None}


@asynccontextmanager
async def serving(broker: str) -> AsyncIterator[int]:
    connections = Connections(broker, "token", timeout_seconds=5, tls=None)
    logins = DatabaseLogins(DATABASE, connections)
    server = await asyncio.start_server(logins.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        connections.close()


def bound(name: bytes, password: bytes) -> bytes:
    inner = b"\x02\x01\x03\x04" + bytes([len(name)]) + name
    inner += b"\x80" + bytes([len(password)]) + password
    return (
        b"\x30"
        + bytes([len(inner) + 5])
        + b"\x02\x01\x01\x60"
        + bytes([len(inner)])
        + inner
    )


async def exchange(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    return answer


REFUSAL = {"Code": "SignatureDoesNotMatch", "Message": "no"}


async def exchange_or_nothing(port: int, sent: bytes) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await exchange(port, sent)
    return b""


ANSWERS = of_file(__file__, "ANSWERS")


@pytest.mark.parametrize("name", ANSWERS)
def test_only_a_plain_yes_lets_in(broker: FakeBroker, name: str) -> None:
    broker.status, broker.reply, code = ANSWERS[name]

    async def run() -> bytes:
        async with serving(broker.url) as port:
            return await exchange(port, bound(b"reader", TOKEN.encode()))

    assert asyncio.run(run())[7:10] == bytes([0x0A, 0x01, code])


def test_connections_are_bounded_in_number_and_time(
    monkeypatch: pytest.MonkeyPatch, broker: FakeBroker
) -> None:
    monkeypatch.setattr(database_logins, "CONNECTIONS_MAX", 2)

    async def run() -> list[bytes]:
        async with serving(broker.url) as port:
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            for _, writer in slow:
                writer.write(b"\x30")
            await asyncio.sleep(0)
            good = bound(b"reader", TOKEN.encode())
            refused = await exchange_or_nothing(port, good)
            for _, writer in slow:
                writer.close()
            again = b""
            while not again:  # until the server has seen them go
                again = await exchange_or_nothing(port, good)
            monkeypatch.setattr(database_logins, "CONNECTION_SECONDS", 0.01)
            endless = await exchange(port, b"\x30")
            return [refused, again[7:10], endless]

    assert asyncio.run(run()) == [b"", b"\x0a\x01\x00", b""]
