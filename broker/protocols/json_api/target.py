"""awsJson1.1: a POST to ``/`` whose header ``X-Amz-Target`` names the operation.

Source: Smithy, "AWS JSON 1.1 protocol".
"""

from collections.abc import Callable, Mapping

from broker.protocols.json_api.documents import (
    compile_document,
    parse_document,
    wire_name,
)
from broker.protocols.json_api.fault import JsonFault, declared_faults
from broker.protocols.shapes.constraints import Wording
from broker.protocols.shapes.documents import Results
from broker.protocols.shapes.members import compile_members, read_members
from broker.protocols.shapes.model import ServiceModel
from broker.protocols.shapes.violations import InputReason, InputRejected, Violations

DocumentReader = Callable[[bytes], Mapping[str, object]]


class TargetService:
    """One service: its operations, how they are read and how they are answered."""

    def __init__(self, name: str, model: ServiceModel) -> None:
        self.name = name
        self.faults: Mapping[str, JsonFault] = declared_faults(model["shapes"])
        self._prefix = f"{model['metadata'].get('targetPrefix', '')}."
        self._model = model
        self.render = Results(model).render
        self._readers: dict[str, DocumentReader] = {}

    def is_named(self, target: str) -> bool:
        """Whether a target names an operation of this service, be it one or none."""
        return target.startswith(self._prefix)

    def require_operation(self, target: str) -> str:
        """The operation that a target names.

        Raises:
            InputRejected: INVALID_ACTION, the service has no such operation.
        """
        operation = target.removeprefix(self._prefix)
        if operation not in self._model["operations"]:
            raise InputRejected(InputReason.INVALID_ACTION)
        return operation

    def reader(self, operation: str) -> DocumentReader:
        """Reads and validates a body; raises ``InputRejected`` and nothing else."""
        reader = self._readers.get(operation)
        if reader is None:
            reader = self._readers[operation] = self._compile(operation)
        return reader

    def _compile(self, operation: str) -> DocumentReader:
        reference = self._model["operations"][operation].get("input")
        if reference is None:
            return lambda _body: {}
        shapes = self._model["shapes"]
        members = compile_members(
            shapes,
            shapes[reference["shape"]],
            lambda to: compile_document(shapes, to["shape"]),
            wire_name=wire_name,
        )

        def read(body: bytes) -> Mapping[str, object]:
            violations = Violations(Wording())
            result = read_members(members, parse_document(body), "", violations)
            violations.refuse()
            return result

        return read
