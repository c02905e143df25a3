"""Errors of the JSON protocols.

The code stands in the header ``x-amzn-ErrorType`` (rest-json) or in the member
``__type`` (awsJson1.1). OAuth's services say it in ``error`` as well.

Source: Smithy, "AWS REST JSON 1 protocol", operation error serialization; botocore's
sso-oidc model.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from broker.protocols.shapes.documents import dump
from broker.protocols.shapes.model import ShapeModel, Shapes

_DEFAULT_STATUS = 400
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OAUTH_NAMES = {
    "internal_server": "server_error",
    "too_many_requests_error": "rate_exceeded",
}
"""Where OAuth's name is not AWS's in other letters."""


_FIELD = "fieldValidationFailed"
"""Why input is refused, in the models that ask for it."""


class JsonFault(Struct, frozen=True, kw_only=True):
    """An error as a service model declares it.

    ``word`` is OAuth's ``error`` where that does not follow from the code.
    """

    code: str
    status: int
    members: frozenset[str]
    word: str = ""

    def document(self, message: str) -> dict[str, str]:
        """The body's members."""
        if "error" not in self.members:
            fields = "fieldList" in self.members
            return {"message": message} | ({"reason": _FIELD} if fields else {})
        text = "message" if "message" in self.members else "error_description"
        return {"error": self.oauth_name, text: message}

    @property
    def oauth_name(self) -> str:
        """The value of OAuth's ``error``."""
        if self.word:
            return self.word
        name = _WORDS.sub("_", self.code.removesuffix("Exception")).lower()
        return _OAUTH_NAMES.get(name, name)

    def render(self, message: str) -> bytes:
        """The body of rest-json."""
        return dump(self.document(message))

    def render_typed(self, message: str) -> bytes:
        """The body of awsJson1.1, which holds the code."""
        return dump({"__type": self.code, **self.document(message)})


def declared_faults(shapes: Shapes) -> Mapping[str, JsonFault]:
    """Every error that the model declares, by the name of its shape."""
    return {
        name: JsonFault(
            code=name, status=_status(shape), members=frozenset(shape["members"])
        )
        for name, shape in shapes.items()
        if shape.get("exception")
    }


def _status(shape: ShapeModel) -> int:
    error = shape.get("error")
    return error["httpStatusCode"] if error else _DEFAULT_STATUS
