"""STS-02 at the broker's door: what signers in use leave unsigned, and what others make of it.

Each signer is written after the package it is named for. The headers that they leave
out cannot be changed, put in or taken away by anybody who has not the secret.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.broker import ACCOUNT, REGION, Key
from tests.support.in_process import FORM, ORIGIN, InProcess, Reply, in_process

HOST = ORIGIN.partition("://")[2]
CALLER = b"Action=GetCallerIdentity&Version=2011-06-15"
DATE, TOKEN, HASH = "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"


@dataclass(frozen=True)
class Signer:
    """What a package signs of what it sends."""

    signed: tuple[str, ...]
    sends_hash: bool = True

    def headers(self, key: Key, body: bytes = CALLER) -> dict[str, str]:
        """The headers of a POST to the broker's address."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        payload = hashlib.sha256(body).hexdigest()
        sent = {"host": HOST, DATE: now}
        if self.sends_hash:
            sent[HASH] = payload
        if key.session_token is not None:
            sent[TOKEN] = key.session_token
        names = [name for name in self.signed if name in sent]
        canonical = "\n".join(
            (
                *("POST", "/", ""),
                *(f"{name}:{sent[name]}" for name in names),
                *("", ";".join(names), payload),
            )
        )
        scope = f"{now[:8]}/{REGION}/sts/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        derived = f"AWS4{key.secret_access_key}".encode()
        for part in scope.split("/"):
            derived = hmac.digest(derived, part.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
        signature = hmac.new(derived, to_sign.encode(), "sha256").hexdigest()
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={key.access_key_id}/{scope},"
            f" SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        return sent


SIGNERS = {
    "aws-requests-auth": Signer(("host", DATE, TOKEN)),
    "httpx-aws-auth": Signer(("host", DATE, TOKEN)),
    "httpx-auth-awssigv4": Signer(("host", DATE), sends_hash=False),
}
LOOSE = SIGNERS["httpx-auth-awssigv4"]


@dataclass(frozen=True)
class World:
    """A broker, the root's key and two sessions of the root's."""

    broker: InProcess
    root: Key
    one: Key
    other: Key

    async def post(self, headers: Mapping[str, str], body: bytes = CALLER) -> Reply:
        answer = await self.broker.http.post(
            f"{ORIGIN}/", content=body, headers={**FORM, **headers}
        )
        return Reply(answer.status_code, answer.headers, answer.content)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("unsigned")
    async with in_process(folder) as broker:
        root = await broker.create_account(ACCOUNT)
        users = [await _user(broker, root, name) for name in ("ann", "ben")]
        key, other = [
            Key.of((await broker.ask("sts", "GetSessionToken", user))["Credentials"])
            for user in users
        ]
        yield World(broker, root, key, other)


async def _user(broker: InProcess, root: Key, name: str) -> Key:
    await broker.ask("iam", "CreateUser", root, UserName=name)
    made = await broker.ask("iam", "CreateAccessKey", root, UserName=name)
    return Key.of(made["AccessKey"])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SIGNERS)
async def test_requests_of_signers_in_use_are_taken(world: World, name: str) -> None:
    for key, who in ((world.root, "root"), (world.one, "user/ann")):
        reply = await world.post(SIGNERS[name].headers(key))
        assert reply.parsed("sts", "GetCallerIdentity")["Arn"].endswith(who)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SIGNERS)
async def test_the_body_is_covered_all_the_same(world: World, name: str) -> None:
    other = CALLER.replace(b"GetCallerIdentity", b"GetSessionToken")
    headers = SIGNERS[name].headers(world.root)
    if HASH in headers:
        headers[HASH] = hashlib.sha256(other).hexdigest()
    reply = await world.post(headers, other)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.asyncio(loop_scope="module")
async def test_someone_elses_token_opens_nothing(world: World) -> None:
    headers = LOOSE.headers(world.one)
    assert world.other.session_token is not None
    reply = await world.post({**headers, TOKEN: world.other.session_token})
    assert (reply.status, reply.code) == (403, "InvalidClientTokenId")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_token_with_its_own_key_id_needs_its_own_secret(world: World) -> None:
    """Only the token and the key id are exchanged: the signature is then wrong."""
    headers = LOOSE.headers(world.one)
    assert world.other.session_token is not None
    proof = headers["authorization"].replace(
        world.one.access_key_id, world.other.access_key_id
    )
    reply = await world.post(
        {**headers, "authorization": proof, TOKEN: world.other.session_token}
    )
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_token_cannot_be_taken_away_or_put_in(world: World) -> None:
    without = LOOSE.headers(world.one)
    del without[TOKEN]
    assert world.one.session_token is not None
    added = {**LOOSE.headers(world.root), TOKEN: world.one.session_token}
    for headers in (without, added):
        reply = await world.post(headers)
        assert (reply.status, reply.code) == (403, "InvalidClientTokenId")


@pytest.mark.asyncio(loop_scope="module")
async def test_other_unsigned_headers_are_refused(world: World) -> None:
    headers = {**LOOSE.headers(world.root), "x-amz-target": "x"}
    reply = await world.post(headers)
    assert reply.code == "SignatureDoesNotMatch"
    assert reply.message.endswith("Header(s) not signed: x-amz-target.")
