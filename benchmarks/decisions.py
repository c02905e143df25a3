"""Decisions for registered services: in process, and over HTTP against the empty handler.

``python -m benchmarks decisions`` prints the figures.
"""

import asyncio
import gc
import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog

from benchmarks.load import Row, empty_rate, installed, measure
from benchmarks.proxies import behind_proxies
from broker.client import AsgiMiddleware, DecisionClient, Principal
from broker.client.answers import Answer
from broker.client.request import Request
from broker.compose.services import Services
from broker.edges.decisions import decisions_endpoint
from broker.edges.doors import DECISIONS_PATH, FORWARD_PATH
from broker.kinds.accounts import require_account
from broker.kinds.resource_policies import put_resource_policy
from tests.scenarios.installation import Installation, policy
from tests.support import decisions
from tests.support.broker import ACCOUNT, Key
from tests.support.decisions import (
    HOME,
    HOST,
    ORDER,
    READER,
    AskingService,
    sign,
)
from tests.support.in_process import in_process
from tests.support.servers import find_free_port

_CALLS = 300
_ROUNDS = 15
_POLICIES = 10_000
_TOGETHER = 16
Ask = Callable[[], Awaitable[None]]


def run() -> list[Row]:
    """All figures, as label and text."""
    return [*asyncio.run(_in_process()), *_over_http()]


async def _in_process() -> list[Row]:
    level = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=level)
    with tempfile.TemporaryDirectory() as folder:
        async with in_process(Path(folder)) as broker:
            service = AskingService(
                broker, await broker.create_account(decisions.ACCOUNT)
            )
            await service.register()
            await service.make_token()
            alice = await service.make_user("alice", READER)
            told, call, batch = _questions(service, alice, broker.services)
            _settle_memory()
            single = await _seconds(call)
            rows = [
                ("told request, /decisions/forward", _us(await _seconds(told))),
                (
                    f"the same, {_TOGETHER} at a time",
                    _us(await _seconds(_many(told), 20) / _TOGETHER),
                ),
                ("told request, POST /decisions", _us(single)),
                (
                    "batch of 100, POST /decisions",
                    f"{await _seconds(batch, 20) / single:.1f} times one (goal: 10)",
                ),
            ]
            empty = await _seconds(told)
            await _put_policies(service)
            full = await _seconds(told)
            text = f"{full / empty:.2f} times without any (goal: 1.1)"
            return [
                *rows,
                (f"told request, {_POLICIES} resource policies", text),
                ("the middleware, decision held", await _middleware(alice)),
            ]


def _settle_memory() -> None:
    """As ``broker serve`` does: what is loaded is not looked through again."""
    gc.set_threshold(10_000, 20, 20)
    gc.collect()
    gc.freeze()


def _many(ask: Ask) -> Ask:
    """Several questions that come together, as at a worker under load."""

    async def ask_all() -> None:
        await asyncio.gather(*(ask() for _ in range(_TOGETHER)))

    return ask_all


def _questions(
    service: AskingService, alice: Key, services: Services
) -> tuple[Ask, Ask, Ask]:
    """A subrequest, a question about one request, and one about a hundred things."""
    endpoint = decisions_endpoint(
        services.pipeline,
        services.registry.get("broker", "Authorize"),
        services=services.service_scheme,
        proxies=services.proxy_scheme,
    )
    token = [(b"x-broker-service-token", service.token.encode())]
    signed = sign(alice)
    forwarded = [
        (name.lower().encode(), value.encode())
        for name, value in signed.forwarded().items()
    ]
    request = {"Request": signed.described()}
    resources = [f"{ORDER}{number}" for number in range(100)]

    def asking(path: str, headers: list[tuple[bytes, bytes]], body: object) -> Ask:
        sent = b"" if body is None else json.dumps(body).encode()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200, message

        async def ask() -> None:
            state = {
                "source_ip": "",
                "secure": False,
                "line": {},
                "request_id": "r",
                "named": dict(headers),
            }
            scope = {
                "type": "http",
                "method": "POST",
                "path": path,
                "raw_path": path.encode(),
                "query_string": b"",
                "headers": headers,
                "state": state,
            }
            await endpoint(scope, receive, send)

        return ask

    return (
        asking(FORWARD_PATH, [*forwarded, *token], None),
        asking(DECISIONS_PATH, token, request),
        asking(DECISIONS_PATH, token, {**request, "Resources": resources}),
    )


async def _middleware(alice: Key) -> str:
    """What a service pays for a request whose decision is held."""
    signed = sign(alice, method="PUT", body=b"x" * 1000)
    request = _told(signed)
    client = DecisionClient("http://127.0.0.1:9", "token", clock=lambda: 0.0)
    principal = Principal("arn", "1", "id", "User")
    scope = {
        "type": "http",
        "method": signed.method,
        "path": signed.target,
        "raw_path": signed.target.encode(),
        "query_string": b"",
        "headers": list(request.headers),
        "client": (request.source_ip, 1),
        "scheme": "https",
        "state": {},
    }
    client._hold(request, Answer(principal, None), 0.0)  # noqa: SLF001
    message = {"type": "http.request", "body": signed.body, "more_body": False}

    async def app(scope: Any, receive: Any, _send: Any) -> None:
        assert scope["state"]["principal"] is principal
        await receive()

    async def receive() -> Any:
        return message

    async def send(_message: Any) -> None:
        raise AssertionError("refused")

    middleware = AsgiMiddleware(app, client)

    async def ask() -> None:
        await middleware(scope, receive, send)

    return f"{await _seconds(ask) * 1e6:.0f} µs (goal: 60 µs)"


def _asked(installation: Installation, alice: Key, token: str) -> Row:
    """What a question of the middleware costs, on a kept connection."""
    request = _told(sign(alice, service="execute-api"))
    client = DecisionClient(installation.broker.url, token, held_seconds=0)
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(50):
            assert client.decide(request).refusal is None
        best = min(best, (time.perf_counter() - began) / 50)
    client.close()
    return "the middleware, a question", f"{best * 1e6:.0f} µs until it is answered"


def _told(signed: decisions.Signed) -> Request:
    headers = [(n.lower().encode(), v.encode()) for n, v in signed.headers.items()]
    return Request(
        method=signed.method,
        target=signed.target.encode(),
        headers=tuple(headers),
        body_sha256=hashlib.sha256(signed.body).hexdigest(),
        source_ip="203.0.113.7",
        secure=True,
    )


async def _seconds(ask: Ask, calls: int = _CALLS) -> float:
    """Processor time of one call: the best of several rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            await ask()
        best = min(best, (time.process_time() - began) / calls)
    return best


async def _put_policies(service: AskingService) -> None:
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "*",
                "Resource": "*",
            },
        }
    )
    directory = service.broker.services.stores.directory
    async with directory.change(HOME) as change:
        account = await require_account(change, HOME)
        now = service.broker.clock.now()
        for number in range(_POLICIES):
            arn = f"{ORDER}other-{number}"
            await put_resource_policy(change, account, arn, text, now)


def _over_http() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baseline = empty_rate(folder)
        with installed(folder / "embedded", "embedded") as (installation, _):
            ports = find_free_port(), find_free_port()
            alice, token = _registered(installation, *ports)
            rate = measure(
                f"{installation.broker.url}{FORWARD_PATH}",
                _forwarded(alice, token),
                folder,
            )
            asked = _asked(installation, alice, token)
            proxies = behind_proxies(
                installation.broker.port, ports, alice, token, folder
            )
    text = f"{rate.per_second:.0f}/s, {rate.per_second / baseline:.0%} of the empty"
    return [
        ("told requests, /decisions/forward", f"{text} handler"),
        asked,
        *proxies,
    ]


def _registered(installation: Installation, *ports: int) -> tuple[Key, str]:
    """A caller, and the token of a service that lets them do everything.

    The service is reached at the ports as well.
    """
    iam, broker = installation.iam, installation.broker
    iam.create_user(UserName="alice")
    iam.put_user_policy(
        UserName="alice", PolicyName="All", PolicyDocument=policy("execute-api:*")
    )
    alice = Key.of(iam.create_access_key(UserName="alice")["AccessKey"])
    names = (HOST, *(f"localhost:{port}" for port in ports))
    hosts = (word for name in names for word in ("--host", name))
    broker.command("services", "set", "orders", "--account", ACCOUNT, *hosts)
    made = broker.command("services", "token", "orders", "--account", ACCOUNT)
    return alice, json.loads(made)["Token"]


def _forwarded(alice: Key, token: str) -> list[str]:
    """Subrequests of a proxy, as `measure` sends them."""
    results = []
    for number in range(2000):
        signed = sign(alice, f"/orders/{number}", service="execute-api")
        told = signed.forwarded()
        head = "|".join(f"{name}: {value}" for name, value in told.items())
        results.append(f"{head}|X-Broker-Service-Token: {token}\t")
    return results * 10


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs (goal: 70 µs)"
