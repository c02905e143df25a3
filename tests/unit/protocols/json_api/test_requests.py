"""What the JSON protocols refuse, and that they refuse in no other way."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.protocols.json_api import RestService, TargetService
from broker.protocols.shapes.violations import InputReason, InputRejected
from tests.support.raw import raw_request
from tests.support.rows import of_file, rows

SHAPES: dict[str, Any] = of_file(__file__, "SHAPES")
MODEL: Any = of_file(__file__, "MODEL")
SERVICE = RestService("x", MODEL)
MALFORMED, INVALID = InputReason.MALFORMED_INPUT, InputReason.VALIDATION_ERROR


def read(
    path: str = "/things/a", query: bytes = b"", body: bytes = b"", **headers: str
) -> Any:
    raw = raw_request(
        query=query,
        body=body,
        headers=[
            (k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()
        ],
    )
    call = SERVICE.route(raw, path)
    return SERVICE.reader(call.operation)(call)


def test_each_part_of_a_request_is_read() -> None:
    match = read(
        "/things/a%2Fb", b"max_size=7&tags=x&tags=y", b'{"only":{"b":3}}', x_flag="true"
    )
    assert match == {
        "name": "a/b",
        "size": 7,
        "tags": ["x", "y"],
        "flag": True,
        "one": {"b": 3},
    }


@rows("path, query, operation")
def test_the_most_particular_route_wins(
    path: str, query: bytes, operation: str
) -> None:
    assert SERVICE.route(raw_request(query=query), path).operation == operation


@pytest.mark.parametrize(
    "path", ["/", "/things", "/things/", "/things/a/b", "//things/a", ""]
)
def test_other_paths_are_no_operation(path: str) -> None:
    with pytest.raises(InputRejected) as refused:
        SERVICE.route(raw_request(), path)
    assert refused.value.reason is InputReason.INVALID_ACTION


@rows(
    ("request_parts", "reason"),
    [
        ({"body": b"[]"}, MALFORMED),
        ({"body": b"{"}, MALFORMED),
        ({"body": b"\xff"}, MALFORMED),
        ({"body": b'{"when":1,"when":2}'}, MALFORMED),
        ({"body": b"[" * 100_000}, MALFORMED),
        ({"body": b'{"when":"2026-01-01"}'}, MALFORMED),
        ({"body": b'{"when":true}'}, MALFORMED),
        ({"body": b'{"when":1e400}'}, MALFORMED),
        ({"body": b'{"when":-1}'}, MALFORMED),
        ({"body": b'{"when":NaN}'}, MALFORMED),
        ({"body": b'{"data":"!"}'}, MALFORMED),
        ({"body": b'{"data":1}'}, MALFORMED),
        ({"body": b'{"ratio":"1"}'}, MALFORMED),
        ({"body": b'{"kept":"a"}'}, MALFORMED),
        ({"body": b'{"kept":[null]}'}, MALFORMED),
        ({"body": b'{"kept":[1]}'}, MALFORMED),
        ({"body": b'{"map":[]}'}, MALFORMED),
        ({"body": b'{"map":{"a":true}}'}, MALFORMED),
        ({"body": b'{"map":{"a":1.5}}'}, MALFORMED),
        ({"body": b'{"map":{"a":99999999999}}'}, MALFORMED),
        ({"body": b'{"only":"a"}'}, MALFORMED),
        ({"body": b'{"kept":["a","b","c"]}'}, INVALID),
        ({"body": b'{"kept":["123456789"]}'}, INVALID),
        ({"body": b'{"only":{}}'}, INVALID),
        ({"body": b'{"only":{"a":"x","b":1}}'}, INVALID),
        ({"query": b"max_size=x"}, MALFORMED),
        ({"query": b"max_size=101"}, INVALID),
        ({"query": b"max_size=1&max_size=2"}, INVALID),
        ({"query": b"max_size=%zz"}, InputReason.MALFORMED_QUERY_STRING),
        ({"query": b"tags=%ff"}, InputReason.MALFORMED_QUERY_STRING),
        ({"query": b"tags=a" + b"&tags=a" * 300}, InputReason.MALFORMED_QUERY_STRING),
        ({"x_flag": "yes"}, MALFORMED),
        ({"path": "/things/%ff"}, InputReason.MALFORMED_QUERY_STRING),
        ({"path": "/things/%2"}, InputReason.MALFORMED_QUERY_STRING),
        ({"path": "/things/123456789"}, INVALID),
    ],
)
def test_what_breaks_the_model_is_refused(
    request_parts: Any, reason: InputReason
) -> None:
    with pytest.raises(InputRejected) as refused:
        read(**request_parts)
    assert refused.value.reason is reason


def test_a_missing_member_is_named() -> None:
    model = {**MODEL, "operations": {"Put": {**MODEL["operations"]["Put"]}}}
    model["metadata"] = {**MODEL["metadata"], "targetPrefix": "Some.Thing_1"}
    service = TargetService("x", model)
    assert service.require_operation("Some.Thing_1.Put") == "Put"
    assert service.is_named("Some.Thing_1.Get")
    assert not service.is_named("Other.Put")
    with pytest.raises(InputRejected, match="Member must not be null"):
        service.reader("Put")(b"{}")
    with pytest.raises(InputRejected) as refused:
        service.require_operation("Some.Thing_1.Get")
    assert refused.value.reason is InputReason.INVALID_ACTION


@given(st.text(), st.binary(), st.binary(), st.text("truefals0", max_size=5))
def test_any_request_is_read_or_refused(
    name: str, query: bytes, body: bytes, flag: str
) -> None:
    with suppress(InputRejected):
        read(f"/things/{name}", query, body, x_flag=flag)
