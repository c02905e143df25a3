"""Errors of the stores, and what they become on the wire."""

from broker.errors import (
    BrokerError,
    ConcurrentModification,
    OperatorError,
    ServiceUnavailable,
    ValidationError,
)

_UNKNOWN = (
    "The request has failed due to a temporary failure of the server. It may have taken"
    " effect: check the result before you retry."
)


class StoreFailedError(Exception):
    """The base of errors that any store call may raise."""


class StoreUnavailableError(StoreFailedError, OperatorError):
    """The store cannot be reached, or did not answer in time. Try again later."""


class OutcomeUnknownError(StoreUnavailableError):
    """The store went away during a write, whose outcome is unknown."""


class ReplayedError(Exception):
    """The proof was spent before, by another mint: that of ``mint_id``."""

    def __init__(self, mint_id: str) -> None:
        super().__init__("the proof was spent before")
        self.mint_id = mint_id


class AlreadyExistsError(Exception):
    """A unique name, id or alias is taken. ``kind`` says of what."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class ConflictError(StoreFailedError):
    """The transaction collided with another writer's."""


class UnstorableTextError(StoreFailedError):
    """A text of the statement has a character that the database cannot store."""


class InvalidMarkerError(ValueError):
    """A page marker is not one of this listing's."""


def refusal_of(failure: StoreFailedError) -> BrokerError:
    """The error that a caller gets for a store's failure, at every door."""
    if isinstance(failure, ConflictError):
        return ConcurrentModification(
            "The request was rejected because multiple requests to change this"
            " object were submitted simultaneously. Wait a few minutes and submit"
            " your request again."
        )
    if isinstance(failure, UnstorableTextError):
        return ValidationError("The request has a character that cannot be stored.")
    if isinstance(failure, OutcomeUnknownError):
        return ServiceUnavailable(_UNKNOWN, detail=f"its outcome is unknown: {failure}")
    return ServiceUnavailable(detail=f"a store is away: {failure}")
