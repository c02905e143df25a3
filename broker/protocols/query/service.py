"""A service, compiled from its model operation by operation, on first use."""

from collections.abc import Iterable

from broker.protocols.query.call import QueryCall
from broker.protocols.query.json_renderer import compile_json_renderer
from broker.protocols.query.reader import Reader, compile_reader
from broker.protocols.query.renderer import Renderer, compile_renderer
from broker.protocols.shapes.constraints import Wording
from broker.protocols.shapes.model import ServiceModel
from broker.protocols.shapes.violations import InputReason, InputRejected

_NO_VERSION = "NO_VERSION_SPECIFIED"
_SHOWN_CHARACTERS = 128
_DEFAULT_STATUS = 400


class Service:
    """One service: its operations, how they are read and how they are answered.

    ``operation`` arguments must name one of ``operations``; anything else is a
    KeyError.
    """

    def __init__(self, model: ServiceModel, wording: Wording | None = None) -> None:
        metadata = model["metadata"]
        self.name = metadata["endpointPrefix"]
        self.version = metadata["apiVersion"]
        self.namespace = metadata.get("xmlNamespace", "")
        self.operations = frozenset(model["operations"])
        self._model = model
        self._wording = wording or Wording()
        self._readers: dict[str, Reader] = {}
        self._renderers: dict[tuple[str, bool], Renderer] = {}

    def reader(self, operation: str) -> Reader:
        """Reads and validates the parameters of an operation.

        The result is shaped as the operation's input: numbers are ints, times aware
        UTC datetimes, binary values bytes; what was not sent is not there. Unknown
        parameters are ignored. The reader raises `InputRejected` (MALFORMED_INPUT,
        VALIDATION_ERROR) and nothing else.
        """
        reader = self._readers.get(operation)
        if reader is None:
            reference = self._model["operations"][operation].get("input")
            reader = compile_reader(
                self._model["shapes"], reference and reference["shape"], self._wording
            )
            self._readers[operation] = reader
        return reader

    def renderer(self, operation: str, *, as_json: bool = False) -> Renderer:
        """Writes a result and the request id as XML (``text/xml``), or as JSON."""
        renderer = self._renderers.get((operation, as_json))
        if renderer is None:
            shapes, model = self._model["shapes"], self._model["operations"][operation]
            renderer = self._renderers[operation, as_json] = (
                compile_json_renderer(shapes, model)
                if as_json
                else compile_renderer(shapes, model, self.namespace)
            )
        return renderer


def select_service(services: Iterable[Service], call: QueryCall) -> Service:
    """The service whose version and operation the call names.

    ``call.action`` must be there; without one there is nothing to select.

    Raises:
        InputRejected: INVALID_ACTION.

    Source: recorded STS answers (REC-A).
    """
    action = call.action or ""
    for service in services:
        if service.version == call.version and action in service.operations:
            return service
    version = _NO_VERSION if call.version is None else call.version
    raise InputRejected(
        InputReason.INVALID_ACTION,
        f"Could not find operation {action[:_SHOWN_CHARACTERS]} "
        f"for version {version[:_SHOWN_CHARACTERS]}",
    )
