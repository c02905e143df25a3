"""The agent's endpoints on real sockets: what gets an answer, and what does not."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.agent import http_server
from broker.agent.configuration import Address, ContainerSettings, MetadataSettings
from broker.agent.container import ContainerEndpoint, ensure_token
from broker.agent.credentials import V1, V2, Credentials, Grant
from broker.agent.http_server import Answer, Server, bind
from broker.agent.metadata import Metadata
from tests.support.rows import cases, of_file

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
INSTANCE = "arn:aws:ec2:eu-west-3:111122223333:instance/i-0123456789abcdef0"
GRANT = Grant(
    account="111122223333",
    role_name="web",
    role_arn="arn:aws:iam::111122223333:role/web",
    instance_arn=INSTANCE,
    profile_arn="arn:aws:iam::111122223333:instance-profile/web",
    profile_id="AIPAEXAMPLE",
)
TOKEN = "/latest/api/token"
ROLE = "/latest/meta-data/iam/security-credentials/web"


def credentials(name: str) -> Credentials:
    return Credentials(
        access_key_id=name,
        secret_access_key="secret",
        session_token="token",
        expires_at=NOW + timedelta(hours=6),
        updated_at=NOW,
    )


@dataclass
class Kept:
    """What a keeper shows, as set by the test."""

    grant: Grant | None = GRANT
    has_ended: bool = False
    error: str = ""
    is_away: bool = False

    def find(self, delivery: str = V2) -> Credentials | None:
        if self.is_away or self.grant is None:
            return None
        return credentials("ASIAV1" if delivery == V1 else "ASIAV2")

    async def wait_for(self, delivery: str = V2) -> Credentials | None:
        return self.find(delivery)

    async def wait_for_grant(self) -> Grant | None:
        return self.grant


class Client:
    """Sends bytes to a server of the agent's and reads what comes back."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, raw: bytes) -> bytes:
        """All that is answered until the server closes, or waits for more."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(
        self, path: str, *headers: str, method: str = "GET", host: str = ""
    ) -> tuple[int, str]:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host or f'127.0.0.1:{self.port}'}",
            *headers,
        ]
        answer = await self.send("\r\n".join([*lines, "", ""]).encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()

    async def token(self, seconds: str = "60") -> tuple[int, str]:
        return await self.ask(
            "/latest/api/token",
            f"X-aws-ec2-metadata-token-ttl-seconds: {seconds}",
            method="PUT",
        )

    async def get(self, path: str, *headers: str, **more: Any) -> tuple[int, str]:
        _, token = await self.token()
        text = f"X-aws-ec2-metadata-token: {token}"
        return await self.ask(path, text, *headers, **more)


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def serve(handler: Any, listener: Any) -> AsyncIterator[Client]:
    server = Server(handler)
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(server, sock=listener)
    yield Client(listener.getsockname()[1])
    listening.close()
    server.close()
    await asyncio.sleep(0)


@pytest.fixture
async def metadata(kept: Kept) -> AsyncIterator[Client]:
    async for client in metadata_of(kept, MetadataSettings()):
        yield client


async def metadata_of(
    kept: Any, settings: MetadataSettings, **more: Any
) -> AsyncIterator[Client]:
    listener = bind("127.0.0.1", 0)
    address = Address("127.0.0.1", listener.getsockname()[1])
    made = Metadata(settings, "eu-west-3", kept, further=(address,), **more)
    async for client in serve(made.answer, listener):
        yield client


async def test_paths_of_an_instance(metadata: Client) -> None:
    listed = "hostname\niam/\ninstance-id\nlocal-hostname\nplacement/\nservices/"
    assert await metadata.get("/latest/meta-data/") == (200, listed)
    for path, expected in {
        "/": "latest",
        "/latest/": "dynamic/\nmeta-data/",
        "/latest/meta-data/instance-id": "i-0123456789abcdef0",
        "/2021-07-15/meta-data/instance-id": "i-0123456789abcdef0",
        "/latest/meta-data/placement/region": "eu-west-3",
        "/latest/meta-data/placement/availability-zone/": "eu-west-3a",
        "/latest/meta-data/iam/": "info\nsecurity-credentials/",
        "/latest/meta-data/iam/security-credentials": "web",
        "/latest/meta-data/iam/security-credentials/": "web",
    }.items():
        assert await metadata.get(path) == (200, expected), path
    _, text = await metadata.get(ROLE)
    assert json.loads(text) == {
        "Code": "Success",
        "LastUpdated": "2026-11-27T12:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAV2",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2026-11-27T18:00:00Z",
    }
    _, text = await metadata.get("/latest/meta-data/iam/info")
    assert json.loads(text)["InstanceProfileId"] == "AIPAEXAMPLE"
    _, text = await metadata.get("/latest/dynamic/instance-identity/document")
    document = json.loads(text)
    assert document["instanceId"] == "i-0123456789abcdef0"
    assert document["accountId"] == "111122223333"


@cases("path")
async def test_what_is_not_there(metadata: Client, path: str) -> None:
    status, text = await metadata.get(path)
    assert status == 404
    assert "secret" not in text


@pytest.mark.parametrize(
    "seconds", ["0", "21601", "-1", "+60", "6 0", "", "1e3", "٦", "999999999999"]
)
async def test_a_tokens_time(metadata: Client, seconds: str) -> None:
    assert (await metadata.token(seconds))[0] == 400


async def test_a_token_is_for_its_time_and_this_agent(kept: Kept) -> None:
    now = [1000.0]
    made = metadata_of(kept, MetadataSettings(), now=lambda: now[0])
    other = metadata_of(kept, MetadataSettings(), now=lambda: now[0])
    async for client in made:
        status, token = await client.token("21600")
        assert status == 200
        text = f"X-aws-ec2-metadata-token: {token}"
        assert (await client.ask(ROLE, text))[0] == 200
        async for stranger in other:
            assert (await stranger.ask(ROLE, text))[0] == 401
        for changed in (
            token[:-4] + "AAA=",
            token[4:],
            token + token,
            "AAAA",
            f"!{token}",
            f"{token[:8]} {token[8:]}",
            f"{token}====",
            token[:20] + token[24:20:-1] + token[24:],
            "",
            "ä",
        ):
            wrong = f"X-aws-ec2-metadata-token: {changed}"
            assert (await client.ask(ROLE, wrong))[0] == 401, changed
        now[0] += 21_601
        assert (await client.ask(ROLE, text))[0] == 401


async def test_version_1_is_off(metadata: Client) -> None:
    assert (await metadata.ask(ROLE))[0] == 401


async def test_version_1_gets_credentials_of_its_own(kept: Kept) -> None:
    async for client in metadata_of(kept, MetadataSettings(allow_v1=True)):
        _, text = await client.ask(ROLE)
        assert json.loads(text)["AccessKeyId"] == "ASIAV1"
        _, text = await client.get(ROLE)
        assert json.loads(text)["AccessKeyId"] == "ASIAV2"
        wrong = "X-aws-ec2-metadata-token: x"
        assert (await client.ask(ROLE, wrong))[0] == 401


async def test_a_name_counts_for_credentials_that_come_late(kept: Kept) -> None:
    class Late(Kept):
        def find(self, delivery: str = V2) -> Credentials | None:
            del delivery
            return None

        async def wait_for(self, delivery: str = V2) -> Credentials | None:
            return kept.find(delivery)

    async for client in metadata_of(Late(), MetadataSettings()):
        assert (await client.get(ROLE))[0] == 200
        status, text = await client.get(f"{ROLE[:-3]}db")
        assert (status, "secret" in text) == (404, False)


STRANGERS = of_file(__file__, "STRANGERS")
HOSTS = of_file(__file__, "HOSTS")


@pytest.mark.parametrize("header", STRANGERS)
async def test_strangers_get_neither_token_nor_answer(
    metadata: Client, header: str
) -> None:
    ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60"
    put = await metadata.ask("/latest/api/token", ttl, header, method="PUT")
    assert put[0] == 403
    assert (await metadata.get(ROLE, header))[0] == 403


@pytest.mark.parametrize("host", HOSTS)
async def test_a_name_that_was_made_to_point_here(metadata: Client, host: str) -> None:
    assert (await metadata.get(ROLE, host=host))[0] == 403


@pytest.mark.parametrize("host", ["instance-data", "localhost", "127.0.0.1", "node-1"])
async def test_names_that_are_this_machines(kept: Kept, host: str) -> None:
    settings = MetadataSettings(host_names=("node-1",))
    async for client in metadata_of(kept, settings):
        assert (await client.get(ROLE, host=f"{host}"))[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET http://127.0.0.1/latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 403),
        (b"PUT /latest HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
            431,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            + b"".join(b"X%d: x\r\n" % entry for entry in range(100))
            + b"\r\n",
            400,
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (
            (
                b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"X-aws-ec2-metadata-token-ttl-seconds: 60\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            411,
        ),
        (
            (
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\n\r\n"
            ),
            403,
        ),
    ],
)
async def test_odd_requests(metadata: Client, raw: bytes, status: int) -> None:
    answer = await metadata.send(raw)
    assert answer.split()[1] == b"%d" % status
    assert b"Location" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1


ENDLESS = {
    "trailers": b"0\r\n" + b"".join(b"X%d: x\r\n" % entry for entry in range(5000)),
    "one trailer": b"0\r\nX: " + b"x" * 100_000,
    "a chunk's extension": b"1;" + b"x" * 100_000,
}


@pytest.mark.parametrize("rest", ENDLESS.values(), ids=ENDLESS.keys())
async def test_what_follows_a_head_is_bounded(metadata: Client, rest: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", metadata.port)
    writer.write(head + rest)  # and no end
    with contextlib.suppress(ConnectionResetError):
        assert (await asyncio.wait_for(reader.read(), 10)).split()[1] == b"411"
    writer.close()


async def test_a_client_that_does_not_read_is_left(metadata: Client) -> None:
    """Its answers are not kept for it, however much it asks."""
    _, token = await metadata.token()
    request = (
        f"GET {ROLE} HTTP/1.1\r\nHost: localhost\r\n"
        f"X-aws-ec2-metadata-token: {token}\r\n\r\n"
    ).encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)  # the library's
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", metadata.port))
        sending = loop.sock_sendall(client, request * 200_000)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await asyncio.wait_for(sending, 30)


async def test_slashes_at_the_start_are_one(metadata: Client) -> None:
    """AWS's SDK for Java, with an endpoint that ends with a slash."""
    status, token = await metadata.ask(
        f"/{TOKEN}", "X-aws-ec2-metadata-token-ttl-seconds: 60", method="PUT"
    )
    assert status == 200
    text = f"X-aws-ec2-metadata-token: {token}"
    assert await metadata.ask(f"/{ROLE}", text) == await metadata.get(ROLE)
    names = f"/{ROLE.removesuffix('web')}"
    assert await metadata.ask(names, text) == (200, "web")


async def test_one_connection_serves_in_turn(metadata: Client) -> None:
    _, token = await metadata.token()
    reader, writer = await asyncio.open_connection("127.0.0.1", metadata.port)
    request = (
        f"GET {ROLE} HTTP/1.1\r\nHost: localhost\r\n"
        f"X-aws-ec2-metadata-token: {token}\r\n\r\n"
    ).encode()
    for _ in range(3):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        length = int(head.partition(b"Content-Length: ")[2].split()[0])
        assert b"ASIAV2" in await reader.readexactly(length)
    writer.close()


def test_full_endpoints_leave_files_for_the_broker() -> None:
    usual, own, backlogs = 1024, 64, 2 * 128
    assert 2 * http_server.CONNECTIONS_MAX + backlogs + own <= usual


async def test_idle_connections_end(
    metadata: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "IDLE_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", metadata.port)
    writer.write(b"GET /latest")  # and nothing more
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_no_role_no_credentials_and_the_end(kept: Kept, metadata: Client) -> None:
    kept.is_away = True
    assert (await metadata.get(ROLE))[0] == 503
    kept.grant = Grant(account="111122223333", instance_arn=INSTANCE)
    roles = "/latest/meta-data/iam/security-credentials/"
    assert (await metadata.get(roles))[0] == 404
    assert (await metadata.get(ROLE))[0] == 404
    assert (await metadata.get("/latest/meta-data/iam/info"))[0] == 404
    assert (await metadata.get("/latest/meta-data/instance-id"))[0] == 200
    kept.grant = None
    assert (await metadata.get(roles))[0] == 503
    kept.has_ended = True
    assert (await metadata.get(roles))[0] == 404


@pytest.fixture
async def container(kept: Any, tmp_path: Path) -> AsyncIterator[Client]:
    path = tmp_path / "token"
    path.write_text("right")
    listener = bind("127.0.0.1", 0)
    address = Address("127.0.0.1", listener.getsockname()[1])
    made = ContainerEndpoint(
        ContainerSettings(token_file=path), kept, further=(address,)
    )
    async for client in serve(made.answer, listener):
        yield client


async def test_container_credentials(
    kept: Kept, container: Client, tmp_path: Path
) -> None:
    for path in ("/", "/v2/credentials/x"):
        status, text = await container.ask(path, "Authorization: right")
        assert status == 200
        assert json.loads(text) == {
            "AccessKeyId": "ASIAV2",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2026-11-27T18:00:00Z",
            "AccountId": "111122223333",
            "RoleArn": "arn:aws:iam::111122223333:role/web",
        }
    for wrong in ("Authorization: wrong", "Authorization:", "X: right"):
        assert (await container.ask("/", wrong))[0] == 401
    (tmp_path / "token").write_text("another")
    assert (await container.ask("/", "Authorization: right"))[0] == 401
    assert (await container.ask("/", "Authorization: another"))[0] == 200
    (tmp_path / "token").unlink()
    assert (await container.ask("/", "Authorization: another"))[0] == 401
    assert (await container.ask("/", "Authorization:"))[0] == 401
    (tmp_path / "token").write_text("right")
    kept.is_away = True
    assert (await container.ask("/", "Authorization: right"))[0] == 503
    kept.grant = Grant(account="111122223333", instance_arn=INSTANCE)
    assert (await container.ask("/", "Authorization: right"))[0] == 404


@pytest.mark.parametrize("header", STRANGERS)
async def test_strangers_get_no_container_credentials(
    container: Client, header: str
) -> None:
    assert (await container.ask("/", "Authorization: right", header))[0] == 403


@pytest.mark.parametrize("host", HOSTS)
async def test_nor_by_another_name(container: Client, host: str) -> None:
    assert (await container.ask("/", "Authorization: right", host=host))[0] == 403
    answer = await container.ask("/", "Authorization: right", method="POST")
    assert answer[0] == 405


def test_a_token_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    ensure_token(path)
    made = path.read_text()
    assert made == made.strip()
    assert path.stat().st_mode & 0o777 == 0o600
    ensure_token(path)
    assert path.read_text() == made


def test_answers_travel_so_many_hops() -> None:
    with bind("127.0.0.1", 0, 1) as four, bind("::1", 0, 2) as six:
        assert four.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) == 2


def test_nothing_secret_in_words() -> None:
    assert "secret" not in repr(credentials("A")) + repr(Answer())
