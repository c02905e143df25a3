import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from broker.edges.asgi import Receive, Scope, Send, respond
from broker.edges.edge import AllowedHosts
from broker.model.request import Answer
from tests.support.rows import cases
from tests.unit.edges.conftest import edge


async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
    await respond(
        send,
        200,
        ((b"content-security-policy", b"own"), (b"cache-control", b"max-age=60")),
    )


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("broken")


@cases("header, accepted")
async def test_unknown_hosts_are_refused(
    ask: Callable, recorder: Any, header: bytes | None, *, accepted: bool
) -> None:
    response = await ask("GET", host=header)
    assert response.status == (200 if accepted else 421)
    assert bool(recorder.asked) is accepted


def test_an_invalid_name_is_not_remembered() -> None:
    hosts = AllowedHosts(["broker.example"], below="broker.example")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            assert not hosts.accept(b"%d." % number + b"x" * 60_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1_000_000


async def test_two_hosts_are_refused(ask: Callable) -> None:
    response = await ask("GET", headers=((b"host", b"broker.example"),))
    assert response.status == 421


async def test_probes_come_by_address(ask: Callable) -> None:
    response = await ask("GET", path="/healthz", host=b"10.1.2.3", through=edge(page))
    assert response.status == 200


async def test_a_page_keeps_its_own_headers_and_gets_the_others(ask: Callable) -> None:
    headers = (await ask("GET", through=edge(page))).headers
    assert headers[b"content-security-policy"] == b"own"
    assert headers[b"cache-control"] == b"max-age=60"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"x-frame-options"] == b"DENY"
    assert b"strict-transport-security" not in headers


@pytest.mark.parametrize("status", [200, 500, 503])
async def test_anyone_who_is_told_that_something_is_away_is_told_when_to_come_again(
    ask: Callable, recorder: Any, status: int
) -> None:
    recorder.given = Answer(status=status, headers=(), body=b"")
    headers = (await ask("POST")).headers
    assert headers.get(b"retry-after") == (b"1" if status == 503 else None)


async def test_an_answer_that_says_itself_when_to_come_again_is_left_alone(
    ask: Callable,
) -> None:
    async def busy(_scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 503, ((b"retry-after", b"30"),))

    answer = await ask("POST", through=edge(busy))
    assert answer.headers[b"retry-after"] == b"30"


async def test_a_public_https_broker_asks_for_strict_transport(ask: Callable) -> None:
    headers = (await ask("GET", through=edge(page, hsts=True))).headers
    assert b"strict-transport-security" in headers


async def test_there_is_one_line_a_request_with_neither_query_nor_body_nor_cookie(
    ask: Callable, recorder: Any
) -> None:
    recorder.given = Answer(
        status=400,
        headers=(),
        body=b"S3CR3T",
        action="AssumeRole",
        error_code="ValidationError",
    )
    with capture_logs() as lines:
        await ask(
            "POST",
            query=b"X-Amz-Security-Token=S3CR3T",
            headers=((b"cookie", b"S3CR3T"), (b"authorization", b"S3CR3T")),
            chunks=(b"S3CR3T",),
        )
    (line,) = lines
    assert "S3CR3T" not in repr(line)
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "path": "/",
        "status": 400,
        "request_id": recorder.request_ids[0],
        "source_ip": "192.0.2.1",
        "action": "AssumeRole",
        "error_code": "ValidationError",
    }


async def test_a_failure_of_the_application_is_logged_and_told(ask: Callable) -> None:
    with capture_logs() as lines:
        response = await ask("GET", through=edge(broken))
    failure, line = lines
    assert failure["event"] == "unexpected failure"
    assert failure["request_id"] == line["request_id"]
    assert line["status"] == response.status == 500
    assert line["request_id"].encode() in response.body
    assert b"broken" not in response.body
    assert response.headers[b"x-frame-options"] == b"DENY"


async def test_an_answer_that_breaks_off_is_the_servers_to_end() -> None:
    async def breaking_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("broken")

    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"broker.example")],
    }
    with pytest.raises(RuntimeError), capture_logs() as lines:
        await edge(breaking_off)(scope, None, send)  # type: ignore[arg-type] # reads nothing
    assert sent == ["http.response.start"]
    assert lines[-1]["status"] == 200


async def test_a_request_that_is_cut_off_by_the_end_is_told_so(ask: Callable) -> None:
    async def slow(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    response = await ask("GET", through=edge(slow))
    assert (response.status, response.headers[b"retry-after"]) == (503, b"1")


async def test_a_client_that_went_away_is_logged_as_such(ask: Callable) -> None:
    with capture_logs() as lines:
        await ask("POST", chunks=())
    assert lines[0]["status"] == 499


async def test_the_client_behind_a_trusted_proxy_is_found(ask: Callable) -> None:
    seen: dict = {}

    async def look(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.update(scope["state"])
        await respond(send, 200)

    headers = ((b"x-forwarded-for", b"198.51.100.7"), (b"x-forwarded-proto", b"https"))
    await ask("GET", headers=headers, through=edge(look, proxies=("192.0.2.1",)))
    assert (seen["source_ip"], seen["secure"]) == ("198.51.100.7", True)


async def test_a_long_path_is_logged_in_part(ask: Callable) -> None:
    with capture_logs() as lines:
        await ask("GET", path="/" + "x" * 10_000)
    assert len(lines[0]["path"]) == 256


async def test_websockets_are_closed() -> None:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {}

    await edge(page)({"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close"}]
