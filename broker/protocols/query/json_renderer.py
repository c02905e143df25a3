"""The JSON form of answers, for clients whose ``Accept`` asks for it.

The same document as the XML: maps are objects, lists arrays, times seconds since
the epoch, binary values base64.

Source: recorded answers (REC-L); the security advisories of
kubernetes-sigs/aws-iam-authenticator.
"""

from collections.abc import Mapping

from broker.protocols.query.renderer import Renderer
from broker.protocols.shapes.documents import compile_writer, dump
from broker.protocols.shapes.model import OperationModel, Shapes


def compile_json_renderer(shapes: Shapes, operation: OperationModel) -> Renderer:
    """The JSON renderer of one operation. A member that is None is left out."""
    name = operation["name"]
    output = operation.get("output")
    write = output and compile_writer(shapes, output["shape"])

    def render(result: Mapping[str, object], request_id: str) -> bytes:
        response: dict[str, object] = {}
        if write is not None:
            response[f"{name}Result"] = write(result)
        response["ResponseMetadata"] = {"RequestId": request_id}
        return dump({f"{name}Response": response})

    return render
