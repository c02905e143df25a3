"""A call that fails among good ones that came with it: each is answered as alone."""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.scenarios.installation import READER, Installation, trust
from tests.scenarios.test_faults import full_disk
from tests.support.broker import ACCOUNT, REGION, Key, running_broker
from tests.support.oidc_issuer import serving
from tests.support.servers import start_postgresql, start_redis
from tests.support.storage import STORAGES
from tests.support.waiting import until

GOOD = 31
FORM = {"content-type": "application/x-www-form-urlencoded"}
CLOSED = f"arn:aws:iam::{ACCOUNT}:role/Closed"


@dataclass
class Reply:
    status: int
    request_id: str
    code: str
    message: str

    @property
    def told(self) -> tuple[int, str, str]:
        """All but the request's id."""
        return self.status, self.code, self.message


@dataclass
class World:
    """A broker, a user without permissions, and how its database goes away."""

    installation: Installation
    user: Key
    stranger: Key
    without_database: Callable[[], AbstractContextManager[None]]

    def form(self, action: str, key: Key | None = None, /, **text: str) -> bytes:
        """A request of STS or IAM, as it goes over the wire."""
        is_sts = action.startswith(("Assume", "GetCaller"))
        version = "2011-06-15" if is_sts else "2010-05-08"
        body = urlencode({"Action": action, "Version": version, **text})
        return self.wire(body, key, "sts" if is_sts else "iam")

    def wire(self, body: str, key: Key | None = None, service: str = "sts") -> bytes:
        """A form, signed if there is a key."""
        url = f"{self.installation.broker.url}/"
        request = AWSRequest("POST", url, data=body, headers=dict(FORM))
        if key is not None:
            credentials = Credentials(key.access_key_id, key.secret_access_key)
            SigV4Auth(credentials, service, REGION).add_auth(request)
        fields = {**dict(request.headers.items()), "content-length": str(len(body))}
        host = url.split("/")[2]
        lines = [f"{name}: {value}" for name, value in {"host": host, **fields}.items()]
        return "\r\n".join(("POST / HTTP/1.1", *lines, "", body)).encode()

    def token(self, role: str = READER, **claims: object) -> bytes:
        """The exchange of a fresh token."""
        token = self.installation.issuer.issuer.token(**claims)
        params = {"RoleArn": role, "RoleSessionName": "together"}
        return self.form("AssumeRoleWithWebIdentity", **params, WebIdentityToken=token)

    def good(self) -> list[bytes]:
        """Mints and reads, of a provider and of a user."""
        calls = (
            self.token,
            lambda: self.form("GetCallerIdentity", self.user),
            lambda: self.form("GetUser", self.installation.root, UserName="good"),
        )
        return [calls[number % len(calls)]() for number in range(GOOD)]

    def send(self, *requests: bytes, leaving: bytes = b"") -> list[Reply]:
        """The replies to requests that are all sent before one is read.

        The client that sends ``leaving`` is gone by then.
        """
        host, port = self.installation.broker.url.split("/")[2].split(":")
        with ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection((host, int(port)), 60))
                for _ in (*requests, leaving)
            ]
            for request, client in zip((*requests, leaving), clients, strict=True):
                client.sendall(request)
            clients.pop().close()
            return [_read(client) for client in clients]

    def records(self) -> dict[str, dict[str, str]]:
        """The audit records by request id."""
        printed = self.installation.broker.command("audit", "--json", "--limit", "2000")
        return {
            entry["event_id"]: entry for entry in map(json.loads, printed.splitlines())
        }

    def records_of(self, *replies: Reply) -> dict[str, dict[str, str]]:
        """The same, when these replies are on record: the spool is written beside."""
        ids = {reply.request_id for reply in replies}

        def are_written() -> bool:
            return ids <= self.records().keys()

        asyncio.run(until(are_written))
        return self.records()


def _read(client: socket.socket) -> Reply:
    with HTTPResponse(client) as response:
        response.begin()
        body = response.read().decode()
    told = (re.findall(f"<{name}>(.*?)</", body) for name in ("Code", "Message"))
    code, message = ("".join(entry) for entry in told)
    request_id = response.headers["x-amzn-requestid"]
    return Reply(response.status, request_id, code, message)


@pytest.fixture(scope="module", params=STORAGES)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        stores = {}
        if request.param != "embedded":
            postgresql = stack.enter_context(start_postgresql())
            stores["database_url"] = postgresql.create_database("broker")
            stores["redis_url"] = stack.enter_context(start_redis()).url
        broker = stack.enter_context(
            running_broker(
                folder,
                internal_issuers=f"127.0.0.1:{issuer.port}",
                rate_limit="300",
                **stores,
            )
        )
        installation = Installation(broker, issuer)

        @contextmanager
        def without_database() -> Iterator[None]:
            if not stores:
                with full_disk(broker):
                    yield
                return
            postgresql.kill()
            try:
                yield
            finally:
                postgresql.start()

        iam = installation.iam
        iam.create_user(UserName="good")
        key = Key.of(iam.create_access_key(UserName="good")["AccessKey"])
        closed = trust(({"AWS": ACCOUNT}, "sts:AssumeRole", None))
        iam.create_role(RoleName="Closed", AssumeRolePolicyDocument=closed)
        yield World(
            installation, key, broker.create_account("210987654321"), without_database
        )


BAD: dict[str, tuple[Callable[[World], bytes], str, str]] = {
    "signature": (
        lambda world: world.form(
            "GetCallerIdentity", Key(world.user.access_key_id, "x" * 40)
        ),
        "SignatureDoesNotMatch",
        "refused",
    ),
    "expired token": (
        lambda world: world.token(exp=1_600_000_000),
        "ExpiredTokenException",
        "refused",
    ),
    "trust policy": (lambda world: world.token(CLOSED), "AccessDenied", "denied"),
    "permission": (
        lambda world: world.form("ListUsers", world.user),
        "AccessDenied",
        "denied",
    ),
    "parameter": (
        lambda world: world.form("GetUser", world.installation.root, UserName="?"),
        "ValidationError",
        "error",
    ),
    "form": (lambda world: world.wire("Action=%zz"), "MalformedQueryString", ""),
}
"""Makes the call; its error, and the outcome on record, if there is one."""


@pytest.mark.parametrize("kind", BAD)
def test_an_error_is_its_own_calls(world: World, kind: str) -> None:
    make, code, outcome = BAD[kind]
    (alone,) = world.send(make(world))
    first, *good = world.good()
    replies = world.send(first, *good[:15], make(world), *good[15:])
    failed = replies.pop(16)
    # A refused token's message has the time, to a second.
    assert (re.sub(r"\d{10}", "", str(failed.told)), failed.code) == (
        re.sub(r"\d{10}", "", str(alone.told)),
        code,
    )
    assert [reply.told for reply in replies] == [(200, "", "")] * GOOD
    records = world.records_of(*replies, *((alone, failed) if outcome else ()))
    assert {records[reply.request_id]["decision"] for reply in replies} == {"allowed"}
    recorded = [records.get(reply.request_id) for reply in (alone, failed)]
    assert [entry["decision"] if entry else "" for entry in recorded] == [outcome] * 2
    assert [entry["error_code"] if entry else code for entry in recorded] == [code] * 2


def test_a_throttled_account_throttles_no_other(world: World) -> None:
    refused: list[Reply] = []
    while not refused:  # all of them come within a second, sooner or later
        costly = [
            world.form("GetAccountAuthorizationDetails", world.stranger)
            for _ in range(GOOD)
        ]
        replies = world.send(*world.good(), *costly)
        assert {reply.status for reply in replies[:GOOD]} == {200}
        refused = [reply for reply in replies[GOOD:] if reply.status != 200]
    assert {reply.told for reply in refused} == {(400, "Throttling", "Rate exceeded")}
    records = world.records_of(*refused)
    codes = {records[reply.request_id]["error_code"] for reply in refused}
    assert codes == {"Throttling"}


def test_a_client_that_leaves_takes_none_along(world: World) -> None:
    for leaving in (world.token(), world.form("ListUsers", world.installation.root)):
        replies = world.send(*world.good(), leaving=leaving)
        assert {reply.status for reply in replies} == {200}


def test_a_mint_without_a_database_fails_alone(world: World) -> None:
    reads = [world.form("GetCallerIdentity", world.user) for _ in range(GOOD)]
    world.send(*reads, world.token())  # so that what they need is remembered
    with world.without_database():
        (alone,) = world.send(world.token())
        *replies, failed = world.send(*reads, world.token())
    for refused in (alone, failed):  # a cut connection may leave the outcome unknown
        assert (refused.status, refused.code) == (503, "ServiceUnavailable")
    assert {reply.status for reply in replies} == {200}
    known = world.records_of(*replies)
    for entry in (alone, failed):
        assert known.get(entry.request_id, {}).get("decision") != "allowed"
