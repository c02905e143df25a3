"""The hooks of Ceph, MinIO and RustFS, in the formats of their documentation and source."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from broker.stores.directory import kinds
from broker.stores.directory.readings import TOKENS
from tests.support.decisions import ACCOUNT, AskingService
from tests.support.in_process import ORIGIN, Reply, in_process
from tests.support.lost_readings import lose
from tests.support.rows import of_file
from tests.support.versitygw import DEFINITION

_STATEMENTS: list[dict[str, Any]] = of_file(__file__, "_STATEMENTS")
POLICY = {"Version": "2012-10-17", "Statement": _STATEMENTS}


class World(Struct):
    service: AskingService

    async def post(
        self, store: str, body: object, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """A hook's request; without ``headers`` with the store's own."""
        own = {
            "ceph": {"X-Auth-Token": self.service.token, "Expect": "100-continue"},
            "minio": {"Authorization": self.service.token},
        }[store]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.service.broker.http.post(
            f"{ORIGIN}/v1/data/{store}/authz",
            content=content,
            headers={
                "Content-Type": "application/json",
                **(own if headers is None else headers),
            },
        )
        return Reply(answer.status_code, answer.headers, answer.content)

    async def ask(self, store: str, params: object) -> bool:
        reply = await self.post(store, {"input": params})
        assert reply.status == 200, reply.body
        (allowed,) = json.loads(reply.body).values()
        assert isinstance(allowed, bool)
        return allowed

    async def ceph(self, method: str, key: str = "", **more: Any) -> bool:
        return await self.ask("ceph", ceph(method, key, **more))

    async def minio(self, action: str, key: str = "", **more: Any) -> bool:
        return await self.ask("minio", minio(action, key, **more))


def ceph(
    method: str,
    key: str = "",
    *,
    params: str = "",
    user: str = "alice",
    bucket: str = "reports",
    **more: object,
) -> dict[str, Any]:
    """What Ceph 18 sends (recorded); the user's keys are part of it.

    For what is about no bucket, or one that is not there yet, ``bucket_info`` is absent.
    """
    path = f"/{bucket}/{key}" if key else f"/{bucket}"
    parameters: dict[str, Any] = {
        "method": method,
        "relative_uri": path,
        "decoded_uri": path,
        "params": params,
        "request_uri_aws4": path,
        "object_name": key,
        "subuser": "",
        "user_info": {
            "user_id": user,
            "display_name": "Alice",
            "keys": [{"user": user, "access_key": "A", "secret_key": "S"}],
        },
    }
    if bucket:
        owned = {"bucket": {"name": bucket, "tenant": ""}, "owner": user}
        parameters["bucket_info"] = owned
    return {name: v for name, v in (parameters | more).items() if v is not None}


def minio(
    action: str, key: str = "", *, account: str = "alice", **conditions: list[str]
) -> dict[str, Any]:
    """What the plugin's guide shows."""
    told = {
        "Authorization": ["AWS4-HMAC-SHA256 Credential=alice/20260507/…"],
        "CurrentTime": ["2022-05-07T18:31:41Z"],
        "EpochTime": ["1651948301"],
        "Referer": [""],
        "SecureTransport": ["false"],
        "SourceIp": ["127.0.0.1"],
        "User-Agent": ["MinIO (linux; amd64)"],
        "UserAgent": ["MinIO (linux; amd64)"],
        "principaltype": ["Account"],
        "userid": ["alice"],
        "username": ["alice"],
        "versionid": [""],
    }
    return {
        "account": account,
        "groups": None,
        "action": action,
        "bucket": "reports",
        "object": key,
        "conditions": {**told, **conditions},
        "owner": False,
        "claims": {},
        "denyOnly": False,
    }


def rustfs(
    action: str, key: str = "", *, account: str = "alice", **conditions: list[str]
) -> dict[str, Any]:
    """What RustFS's source builds (July 2026); it adds the client's headers."""
    arn = f"arn:aws:s3:::reports/{key}" if key else "arn:aws:s3:::reports"
    told = {
        "CurrentTime": ["2026-07-26T18:31:41Z"],
        "EpochTime": ["1785090701"],
        "SecureTransport": ["false"],
        "SourceIp": ["127.0.0.1"],
        "UserAgent": ["aws-cli/2.36"],
        "user-agent": ["aws-cli/2.36"],
        "authorization": ["AWS4-HMAC-SHA256 Credential=alice/20260726/…"],
        "authType": ["REST-HEADER"],
        "signatureversion": ["AWS4-HMAC-SHA256"],
        "x-amz-content-sha256": ["UNSIGNED-PAYLOAD"],
        "principaltype": ["User"],
        "userid": ["alice"],
        "username": ["alice"],
    }
    return {
        "identity": {
            "account": account,
            "groups": [],
            "is_owner": False,
            "claims": {},
        },
        "resource": {"bucket": "reports", "object": key, "arn": arn},
        "action": action,
        "context": {
            "conditions": {**told, **conditions},
            "deny_only": False,
            "timestamp": "2026-07-26T18:31:41.123456789+00:00",
        },
    }


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with in_process(tmp_path) as broker:
        service = AskingService(broker, await broker.create_account(ACCOUNT), "s3")
        await service.register(DEFINITION)
        await service.make_token()
        await service.make_user("alice", POLICY)
        yield World(service)


async def test_ceph_asks_by_method_and_query(world: World) -> None:
    assert await world.ceph("GET", "a")
    assert await world.ceph("PUT", "a")
    assert await world.ceph("PUT", "a", params="partNumber=1&uploadId=x")
    assert await world.ceph("GET", "a", params="versionId=7")
    assert await world.ceph("GET", params="list-type=2&prefix=2026%2F07")
    assert await world.ceph("GET", bucket="")
    for method, key, params in (
        ("DELETE", "a", ""),
        ("GET", "secret/a", ""),
        ("PUT", "a", "acl"),
        ("GET", "a", "tagging"),
        ("GET", "", "list-type=2"),
        ("GET", "", "prefix=2025%2F"),
        ("GET", "", "prefix=2025%2F&prefix=2026%2F"),
        ("PUT", "", "policy"),
        ("POST", "", "delete"),
        ("GET", "a", "acl&x-unknown"),
        ("get", "a", ""),
    ):
        assert not await world.ceph(method, key, params=params), (method, params)


async def test_a_bucket_that_is_not_there_yet_is_named_by_the_path(
    world: World,
) -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::mine"}
    await world.service.make_user("bob", {**POLICY, "Statement": statement})

    async def asked(method: str, path: str, **more: Any) -> bool:
        told = {"decoded_uri": path, "bucket_info": None, **more}
        return await world.ceph(method, bucket="", user="bob", **told)

    assert await asked("PUT", "/mine")
    assert await asked("PUT", "/mine/")
    for method, path in (
        ("PUT", "/other"),
        ("PUT", "/mine/key"),
        ("PUT", "/other:mine"),
        ("PUT", "/"),
        ("PUT", ""),
        ("GET", "/mine"),
        ("DELETE", "/mine"),
        ("POST", "/"),
    ):
        assert not await asked(method, path), (method, path)
    assert not await asked("PUT", "/mine", params="policy")


async def test_the_documented_request_of_ceph(world: World) -> None:
    params = {
        "method": "GET",
        "user_info": {"user_id": "alice", "display_name": "Alice"},
        "bucket_info": {
            "bucket": {"name": "reports", "bucket_id": "reports"},
            "owner": "alice",
        },
    }
    assert not await world.ask("ceph", params)
    assert await world.ask("ceph", {**params, "params": "prefix=2026/"})


async def test_a_stores_user_is_a_user_of_the_account(world: World) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    for name in ("alice", arn, f"{ACCOUNT}$alice"):
        assert await world.ceph("GET", "a", user=name), name
        assert await world.minio("s3:GetObject", "a", account=name), name
    for name in (
        "bob",
        "team/alice",
        "other$alice",
        "444455556666$alice",
        "$alice",
        f"{ACCOUNT}$oidc$alice",
        f"{ACCOUNT}$x/alice",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/alice/x",
        "arn:aws:iam::444455556666:user/alice",
        "alice\n",
    ):
        assert not await world.ceph("GET", "a", user=name), name
        assert not await world.minio("s3:GetObject", "a", account=name), name


async def test_buckets_of_other_tenants_are_not_meant(world: World) -> None:
    def info(tenant: str) -> dict[str, Any]:
        return {"bucket": {"name": "reports", "tenant": tenant}}

    mine = f"{ACCOUNT}$alice"
    assert await world.ceph("GET", "a", user=mine, bucket_info=info(ACCOUNT))
    assert not await world.ceph("GET", "a", user=mine, bucket_info=info("other"))
    assert not await world.ceph("GET", "a", bucket_info=info(ACCOUNT))


async def test_minio_asks_by_action(world: World) -> None:
    assert await world.minio("s3:GetObject", "a")
    assert await world.minio("s3:ListBucket", Prefix=["2026/07"])
    assert await world.minio("s3:ListBucket", prefix=["2026/07", "2026/07"])
    for action, key, told in (
        ("s3:DeleteObject", "a", {}),
        ("s3:GetObject", "secret/a", {}),
        ("s3:ListBucket", "", {}),
        ("s3:ListBucket", "", {"Prefix": ["2025/"]}),
        # A client's header in addition to the query
        ("s3:ListBucket", "", {"Prefix": ["2026/", "2025/"]}),
        ("s3:ListBucket", "", {"Prefix": ["2026/"], "prefix": ["2025/"]}),
        ("s3:GetObject", "a", {"Sourceip": ["10.0.0.1"]}),
        ("s3:GetObject", "a", {"SourceIp": ["10.0.0.1", "10.0.0.2"]}),
        ("admin:ServerInfo", "", {}),
        ("s3:Unknown", "a", {}),
    ):
        assert not await world.minio(action, key, **told), (action, told)


async def test_minios_conditions_about_the_request_count(world: World) -> None:
    statement = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "*",
        "Condition": {
            "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
            "Bool": {"aws:SecureTransport": "true"},
            "StringLike": {"aws:UserAgent": "mc*"},
            "StringEquals": {"aws:username": "bob"},
            "DateGreaterThan": {"aws:CurrentTime": "2024-01-01T00:00:00Z"},
        },
    }
    await world.service.make_user("bob", {**POLICY, "Statement": statement})
    seen = {
        "SourceIp": ["10.1.2.3"],
        "SecureTransport": ["true"],
        "UserAgent": ["mc RELEASE"],
    }
    assert await world.minio("s3:GetObject", "a", account="bob", **seen)
    for name, value in (
        ("SourceIp", "192.0.2.1"),
        ("SourceIp", "nowhere"),
        ("SecureTransport", "false"),
        ("SecureTransport", "perhaps"),
        ("UserAgent", "curl"),
    ):
        told = {**seen, name: [value]}
        assert not await world.minio("s3:GetObject", "a", account="bob", **told)


async def test_minio_sends_a_version_in_two_spellings(world: World) -> None:
    """`?versionId=v1` is a condition of MinIO's own and a parameter of the client's."""
    for own, parameter, allowed in (
        (["v1"], ["v1"], True),
        (["v1"], ["v2"], False),
        (["v1"], ["v1", "v2"], False),
        (["", "v1"], [], False),
    ):
        told = {"versionid": own, **({"versionId": parameter} if parameter else {})}
        assert await world.minio("s3:GetObject", "a", **told) == allowed, told


async def test_rustfs_asks_by_action(world: World) -> None:
    async def ask(action: str, key: str = "", **conditions: Any) -> bool:
        return await world.ask("minio", rustfs(action, key, **conditions))

    assert await ask("s3:GetObject", "a")
    for action, key, conditions in (
        ("s3:DeleteObject", "a", {}),
        ("s3:GetObject", "secret/a", {}),
        ("s3:GetObject", "a", {"account": "bob"}),
        # A header of the client beside what RustFS found out
        ("s3:GetObject", "a", {"sourceip": ["10.0.0.1"]}),
        ("s3:GetObject", "a", {"SourceIp": ["10.0.0.1", "10.0.0.2"]}),
        ("admin:ServerInfo", "", {}),
        ("sts:AssumeRole", "", {}),
    ):
        assert not await ask(action, key, **conditions), (action, conditions)


async def test_a_header_of_rustfs_client_is_no_parameter_of_its_query(
    world: World,
) -> None:
    """Allowed is listing below `2026/`; RustFS reports header and parameter alike."""
    assert await world.minio("s3:ListBucket", prefix=["2026/"])
    listing = rustfs("s3:ListBucket", prefix=["2026/"])
    assert not await world.ask("minio", listing)


async def test_rustfs_is_never_granted_more_by_what_it_says_of_a_user(
    world: World,
) -> None:
    question = rustfs("s3:DeleteObject", "a")
    question["identity"] |= {"is_owner": True, "groups": ["admins"]}
    question["context"]["deny_only"] = True
    assert not await world.ask("minio", question)
    del question["identity"]["account"]
    reply = await world.post("minio", {"input": question})
    assert (reply.status, json.loads(reply.body)["result"]) == (400, False)


async def test_rustfs_starts_if_its_token_is_good(world: World) -> None:
    token = world.service.token
    reply = await world.post("minio", b"", {"Authorization": f"Bearer {token}"})
    assert (reply.status, json.loads(reply.body)) == (200, {"result": False})
    for headers in ({}, {"Authorization": "Bearer x"}):
        reply = await world.post("minio", b"", headers)
        assert (reply.status, json.loads(reply.body)["result"]) == (401, False)


async def test_what_a_store_says_of_a_user_makes_no_one_more(world: World) -> None:
    params = {**minio("s3:DeleteObject", "a"), "owner": True, "denyOnly": True}
    claims = {"sub": f"arn:aws:iam::{ACCOUNT}:root", "parent": "root"}
    assert not await world.ask("minio", {**params, "claims": claims, "groups": ["a"]})


@pytest.mark.parametrize("store", ["ceph", "minio"])
async def test_only_the_service_is_answered(world: World, store: str) -> None:
    body = {
        "input": ceph("GET", "a") if store == "ceph" else minio("s3:GetObject", "a")
    }
    token = world.service.token
    for headers in (
        {"X-Auth-Token": token},
        {"Authorization": token},
        {"Authorization": f"Bearer {token}"},
        {"X-Broker-Service-Token": token},
    ):
        reply = await world.post(store, body, headers)
        assert (reply.status, json.loads(reply.body)) == (200, {"result": True})
    for headers in (
        {},
        {"X-Auth-Token": ""},
        {"X-Auth-Token": "x"},
        {"X-Auth-Token": token, "Authorization": token},
        {"Authorization": f"Basic {token}"},
    ):
        reply = await world.post(store, body, headers)
        assert reply.status == 401
        assert json.loads(reply.body)["result"] is False


@pytest.mark.parametrize("store", ["ceph", "minio"])
async def test_what_cannot_be_read_is_no_yes(world: World, store: str) -> None:
    for body in (
        *([b""] if store == "ceph" else []),
        b"[]",
        b'{"input": 1}',
        b'{"input": {}}',
        {"input": {"method": "GET", "account": 7, "action": "s3:GetObject"}},
        b'{"input": {"a": "' + b"x" * 1_000_001 + b'"}}',
    ):
        reply = await world.post(store, body)
        assert reply.status in {400, 413}
        assert json.loads(reply.body)["result"] is False
    answer = await world.service.broker.http.get(f"{ORIGIN}/v1/data/{store}/authz")
    assert answer.status_code == 405


async def test_other_paths_below_are_not_answered(world: World) -> None:
    http = world.service.broker.http
    for path in ("/v1/data", "/v1/data/ceph", "/v1/data/x/authz"):
        answer = await http.post(f"{ORIGIN}{path}", json={})
        assert answer.status_code == 404


async def test_a_store_that_is_away_is_no_yes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lost in (kinds.ACCOUNT.by_key, TOKENS[kinds.SERVICE_TOKEN], kinds.USER.by_name):
        with monkeypatch.context() as patch:
            lose(patch, world.service.broker.services.fresh, lost)
            for store, params in (
                ("ceph", ceph("GET", "a")),
                ("minio", minio("s3:GetObject", "a")),
            ):
                reply = await world.post(store, {"input": params})
                assert reply.status == 503
                assert json.loads(reply.body)["result"] is False
