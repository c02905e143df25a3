"""How calls that come together walk through the pipeline."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from broker.actions.sts import role_mint
from broker.model.audit import AuditFilter
from broker.model.page import PageRequest
from broker.permit.guard import Guard
from broker.permit.rates import RateLimits
from broker.proofs import web_identity
from broker.proofs.sigv4 import SigningKeys
from broker.protocols.oidc.verify import verify_token
from broker.protocols.query import Service
from broker.runtime.batches import NEXT_TURN
from broker.sessions import issue
from broker.sessions.issue import SessionIssuer
from tests.scenarios.installation import trust
from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import InProcess, Reply, in_process
from tests.support.oidc_issuer import serving
from tests.support.policies import allow
from tests.support.saml_idp import metadata_xml

CALLS = 3
Exchange = Callable[..., Coroutine[Any, Any, Reply]]


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


@asynccontextmanager
async def exchanging(folder: Path) -> AsyncIterator[tuple[InProcess, Exchange]]:
    """A broker, and what exchanges a token of its provider for a role's session."""
    with serving("/idp") as provider:
        internal = f"127.0.0.1:{provider.port}"
        async with in_process(folder, internal_issuers=internal) as broker:
            root = await broker.create_account(ACCOUNT)
            url = provider.issuer.url
            made = await broker.ask(
                "iam",
                "CreateOpenIDConnectProvider",
                root,
                Url=url,
                ClientIDList=["client-1"],
            )
            federated = {"Federated": made["OpenIDConnectProviderArn"]}
            audience = {"StringEquals": {f"{url.split('//')[1]}:aud": "client-1"}}
            action = "sts:AssumeRoleWithWebIdentity"
            document = trust((federated, action, audience))
            await broker.ask(
                "iam",
                "CreateRole",
                root,
                RoleName="R",
                AssumeRolePolicyDocument=document,
            )

            async def exchange(audience: str = "client-1") -> Reply:
                return await broker.call(
                    "sts",
                    "AssumeRoleWithWebIdentity",
                    None,
                    RoleArn=f"arn:aws:iam::{ACCOUNT}:role/R",
                    RoleSessionName="session",
                    WebIdentityToken=provider.issuer.token(
                        jti=uuid4().hex, aud=audience
                    ),
                )

            await exchange()  # from here on nothing has to be read first
            yield broker, exchange


async def test_exchanges_that_come_together_take_each_costly_step_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def watch(owner: Any, name: str) -> None:
        work = getattr(owner, name)

        def watched(*args: Any, **params: Any) -> Any:
            steps.append(name)
            return work(*args, **params)

        monkeypatch.setattr(owner, name, watched)

    async with exchanging(tmp_path) as (_, exchange):
        watch(web_identity, "check_algorithm")
        watch(web_identity, "verify_token")
        watch(web_identity, "_condition_keys")
        watch(RateLimits, "charge")
        watch(Guard, "require")
        watch(role_mint, "inherit_tags")
        watch(role_mint, "Session")
        watch(SessionIssuer, "seal")
        watch(issue, "describe_session")
        await asyncio.gather(*(exchange() for _ in range(CALLS)))
        together, steps[:] = list(steps), []
        await exchange()
    assert together == [step for step in steps for _ in range(CALLS)]


async def test_a_refused_exchange_and_one_whose_client_left_are_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = verify_token

    def verify_after_one_has_left(*params: Any, **options: Any) -> Any:
        if not leaving.cancelling():
            leaving.cancel()
        return verify(*params, **options)

    async with exchanging(tmp_path) as (broker, exchange):
        ledger, action = broker.services.stores.ledger, "sts:AssumeRoleWithWebIdentity"
        filters, page = AuditFilter(action=action), PageRequest(None, 100)
        first = await ledger.search(filters, page)
        monkeypatch.setattr(web_identity, "verify_token", verify_after_one_has_left)
        leaving = asyncio.create_task(exchange())
        others = [asyncio.create_task(exchange()) for _ in range(30)]
        wrong = asyncio.create_task(exchange("another"))
        replies = await asyncio.gather(*others)
        refused = await wrong
        left = await leaving
        assert not NEXT_TURN.calls
        records = await ledger.search(filters, page)
    assert {reply.status for reply in replies} == {200}
    assert len(records.items) == len(first.items) + len(others) + 1
    outcomes = Counter(record.error_code for record in records.items)
    assert outcomes["InvalidIdentityToken"] == 1
    assert left.status == 503
    assert refused.code == "InvalidIdentityToken"


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
        "signin:BatchRevokeSessions",
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
