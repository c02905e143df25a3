import asyncio
import http.client
import re
import socket
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2 as httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from broker.edges.api import BODY_BYTES_MAX, ApiEndpoint
from broker.model.request import Answer

FORM = (b"content-type", b"application/x-www-form-urlencoded")


async def post(app: Any, receive: Callable, *headers: tuple) -> list[dict]:
    """What the application sends to a client whose body comes as ``receive`` says."""
    sent = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", b"broker.example"), *headers],
    }
    await app(scope, receive, send)
    return sent


async def test_a_post_reaches_the_pipeline_as_it_came(
    ask: Callable, recorder: Any
) -> None:
    response = await ask(
        "POST", headers=(FORM, (b"x", b"1")), chunks=(b"Action", b"=A")
    )
    (raw,) = recorder.asked
    assert (raw.method, raw.raw_path, raw.query) == ("POST", b"/", b"")
    assert raw.body == b"Action=A"
    assert raw.headers == ((b"host", b"broker.example"), FORM, (b"x", b"1"))
    assert (raw.source_ip, raw.secure) == ("192.0.2.1", False)
    assert (response.status, response.body) == (200, b"<ok/>\n")


async def test_a_get_reaches_the_pipeline_with_its_query(
    ask: Callable, recorder: Any
) -> None:
    await ask("GET", query=b"Action=%41")
    assert recorder.asked[0].query == b"Action=%41"


async def test_every_answer_carries_the_headers_that_clients_need(
    ask: Callable, recorder: Any
) -> None:
    response = await ask("GET", query=b"Action=A")
    assert response.headers[b"content-type"] == b"text/xml"
    assert response.headers[b"x-amzn-requestid"].decode() == recorder.request_ids[0]
    assert re.fullmatch(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", recorder.request_ids[0]
    )
    assert response.headers[b"content-length"] == b"6"
    assert response.headers[b"cache-control"] == b"no-store"
    assert response.headers[b"referrer-policy"] == b"no-referrer"
    assert not any(name.startswith(b"access-control") for name in response.headers)


async def test_a_browser_elsewhere_may_read_answers_but_never_with_its_cookies(
    ask: Callable,
) -> None:
    response = await ask(
        "GET", query=b"Action=A", headers=((b"origin", b"https://a.example"),)
    )
    assert response.headers[b"access-control-allow-origin"] == b"*"
    assert b"x-amzn-RequestId" in response.headers[b"access-control-expose-headers"]
    assert b"access-control-allow-credentials" not in response.headers


async def test_a_redirect_leads_to_the_sign_in_page(
    ask: Callable, recorder: Any
) -> None:
    recorder.given = Answer.redirect("/signin")
    response = await ask("GET")
    assert (response.status, response.body) == (302, b"")
    assert response.headers[b"location"] == b"/signin"


@pytest.mark.parametrize(
    ("headers", "chunks"),
    [
        (((b"content-length", b"1000001"),), (b"",)),
        (((b"content-length", b"9" * 5000),), (b"",)),
        ((), (b"x" * 1_000_001,)),
        ((), (b"x" * 1_000_000, b"x")),
        ((), (b"x" * 500_000,) * 5),
    ],
)
async def test_a_body_above_the_limit_is_413_and_empty(
    ask: Callable, recorder: Any, headers: tuple, chunks: tuple
) -> None:
    response = await ask("POST", headers=(FORM, *headers), chunks=chunks)
    assert (response.status, response.body) == (413, b"")
    assert response.headers[b"connection"] == b"close"
    assert not recorder.asked


async def test_a_body_at_the_limit_is_taken(ask: Callable, recorder: Any) -> None:
    await ask("POST", headers=(FORM,), chunks=(b"x" * 999_999, b"y"))
    assert len(recorder.asked[0].body) == 1_000_000


async def test_a_query_above_the_limit_is_400_and_empty(
    ask: Callable, recorder: Any
) -> None:
    assert (await ask("GET", query=b"x" * 16_384)).status == 200
    response = await ask("GET", query=b"x" * 16_385)
    assert (response.status, response.body) == (400, b"")
    assert len(recorder.asked) == 1


async def test_a_preflight_is_answered(ask: Callable, recorder: Any) -> None:
    """Recorded: REC-A."""
    response = await ask(
        "OPTIONS",
        headers=(
            (b"origin", b"https://a.example"),
            (b"access-control-request-method", b"POST"),
        ),
    )
    assert (response.status, response.body) == (200, b"")
    assert response.headers[b"access-control-allow-origin"] == b"*"
    assert response.headers[b"access-control-max-age"] == b"172800"
    assert b"authorization" in response.headers[b"access-control-allow-headers"]
    assert not recorder.asked


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
async def test_other_methods_are_not_allowed(
    ask: Callable, recorder: Any, method: str
) -> None:
    response = await ask(method, query=b"Action=A")
    assert response.status == 405
    assert response.headers[b"allow"] == b"GET, POST, OPTIONS"
    assert not recorder.asked


async def test_a_client_that_goes_away_is_let_go(ask: Callable, recorder: Any) -> None:
    assert await ask("POST", headers=(FORM,), chunks=()) is None
    assert not recorder.asked


def test_a_real_server_dates_its_answers_and_keeps_the_content_type_exact(
    server: str,
) -> None:
    connection = http.client.HTTPConnection(server, timeout=10)
    for body in ("Action=A", "Action=B"):
        connection.request("POST", "/", body, {FORM[0].decode(): FORM[1].decode()})
        response = connection.getresponse()
        assert response.read() == b"<ok/>\n"
        assert response.headers.get_all("content-type") == ["text/xml"]
        assert len(response.headers.get_all("date")) == 1
        assert parsedate_to_datetime(response.headers["date"]).tzinfo is not None
        assert response.headers["server"] is None
    connection.close()


def test_a_real_server_refuses_a_large_body_without_reading_it(server: str) -> None:
    connection = http.client.HTTPConnection(server, timeout=10)
    connection.putrequest("POST", "/")
    connection.putheader("content-length", "10000001")
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, response.read()) == (413, b"")
    connection.close()


@pytest.mark.parametrize("framed", ["content-length", "transfer-encoding"])
def test_who_writes_all_of_a_large_body_before_reading_sees_the_refusal(
    server: str, framed: str
) -> None:
    host, _, port = server.partition(":")
    size = 3 * BODY_BYTES_MAX // 2
    value = size if framed == "content-length" else "chunked"
    head = f"POST / HTTP/1.1\r\nHost: {server}\r\n{framed}: {value}\r\n\r\n"
    if framed == "transfer-encoding":
        head += f"{size:x}\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(head.encode())
        client.sendall(bytes(size))
        if framed == "transfer-encoding":
            client.sendall(b"\r\n0\r\n\r\n")
        told = b""
        while received := client.recv(65_536):
            told += received
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(b"\r\n\r\n")


def test_common_clients_see_the_refusal_of_a_large_body(server: str) -> None:
    url, body = f"http://{server}/", bytes(3 * BODY_BYTES_MAX // 2)
    assert httpx.post(url, content=body, timeout=30).status_code == 413
    request = AWSRequest("POST", url, data=body).prepare()
    assert URLLib3Session().send(request).status_code == 413


@pytest.mark.parametrize("endless", ["bytes", "silence"])
async def test_a_refusal_is_not_held_up_for_ever(
    recorder: Any, make_edge: Any, monkeypatch: pytest.MonkeyPatch, endless: str
) -> None:
    monkeypatch.setattr("broker.edges.api.LINGER_SECONDS_MAX", 0.01)
    app = make_edge(ApiEndpoint(recorder.answer))
    read = 0

    async def receive() -> dict:
        nonlocal read
        if endless == "silence":
            return await asyncio.get_running_loop().create_future()
        read += 100_000
        return {"type": "http.request", "body": bytes(100_000), "more_body": True}

    sent = await post(app, receive, (b"content-length", b"999999999"))
    assert sent[0]["status"] == 413
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert read <= 10 * BODY_BYTES_MAX
