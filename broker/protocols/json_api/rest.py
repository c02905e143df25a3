"""rest-json: method and path name the operation; JSON, path, query and headers hold it.

Source: Smithy, "HTTP binding traits" and "AWS REST JSON 1 protocol".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from broker.model.request import RawRequest
from broker.protocols.json_api.documents import (
    compile_document,
    compile_leaf,
    parse_document,
    read_iso8601,
    wire_name,
)
from broker.protocols.json_api.fault import JsonFault, declared_faults
from broker.protocols.shapes.constraints import Wording
from broker.protocols.shapes.documents import Results
from broker.protocols.shapes.members import Members, Read, compile_members, read_members
from broker.protocols.shapes.model import (
    HttpModel,
    ServiceModel,
    ShapeModel,
    ShapeReference,
)
from broker.protocols.shapes.violations import InputReason, InputRejected, Violations

PARAMETERS_MAX = 200
"""Of one query; a list takes one for each element."""

_OK = 200
_INTEGER = re.compile(r"[+-]?[0-9]{1,64}", re.ASCII)
_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_LABEL = re.compile(r"\{([A-Za-z]+)\}")


class RestCall(Struct, frozen=True, kw_only=True):
    """What is asked: decoded, but not yet held to the operation's model."""

    __repr__ = object.__repr__

    operation: str
    raw: RawRequest
    labels: Mapping[str, str]
    query: Mapping[str, list[str]]


RestReader = Callable[[RestCall], Mapping[str, object]]


class _Route(Struct, frozen=True, kw_only=True):
    operation: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]


class RestService:
    """One service: its routes, how operations are read and how they are answered."""

    def __init__(self, name: str, model: ServiceModel) -> None:
        self.name = name
        self.faults: Mapping[str, JsonFault] = declared_faults(model["shapes"])
        self._model = model
        self._routes = _routes(model)
        self.render = Results(model).render
        self._readers: dict[str, RestReader] = {}

    @property
    def operations(self) -> Iterable[str]:
        """The names of all operations."""
        return self._model["operations"]

    def route(self, raw: RawRequest, path: str) -> RestCall:
        """The call at a path below the service's prefix, still percent-encoded.

        Raises:
            InputRejected: INVALID_ACTION, no operation stands there;
                MALFORMED_QUERY_STRING, the query or the path cannot be decoded.
        """
        query = _parse_query(raw.query)
        for route in self._routes.get((raw.method, path[1:].partition("/")[0]), ()):
            match = route.path.fullmatch(path)
            if match and all(value in query.get(k, ()) for k, value in route.query):
                labels = {k: _decode(text) for k, text in match.groupdict().items()}
                return RestCall(
                    operation=route.operation, raw=raw, labels=labels, query=query
                )
        raise InputRejected(InputReason.INVALID_ACTION)

    def reader(self, operation: str) -> RestReader:
        """Reads and validates a call; raises ``InputRejected`` and nothing else."""
        reader = self._readers.get(operation)
        if reader is None:
            reader = self._readers[operation] = self._compile(operation)
        return reader

    def read_given(
        self, operation: str, params: Mapping[str, object]
    ) -> Mapping[str, object]:
        """What a page gives an operation, as JSON has it, held to the model.

        Raises:
            InputRejected: it breaks a constraint.
        """
        reference = self._model["operations"][operation].get("input")
        if reference is None:
            return {}
        shapes = self._model["shapes"]
        members = compile_members(
            shapes,
            shapes[reference["shape"]],
            lambda to: compile_document(shapes, to["shape"]),
        )
        violations = Violations(Wording())
        result = read_members(members, params, "", violations)
        violations.refuse()
        return result

    def place(self, operation: str) -> str:
        """Where an operation without labels stands, below the service's prefix.

        What its query must say comes after ``?``.
        """
        return _http(self._model, operation)["requestUri"]

    def path(self, operation: str) -> str:
        """The same without the query."""
        return self.place(operation).partition("?")[0]

    def is_signed(self, operation: str) -> bool:
        """Whether its requests have a signature."""
        return self._model["operations"][operation].get("authtype") != "none"

    def status(self, operation: str) -> int:
        """The status of a success."""
        return _http(self._model, operation).get("responseCode", _OK)

    def _compile(self, operation: str) -> RestReader:
        reference = self._model["operations"][operation].get("input")
        if reference is None:
            return lambda _call: {}
        shapes = self._model["shapes"]
        shape = shapes[reference["shape"]]
        if "payload" in shape:
            # Read as it is, without the member that holds it.
            shape = shapes[shape["members"][shape["payload"]]["shape"]]
        labels = self._members(shape, "uri")
        queries = self._members(shape, "querystring")
        headers = self._members(shape, "header")
        documents = self._members(shape, None)

        def read(call: RestCall) -> Mapping[str, object]:
            violations = Violations(Wording())
            result: dict[str, object] = {}
            if labels:
                result.update(read_members(labels, call.labels, "", violations))
            if queries and (call.query or queries.required):
                result.update(read_members(queries, call.query, "", violations))
            if headers:
                params = {
                    wire: call.raw.find_header(wire.lower().encode("ascii"))
                    for wire in headers
                }
                result.update(read_members(headers, params, "", violations))
            if documents:
                document = parse_document(call.raw.body)
                result.update(read_members(documents, document, "", violations))
            violations.refuse()
            return result

        return read

    def _members(self, shape: ShapeModel, location: str | None) -> Members:
        shapes = self._model["shapes"]

        def compile_one(to: ShapeReference) -> Read:
            if location is None:
                return compile_document(shapes, to["shape"])
            target = shapes[to["shape"]]
            if location == "querystring":
                return self._compile_query(target)
            return _compile_text(target)

        return compile_members(
            shapes,
            shape,
            compile_one,
            wire_name=wire_name,
            only=[
                member
                for member, reference in shape["members"].items()
                if reference.get("location") == location
            ],
        )

    def _compile_query(self, shape: ShapeModel) -> Read:
        if shape["type"] == "list":
            read_one = _compile_text(self._model["shapes"][shape["member"]["shape"]])

            def read_all(node: list[str], path: str, violations: Violations) -> object:
                return [read_one(text, path, violations) for text in node]

            return read_all
        read_text = _compile_text(shape)

        def read(node: list[str], path: str, violations: Violations) -> object:
            if len(node) > 1:
                raise InputRejected(
                    InputReason.VALIDATION_ERROR,
                    f"The parameter '{path}' was sent more than once.",
                )
            return read_text(node[0], path, violations)

        return read


def _compile_text(shape: ShapeModel) -> Read:
    """The reader of a value that is text on the wire, whatever its type."""
    match shape["type"]:
        case "timestamp":
            return read_iso8601
        case "boolean" | "integer" | "long":
            read_value = compile_leaf(shape)

            def read(node: str, path: str, violations: Violations) -> object:
                value: object = {"true": True, "false": False}.get(node, node)
                if _INTEGER.fullmatch(node):
                    value = int(node)
                return read_value(value, path, violations)

            return read
        case _:
            return compile_leaf(shape)


def _http(model: ServiceModel, operation: str) -> HttpModel:
    http = model["operations"][operation].get("http")
    if http is None:
        raise ValueError(f"{operation} does not say where it stands")
    return http


def _routes(model: ServiceModel) -> Mapping[tuple[str, str], tuple[_Route, ...]]:
    """By method and first segment (never a label); the longest query is tried first."""
    results: dict[tuple[str, str], list[_Route]] = {}
    for operation in model["operations"]:
        http = _http(model, operation)
        path, _, query = http["requestUri"].partition("?")
        pattern = "".join(
            f"(?P<{piece}>[^/]+)" if number % 2 else re.escape(piece)
            for number, piece in enumerate(_LABEL.split(path))
        )
        route = _Route(
            operation=operation,
            path=re.compile(pattern),
            query=frozenset(parse_qsl(query, keep_blank_values=True)),
        )
        place = http["method"], path[1:].partition("/")[0]
        results.setdefault(place, []).append(route)
    return {
        place: tuple(
            sorted(routes, key=lambda entry: (-len(entry.query), entry.path.groups))
        )
        for place, routes in results.items()
    }


def _parse_query(query: bytes) -> Mapping[str, list[str]]:
    results: dict[str, list[str]] = {}
    if not query:
        return results
    try:
        text = query.decode("ascii")
        if _BROKEN_ESCAPE.search(text):
            raise ValueError("a broken escape")  # noqa: TRY301
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX
        )
    except ValueError as error:
        raise _malformed() from error
    for name, value in pairs:
        results.setdefault(name, []).append(value)
    return results


def _decode(text: str) -> str:
    if _BROKEN_ESCAPE.search(text):
        raise _malformed()
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise _malformed() from error


def _malformed() -> InputRejected:
    return InputRejected(
        InputReason.MALFORMED_QUERY_STRING, "The address cannot be decoded."
    )
