from typing import Any

from starlette.requests import Request

from broker.console.request_info import raw_request


def test_the_pipeline_gets_the_request_without_the_doors_secrets() -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/federation",
        "query_string": b"SigninToken=secret",
        "headers": [
            (b"cookie", b"broker-session=secret"),
            (b"authorization", b"secret"),
            (b"user-agent", b"test"),
        ],
        "state": {"source_ip": "192.0.2.1", "secure": True},
    }
    raw = raw_request(Request(scope))
    assert "secret" not in repr(raw)
    assert raw.headers == ((b"user-agent", b"test"),)
    assert (raw.source_ip, raw.secure) == ("192.0.2.1", True)
