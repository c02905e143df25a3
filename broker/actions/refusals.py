"""What the Query protocol and the stores refuse, as the wire says it."""

from collections.abc import Mapping

from broker.errors import (
    BrokerError,
    InvalidAction,
    MalformedInput,
    MalformedQueryString,
    ValidationError,
)
from broker.protocols.query import QueryReason, QueryRejected
from broker.stores.errors import StoreFailedError, refusal_of

REFUSALS = (QueryRejected, StoreFailedError)

_ERRORS: Mapping[QueryReason, type[BrokerError]] = {
    QueryReason.INVALID_ACTION: InvalidAction,
    QueryReason.MALFORMED_INPUT: MalformedInput,
    QueryReason.MALFORMED_QUERY_STRING: MalformedQueryString,
    QueryReason.VALIDATION_ERROR: ValidationError,
}


def wire_error(refusal: QueryRejected | StoreFailedError) -> BrokerError:
    """The error that the client receives."""
    if isinstance(refusal, QueryRejected):
        return _ERRORS[refusal.reason](refusal.message)
    return refusal_of(refusal)
