"""rest-json between the endpoint and the pipeline: a request in, an answer out.

A service brings its operations, and its names of the broker's errors.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import structlog
from msgspec.structs import replace

from broker import errors
from broker.actions.refusals import wire_error
from broker.model.request import Answer, CodeOf, RawRequest
from broker.protocols.json_api import JsonFault, RestCall, RestService

_log = structlog.get_logger(__name__)

BODY_BYTES_MAX = 16_384

Operation = Callable[[RestCall, str], Awaitable[Mapping[str, Any]]]
"""Does a call; the text is the request's id."""

_JSON = (b"content-type", b"application/json")


def naming(
    names: Mapping[type[errors.BrokerError], str], otherwise: str = ""
) -> CodeOf:
    """How a service names errors; one in its own words has its ``name``.

    One with a ``word``, OAuth's, has a status of its own, too.
    """

    def name_fault(error: errors.BrokerError) -> str:
        own: str = getattr(error, "name", "")
        return own or next(
            (name for kind, name in names.items() if isinstance(error, kind)),
            otherwise or error.code,
        )

    return name_fault


class RestApi:
    """Answers calls below a prefix, and at the same paths without it."""

    def __init__(
        self,
        service: RestService,
        prefix: str,
        operations: Mapping[str, Operation],
        name_fault: CodeOf,
        *,
        longer: Mapping[str, int] = MappingProxyType({}),
        words: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._service = service
        self._prefix = prefix
        self._operations = operations
        self._name_fault = name_fault
        self._longer = longer
        self._words = words

    @property
    def paths(self) -> Iterable[str]:
        """Where its operations stand without the prefix; they have no labels."""
        return map(self._service.path, self._operations)

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One call, from the wire to the wire. Never raises."""
        operation = ""
        try:
            path = raw.raw_path.decode("latin-1").removeprefix(self._prefix)
            call = self._service.route(raw, path)
            operation = call.operation
            if len(raw.body) > self._longer.get(operation, BODY_BYTES_MAX):
                raise errors.RequestEntityTooLarge("The body is too long.")  # noqa: TRY301
            perform = self._operations.get(operation)
            if perform is None:
                raise errors.UnsupportedOperation(  # noqa: TRY301
                    f"The operation {operation} is not supported."
                )
            result = await perform(call, request_id)
            return Answer(
                status=self._service.status(operation),
                headers=(_JSON,),
                body=self._service.render(operation, result),
                action=operation,
            )
        except Exception as error:  # noqa: BLE001  # the one place where anything may end
            return self._refusal(wire_error(error, request_id), operation)

    def _refusal(self, error: errors.BrokerError, operation: str) -> Answer:
        fault = self._fault(error)
        return Answer(
            status=fault.status,
            headers=(_JSON, (b"x-amzn-errortype", fault.code.encode("ascii"))),
            body=fault.render(error.words),
            action=operation,
            error_code=fault.code,
        )

    def _fault(self, error: errors.BrokerError) -> JsonFault:
        if isinstance(error, errors.InvalidAction):
            return JsonFault(
                code="UnknownOperationException", status=404, members=frozenset()
            )
        name = self._name_fault(error)
        declared = self._service.faults.get(name)
        word: str = getattr(error, "word", "") or self._words.get(name, "")
        if declared is None:
            return JsonFault(code=name, status=error.status, members=frozenset())
        is_declared = not word and error.status < errors.InternalFailure.status
        status = declared.status if is_declared else error.status
        return replace(declared, status=status, word=word)
