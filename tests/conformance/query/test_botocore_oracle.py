"""botocore serialises and we read; we render and botocore parses: every operation."""

import functools
import json
import random
from base64 import b64encode
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import botocore.session
import pytest
from botocore import parsers, serialize
from botocore.awsrequest import AWSRequest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from broker.actions.models import load_service_model
from broker.protocols.query.call import parse_call
from broker.protocols.query.fault import render_fault
from broker.protocols.query.renderer import RECORDED_ORDER
from broker.protocols.query.service import Service, select_service
from tests.conformance.query import examples
from tests.support import effort
from tests.support.raw import raw_request
from tests.support.rows import rows

SERIALIZER = serialize.create_serializer("query")
DRAWN: dict[str, list[Any]] = {
    "boolean": [True, False],
    "blob": [b"", b"\x00\xff<blob>&"],
    "integer": [0, -(2**31), 7],
    "long": [2**40],
    "string": ["", "plain", "arn:aws:iam::1:role/a", "<&>", "100%s %d", examples.TEXT],
}
PARSER = parsers.create_parser("query")
REQUEST_ID = "0b7c0a5e-5c2b-4a1e-9f0e-3f1f5c2d9a77"


class Api:
    """A service's model, as we compile it and as botocore does."""

    def __init__(self, name: str) -> None:
        self.model: Any = load_service_model(cast("Any", name))
        self.ours = Service(self.model)
        self.theirs: ServiceModel = botocore.session.get_session().get_service_model(
            name
        )

    def example(self, operation: str, side: str, *, full: bool) -> dict[str, Any]:
        reference = self.model["operations"][operation].get(side)
        if reference is None:
            return {}
        return examples.structure(self.model["shapes"], reference["shape"], full=full)


@functools.cache
def apis() -> dict[str, Api]:
    return {name: Api(name) for name in ("sts", "iam")}


def operations() -> list[Any]:
    return [
        pytest.param(api, operation, id=f"{name}.{operation}")
        for name, api in apis().items()
        for operation in api.theirs.operation_names
    ]


def forms() -> list[Any]:
    """Each operation with all members and with the required ones only."""
    return [
        pytest.param(*param.values, full, id=f"{param.id}-{name}")
        for param in operations()
        for name, full in (("full", True), ("required", False))
    ]


def serialized(theirs: ServiceModel, operation: str, params: dict) -> tuple:
    operation_model = theirs.operation_model(operation)
    if operation_model.input_shape is not None:
        report = ParamValidator().validate(params, operation_model.input_shape)
        assert not report.has_errors(), report.generate_report()
    request = SERIALIZER.serialize_to_request(params, operation_model)
    prepared = AWSRequest(
        method=request["method"],
        url="http://127.0.0.1/",
        headers=request["headers"],
        data=request["body"],
    ).prepare()
    headers = [(k.lower().encode(), v.encode()) for k, v in prepared.headers.items()]
    body = prepared.body
    return body if isinstance(body, bytes) else body.encode(), headers, request["body"]


@rows("api,operation,full", forms)
def test_what_botocore_serialises_is_read_as_it_was_given(
    *, api: Api, operation: str, full: bool
) -> None:
    parameters = api.example(operation, "input", full=full)
    body, headers, params = serialized(api.theirs, operation, parameters)
    for raw in (
        raw_request(body=body, headers=headers),
        raw_request(method="GET", query=urlencode(params).encode()),
    ):
        call = parse_call(raw)
        assert (call.action, call.version) == (operation, api.theirs.api_version)
        assert select_service([api.ours], call) is api.ours
        assert api.ours.reader(operation)(call.params) == parameters


def drawn(chance: random.Random, shape: Any) -> Any:
    """A value of a shape, as a handler may return it: members in any order, or None."""
    match shape.type_name:
        case "structure":
            some = [*shape.members.items()]
            some = chance.sample(some, chance.randint(len(some) // 2, len(some)))
            return {
                name: drawn(chance, member) if chance.random() < 0.95 else None
                for name, member in some
            }
        case "list":
            return [drawn(chance, shape.member) for _ in range(chance.randrange(3))]
        case "map":
            keys = ["k", "<&>"][: chance.randrange(3)]
            return {key: drawn(chance, shape.value) for key in keys}
        case "timestamp":
            return datetime.fromtimestamp(chance.randrange(2**31 * 4) / 4, UTC)
        case type_:
            return chance.choice(DRAWN[type_])


def present(value: Any) -> Any:
    """Without the members that are None."""
    if isinstance(value, dict):
        return {k: present(v) for k, v in value.items() if v is not None}
    return [*map(present, value)] if isinstance(value, list) else value


def written(shape: Any, tag: str, value: Any, indent: str) -> str:
    """The element of a value, one part after the other."""
    match shape.type_name:
        case "structure":
            order = dict.fromkeys((*RECORDED_ORDER.get(shape.name, ()), *shape.members))
            parts = [(shape.members[n], n, value[n]) for n in order if n in value]
        case "list":
            parts = [(shape.member, "member", element) for element in value]
        case "map":
            entry = SimpleNamespace(
                type_name="structure",
                name="",
                members={"key": shape.key, "value": shape.value},
            )
            parts = [
                (entry, "entry", dict(zip(entry.members, pair, strict=True)))
                for pair in value.items()
            ]
        case "timestamp":
            text = value.isoformat(timespec="milliseconds")[:-6].removesuffix(".000")
            return f"{indent}<{tag}>{text}Z</{tag}>\n"
        case "blob":
            return f"{indent}<{tag}>{b64encode(value).decode()}</{tag}>\n"
        case _:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            text = escape(text, {"\r": "&#xD;"})
            return f"{indent}<{tag}>{text}</{tag}>\n" if text else f"{indent}<{tag}/>\n"
    inner = "".join(written(*part, f"{indent}  ") for part in parts)
    if not inner:
        return f"{indent}<{tag}/>\n"
    return f"{indent}<{tag}>\n{inner}{indent}</{tag}>\n"


@rows("api,operation", operations)
def test_what_we_render_is_what_is_written_part_by_part_and_parsed_by_botocore(
    api: Api, operation: str
) -> None:
    """Of results drawn by chance, so that one layout follows another."""
    shape = api.theirs.operation_model(operation).output_shape
    render = api.ours.renderer(operation)
    chance = random.Random(operation)
    for _ in range(effort.examples(10)):
        result = {} if shape is None else drawn(chance, shape)
        whole = present(result)
        body = render(result, REQUEST_ID)
        if shape is not None:
            start = body.index(b"\n") + 1
            text = written(shape, f"{operation}Result", whole, "  ").encode()
            assert body[start:].startswith(text), result
        parsed = PARSER.parse({"status_code": 200, "headers": {}, "body": body}, shape)
        metadata = parsed.pop("ResponseMetadata")
        assert metadata["RequestId"] == REQUEST_ID
        assert parsed == whole, result


@rows("api,operation,full", forms)
def test_the_json_form_is_the_same_document(
    *, api: Api, operation: str, full: bool
) -> None:
    result = api.example(operation, "output", full=full)
    document = json.loads(
        api.ours.renderer(operation, as_json=True)(result, REQUEST_ID)
    )
    response = document.pop(f"{operation}Response")
    assert not document
    assert response.pop("ResponseMetadata") == {"RequestId": REQUEST_ID}
    assert set(response.get(f"{operation}Result", {})) == set(result)
    has_output = "output" in api.model["operations"][operation]
    assert (f"{operation}Result" in response) == has_output


@rows("api,operation", operations)
def test_every_modelled_error_reaches_botocore_as_its_class(
    api: Api, operation: str
) -> None:
    operation_model = api.theirs.operation_model(operation)
    for shape in operation_model.error_shapes:
        error = shape.metadata.get("error", {"senderFault": True})
        body = render_fault(
            shape.error_code,
            "a <b> & c",
            fault="Sender" if error.get("senderFault") else "Receiver",
            request_id=REQUEST_ID,
            namespace=api.ours.namespace,
        )
        response = {"status_code": 400, "headers": {}, "body": body}
        parsed = PARSER.parse(response, operation_model.output_shape)
        assert parsed["Error"]["Code"] == shape.error_code
        assert parsed["Error"]["Message"] == "a <b> & c"
        assert parsed["ResponseMetadata"]["RequestId"] == REQUEST_ID
        match = api.theirs.shape_for_error_code(parsed["Error"]["Code"])
        assert match.name == shape.name


def test_both_models_are_whole() -> None:
    assert {name: len(api.ours.operations) for name, api in apis().items()} == {
        "sts": 12,
        "iam": 181,
    }
