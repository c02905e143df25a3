"""botocore serialises and we read; we render and botocore parses: every operation."""

import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from botocore import parsers, serialize
from botocore.awsrequest import AWSRequest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from broker.actions.models import load_service_model
from broker.protocols.query.call import parse_call
from broker.protocols.query.fault import render_fault
from broker.protocols.query.service import Service, select_service
from tests.support.raw import raw_request

SERIALIZER = serialize.create_serializer("query")
PARSER = parsers.create_parser("query")
REQUEST_ID = "0b7c0a5e-5c2b-4a1e-9f0e-3f1f5c2d9a77"


def serialized(theirs: ServiceModel, operation: str, given: dict) -> tuple:
    operation_model = theirs.operation_model(operation)
    if operation_model.input_shape is not None:
        report = ParamValidator().validate(given, operation_model.input_shape)
        assert not report.has_errors(), report.generate_report()
    request = SERIALIZER.serialize_to_request(given, operation_model)
    prepared = AWSRequest(
        method=request["method"],
        url="http://127.0.0.1/",
        headers=request["headers"],
        data=request["body"],
    ).prepare()
    headers = [(k.lower().encode(), v.encode()) for k, v in prepared.headers.items()]
    body = prepared.body
    return body if isinstance(body, bytes) else body.encode(), headers, request["body"]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_what_botocore_serialises_is_read_as_it_was_given(
    *,
    ours: Service,
    theirs: ServiceModel,
    model: dict,
    operation: str,
    example: Callable[[str], dict],
    method: str,
) -> None:
    reference = model["operations"][operation].get("input")
    given = example(reference["shape"]) if reference else {}
    body, headers, params = serialized(theirs, operation, given)
    raw = (
        raw_request(body=body, headers=headers)
        if method == "POST"
        else raw_request(method="GET", query=urlencode(params).encode())
    )
    call = parse_call(raw)
    assert (call.action, call.version) == (operation, theirs.api_version)
    assert select_service([ours], call) is ours
    assert ours.reader(operation)(call.params) == given


def test_what_we_render_is_parsed_by_botocore_as_it_was_given(
    *,
    ours: Service,
    theirs: ServiceModel,
    model: dict,
    operation: str,
    example: Callable[[str], dict],
) -> None:
    reference = model["operations"][operation].get("output")
    result = example(reference["shape"]) if reference else {}
    body = ours.renderer(operation)(result, REQUEST_ID)
    assert body.endswith(b">\n")
    parsed = PARSER.parse(
        {"status_code": 200, "headers": {"x-amzn-requestid": REQUEST_ID}, "body": body},
        theirs.operation_model(operation).output_shape,
    )
    metadata = parsed.pop("ResponseMetadata")
    assert metadata["RequestId"] == REQUEST_ID
    assert parsed == result


def test_the_json_form_is_the_same_document(
    *, ours: Service, model: dict, operation: str, example: Callable[[str], dict]
) -> None:
    reference = model["operations"][operation].get("output")
    result = example(reference["shape"]) if reference else {}
    document = json.loads(ours.json_renderer(operation)(result, REQUEST_ID))
    response = document.pop(f"{operation}Response")
    assert not document
    assert response.pop("ResponseMetadata") == {"RequestId": REQUEST_ID}
    assert set(response.get(f"{operation}Result", {})) == set(result)
    assert (f"{operation}Result" in response) == (reference is not None)


def test_every_modelled_error_reaches_botocore_as_its_class(
    *, ours: Service, theirs: ServiceModel, operation: str
) -> None:
    operation_model = theirs.operation_model(operation)
    for shape in operation_model.error_shapes:
        error = shape.metadata.get("error", {"senderFault": True})
        body = render_fault(
            shape.error_code,
            "a <b> & c",
            fault="Sender" if error.get("senderFault") else "Receiver",
            request_id=REQUEST_ID,
            namespace=ours.namespace,
        )
        response = {"status_code": 400, "headers": {}, "body": body}
        parsed = PARSER.parse(response, operation_model.output_shape)
        assert parsed["Error"]["Code"] == shape.error_code
        assert parsed["Error"]["Message"] == "a <b> & c"
        assert parsed["ResponseMetadata"]["RequestId"] == REQUEST_ID
        found = theirs.shape_for_error_code(parsed["Error"]["Code"])
        assert found.name == shape.name


def test_both_models_are_whole() -> None:
    assert len(Service(load_service_model("sts")).operations) == 12
    assert len(Service(load_service_model("iam")).operations) == 181
