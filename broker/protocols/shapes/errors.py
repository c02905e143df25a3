"""Why a request cannot be read."""

from enum import StrEnum


class InputReason(StrEnum):
    """What is wrong; each value is the name of the wire error."""

    INVALID_ACTION = "InvalidAction"
    MALFORMED_INPUT = "MalformedInput"
    MALFORMED_QUERY_STRING = "MalformedQueryString"
    VALIDATION_ERROR = "ValidationError"


class InputRejected(Exception):
    """The request does not say what the operation's model asks for.

    ``message`` is the wire text; None where AWS sends none. It never shows a value
    whose shape is sensitive.
    """

    def __init__(self, reason: InputReason, message: str | None = None) -> None:
        super().__init__(message or reason.value)
        self.reason = reason
        self.message = message
