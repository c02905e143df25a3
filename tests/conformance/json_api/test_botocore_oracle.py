"""botocore serialises and we read; we render and botocore parses: every operation.

Values are drawn from the models, without their patterns: those are Query's tests' to
check. What the readers make of the whole models is checked by compiling them all.
"""

import gzip
import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from botocore import parsers, serialize
from botocore.awsrequest import AWSRequest
from botocore.model import ServiceModel
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.protocols.json_api import RestService, TargetService
from tests.support.raw import raw_request
from tests.support.rows import rows

REST = {"sso": "2019-06-10", "sso-oidc": "2019-06-10", "rolesanywhere": "2018-05-10"}
TARGET = {"cloudtrail": "2013-11-01"}
ORIGIN = "http://127.0.0.1"


def load(name: str, version: str) -> dict[str, Any]:
    packed = files("botocore") / "data" / name / version / "service-2.json.gz"
    return json.loads(gzip.decompress(packed.read_bytes()))


def without_patterns(model: dict[str, Any]) -> dict[str, Any]:
    shapes = {
        name: {key: value for key, value in shape.items() if key != "pattern"}
        for name, shape in model["shapes"].items()
    }
    return {**model, "shapes": shapes}


WHOLE = {name: load(name, version) for name, version in (REST | TARGET).items()}
MODELS = {name: without_patterns(model) for name, model in WHOLE.items()}
THEIRS = {name: ServiceModel(model, name) for name, model in MODELS.items()}
OURS = {
    name: (RestService if name in REST else TargetService)(name, model)
    for name, model in MODELS.items()
}
OPERATIONS = [
    (name, op) for name, model in MODELS.items() for op in model["operations"]
]
every_operation = rows(
    ("name", "operation"), OPERATIONS, ids=[".".join(pair) for pair in OPERATIONS]
)

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
)
TIMES = st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))


def values(  # noqa: PLR0911  # one for each type
    model: dict[str, Any], name: str, where: str | None = None
) -> Any:
    shape = model["shapes"][name]
    least, most = shape.get("min", 0), shape.get("max", 1 << 31)
    match shape["type"]:
        case "structure":
            return structures(model, shape)
        case "list":
            element = values(model, shape["member"]["shape"], where)
            size = max(least, 1) if where else least
            return st.lists(element, min_size=size, max_size=min(most, size + 2))
        case "map":
            key = values(model, shape["key"]["shape"])
            target = values(model, shape["value"]["shape"])
            return st.dictionaries(
                key, target, min_size=least, max_size=min(most, least + 2)
            )
        case "integer" | "long":
            return st.integers(max(least, -100), min(most, (1 << 31) - 1))
        case "float" | "double":
            return st.floats(-1e6, 1e6)
        case "boolean":
            return st.booleans()
        case "timestamp":
            return TIMES
        case "blob":
            return st.binary(min_size=least, max_size=least + 8)
        case "string" if "enum" in shape:
            return st.sampled_from(shape["enum"])
        case _:
            # An empty label or header is not a value on the wire.
            size = max(least, 1) if where in {"uri", "header"} else least
            strategy = TEXTS if where != "header" else st.text("abc-~", min_size=1)
            return strategy.filter(bool).map(
                lambda text: (text * (size // len(text) + 1))[: min(most, size + 8)]
            )


def structures(model: dict[str, Any], shape: dict[str, Any]) -> Any:
    members = {
        member: values(model, to["shape"], to.get("location"))
        for member, to in shape["members"].items()
        if not is_recursive(model, to["shape"])
    }
    required = set(shape.get("required", ())) & members.keys()
    if shape.get("union"):
        return st.one_of(
            [value.map(lambda v, m=m: {m: v}) for m, value in members.items()]
        )
    optional = {m: value for m, value in members.items() if m not in required}
    return st.fixed_dictionaries({m: members[m] for m in required}, optional=optional)


def is_recursive(model: dict[str, Any], name: str, seen: tuple[str, ...] = ()) -> bool:
    if name in seen:
        return True
    shape = model["shapes"][name]
    below = [to["shape"] for to in shape.get("members", {}).values()]
    below += [shape[part]["shape"] for part in ("member", "value") if part in shape]
    return any(is_recursive(model, entry, (*seen, name)) for entry in below)


def sent(name: str, operation: str, values: dict[str, Any]) -> Any:
    """The request as botocore's HTTP session sends it."""
    operation_model = THEIRS[name].operation_model(operation)
    serializer = serialize.create_serializer(operation_model.metadata["protocol"])
    request = serializer.serialize_to_request(values, operation_model)
    prepared = AWSRequest(
        method=request["method"],
        url=ORIGIN + request["url_path"],
        params=request["query_string"],
        headers=request["headers"],
        data=request["body"],
    ).prepare()
    body = prepared.body or b""
    address = urlsplit(prepared.url)
    return raw_request(
        method=prepared.method,
        raw_path=address.path.encode(),
        query=address.query.encode(),
        headers=[
            (k.lower().encode(), str(v).encode()) for k, v in prepared.headers.items()
        ],
        body=body if isinstance(body, bytes) else body.encode(),
    )


def read(name: str, raw: Any) -> tuple[str | None, Any]:
    ours = OURS[name]
    if isinstance(ours, RestService):
        call = ours.route(raw, raw.raw_path.decode("ascii"))
        return call.operation, ours.reader(call.operation)(call)
    operation = ours.require_operation(raw.find_header(b"x-amz-target") or "")
    return operation, ours.reader(operation)(raw.body)


@every_operation
def test_what_botocore_serialises_is_read_as_it_was_given(
    name: str, operation: str
) -> None:
    reference = MODELS[name]["operations"][operation].get("input")
    drawn = values(MODELS[name], reference["shape"]) if reference else st.just({})

    @settings(max_examples=5, deadline=None, database=None)
    @given(drawn)
    def check(given_values: dict[str, Any]) -> None:
        assert read(name, sent(name, operation, given_values)) == (
            operation,
            given_values,
        )

    check()


@every_operation
def test_what_we_render_is_parsed_by_botocore_as_it_was_given(
    name: str, operation: str
) -> None:
    operation_model = THEIRS[name].operation_model(operation)
    parser = parsers.create_parser(operation_model.metadata["protocol"])
    reference = MODELS[name]["operations"][operation].get("output")
    drawn = values(MODELS[name], reference["shape"]) if reference else st.just({})

    @settings(max_examples=5, deadline=None, database=None)
    @given(drawn)
    def check(result: dict[str, Any]) -> None:
        body = OURS[name].render(operation, result)
        answer = {"status_code": 200, "headers": {}, "body": body}
        parsed = parser.parse(answer, operation_model.output_shape)
        parsed.pop("ResponseMetadata")
        assert parsed == result

    check()


@rows("name", MODELS)
def test_every_fault_is_understood_by_botocore(name: str) -> None:
    theirs = THEIRS[name]
    parser = parsers.create_parser(theirs.metadata["protocol"])
    assert OURS[name].faults.keys() == {shape.name for shape in theirs.error_shapes}
    for fault in OURS[name].faults.values():
        headers = {"x-amzn-errortype": fault.code} if name in REST else {}
        body = fault.render("no") if name in REST else fault.render_typed("no")
        answer = {"status_code": fault.status, "headers": headers, "body": body}
        error = parser.parse(answer, None)["Error"]
        assert error["Code"] == fault.code
        if "error" in fault.members:
            parsed = parser.parse(answer, theirs.shape_for(fault.code))
            assert (parsed["error_description"], parsed["error"]) == (
                "no",
                fault.oauth_name,
            )
        else:
            assert error["Message"] == "no"


@rows("name", WHOLE)
def test_every_operation_of_the_whole_models_compiles(name: str) -> None:
    service = (RestService if name in REST else TargetService)(name, WHOLE[name])
    for operation in WHOLE[name]["operations"]:
        assert callable(service.reader(operation))
