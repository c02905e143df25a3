"""How calls that come together walk through the pipeline."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from broker.permit.guard import Guard
from broker.proofs.sigv4 import SigningKeys
from broker.protocols.query import Service
from broker.sessions.issue import SessionIssuer
from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import in_process
from tests.support.policies import allow
from tests.support.saml_idp import metadata_xml

CALLS = 3


async def test_calls_that_come_together_take_each_costly_step_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def watch(owner: type, name: str, step: str) -> None:
        work = getattr(owner, name)

        def watched(*args: Any, **params: Any) -> Any:
            steps.append(step)
            return work(*args, **params)

        monkeypatch.setattr(owner, name, watched)

    async with in_process(tmp_path) as broker:
        root = await broker.create_account(ACCOUNT)
        await broker.ask("iam", "CreateUser", root, UserName="kim")
        made = await broker.ask("iam", "CreateAccessKey", root, UserName="kim")
        key = Key.of(made["AccessKey"])
        federate = {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}
        await broker.ask(
            "iam",
            "PutUserPolicy",
            root,
            UserName="kim",
            PolicyName="Own",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": federate}),
        )

        async def call(operation: str) -> None:
            params = {"Name": "app"} if operation == "GetFederationToken" else {}
            await broker.ask("sts", operation, key, **params)

        operations = ("GetFederationToken", "GetSessionToken")
        for operation in operations:
            await call(operation)  # from here on nothing has to be read first
        watch(SigningKeys, "verify", "prove")
        watch(Guard, "require", "permit")
        watch(SessionIssuer, "issue", "do")
        for operation in operations:
            await asyncio.gather(*(call(operation) for _ in range(CALLS)))
    proved, permitted, done = ([step] * CALLS for step in ("prove", "permit", "do"))
    # Who has a user's keys needs no permission for a session token.
    assert steps == [*proved, *permitted, *done, *proved, *done]


async def test_what_ends_sessions_is_never_throttled(tmp_path: Path) -> None:
    async with in_process(tmp_path, rate_limit=20) as broker:
        registry = broker.services.registry
        free = {
            f"{action.service}:{action.name}" for action in registry if not action.calls
        }
    assert free >= {
        "broker:DeleteJoinToken",
        "broker:EndInstance",
        "signin:ConsoleLogout",
        "signin:EndConsoleSessions",
        "signin:RevokeOAuth2Token",
        "signin:FrontChannelLogout",
        "signin:RevokeOwnSession",
        "signin:RevokeSession",
        "sso:Logout",
    }
    # A data plane has no rate of an account's calls: a refusal would stop a service.
    free -= {
        "broker:Authorize",
        "broker:DeriveSigningKey",
        "broker:GetGatewayProtocol",
        "broker:ResolveAccessKeys",
        "broker:ResolvePrincipals",
    }
    free.remove("sso:Logout")
    # Machines ask this all day, and get credentials by a call that counts.
    free.remove("broker:GetInstanceAssociation")
    free -= {"broker:DeleteJoinToken", "broker:EndInstance"}
    assert all(name.startswith("signin:") for name in free)


async def test_who_used_the_share_of_the_processor_is_throttled(tmp_path: Path) -> None:
    params = {"ActionNames": ["s3:Get"], "PolicyInputList": [allow("s3:*")]}
    async with in_process(tmp_path, rate_limit=100) as broker:
        root = await broker.create_account(ACCOUNT)
        other = await broker.create_account("210987654321")
        shares = broker.services.pipeline.rates.shares
        assert not shares.used(ACCOUNT)
        await broker.ask("iam", "SimulateCustomPolicy", root, **params)
        assert shares.used(ACCOUNT), "what it took is measured"
        shares.add(ACCOUNT, 60)
        for service, action in (("iam", "ListUsers"), ("sts", "GetCallerIdentity")):
            reply = await broker.call(service, action, root)
            assert (reply.status, reply.code) == (400, "Throttling")
            assert reply.message == "Rate exceeded"
            assert (await broker.call(service, action, other)).status == 200


async def test_without_a_limit_nobody_is_throttled(tmp_path: Path) -> None:
    async with in_process(tmp_path, rate_limit=0) as broker:
        root = await broker.create_account(ACCOUNT)
        broker.services.pipeline.rates.shares.add(ACCOUNT, 60)
        assert (await broker.call("iam", "ListUsers", root)).status == 200


async def test_a_long_answer_is_written_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, str] = {}
    renderer = Service.renderer

    def watched(self: Service, operation: str, **form: Any) -> Any:
        def render(*parameters: Any) -> bytes:
            threads[operation] = threading.current_thread().name
            return renderer(self, operation, **form)(*parameters)

        return render

    monkeypatch.setattr(Service, "renderer", watched)
    metadata = metadata_xml().replace("?>", f"?><!--{'x' * 300_000}-->", 1)
    async with in_process(tmp_path) as broker:
        root = await broker.create_account(ACCOUNT)
        params = {"Name": "Corp", "SAMLMetadataDocument": metadata}
        made = await broker.ask("iam", "CreateSAMLProvider", root, **params)
        arn = made["SAMLProviderArn"]
        results = await broker.ask("iam", "GetSAMLProvider", root, SAMLProviderArn=arn)
        await broker.ask("iam", "ListSAMLProviders", root)
    assert results["SAMLMetadataDocument"] == metadata
    assert threads.pop("GetSAMLProvider").startswith("offload")
    assert set(threads.values()) == {threading.main_thread().name}
