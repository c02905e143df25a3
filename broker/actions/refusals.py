"""What the Query protocol and the stores refuse, as the wire says it."""

from collections.abc import Mapping

import structlog

from broker import errors
from broker.protocols.query import InputReason, InputRejected
from broker.stores.errors import StoreFailedError, refusal_of

_log = structlog.get_logger(__name__)

REFUSALS = (InputRejected, StoreFailedError)

_ERRORS: Mapping[InputReason, type[errors.BrokerError]] = {
    InputReason.INVALID_ACTION: errors.InvalidAction,
    InputReason.MALFORMED_INPUT: errors.MalformedInput,
    InputReason.MALFORMED_QUERY_STRING: errors.MalformedQueryString,
    InputReason.VALIDATION_ERROR: errors.ValidationError,
}


def wire_error(error: Exception, request_id: str = "") -> errors.BrokerError:
    """The error that the client receives. What is no refusal is logged."""
    if isinstance(error, errors.BrokerError):
        return error
    if isinstance(error, InputRejected):
        return _ERRORS[error.reason](error.message)
    if isinstance(error, StoreFailedError):
        return refusal_of(error)
    _log.error("unexpected failure", request_id=request_id, exc_info=error)
    return errors.InternalFailure()
