"""What the Query protocol and the stores refuse, as the wire says it."""

from collections.abc import Mapping

from broker.errors import (
    BrokerError,
    InvalidAction,
    MalformedInput,
    MalformedQueryString,
    ValidationError,
)
from broker.protocols.query import InputReason, InputRejected
from broker.stores.errors import StoreFailedError, refusal_of

REFUSALS = (InputRejected, StoreFailedError)

_ERRORS: Mapping[InputReason, type[BrokerError]] = {
    InputReason.INVALID_ACTION: InvalidAction,
    InputReason.MALFORMED_INPUT: MalformedInput,
    InputReason.MALFORMED_QUERY_STRING: MalformedQueryString,
    InputReason.VALIDATION_ERROR: ValidationError,
}


def wire_error(refusal: InputRejected | StoreFailedError) -> BrokerError:
    """The error that the client receives."""
    if isinstance(refusal, InputRejected):
        return _ERRORS[refusal.reason](refusal.message)
    return refusal_of(refusal)
