"""Errors: a policy text that is refused, and a decision that is too costly."""

from enum import StrEnum

from broker.errors import with_advice


class RejectionReason(StrEnum):
    """What kind of mistake a policy text makes."""

    INVALID_JSON = "invalid-json"
    TOO_LONG = "too-long"
    DUPLICATE_KEY = "duplicate-key"
    UNKNOWN_ELEMENT = "unknown-element"
    WRONG_TYPE = "wrong-type"
    MISSING_ELEMENT = "missing-element"
    FORBIDDEN_ELEMENT = "forbidden-element"
    CONFLICTING_ELEMENTS = "conflicting-elements"
    EMPTY = "empty"
    INVALID_VERSION = "invalid-version"
    INVALID_EFFECT = "invalid-effect"
    INVALID_SID = "invalid-sid"
    INVALID_ACTION = "invalid-action"
    INVALID_RESOURCE = "invalid-resource"
    INVALID_PRINCIPAL = "invalid-principal"
    INVALID_CONDITION = "invalid-condition"
    INVALID_VARIABLE = "invalid-variable"
    SHARED_ISSUER = "shared-issuer"


class PolicyRejected(Exception):
    """A policy text breaks the grammar.

    ``message`` is IAM's own sentence, fit for the wire (``MalformedPolicyDocument``).
    ``advice`` says in our words where, what is wrong and what to write; it is empty
    where the sentence says all. ``place`` names statement and element (``Statement 2
    ("Read"), Action``), empty when the whole text is meant.
    """

    def __init__(
        self, reason: RejectionReason, message: str, place: str = "", advice: str = ""
    ) -> None:
        super().__init__(with_advice(message, advice))
        self.reason = reason
        self.message = message
        self.place = place
        self.advice = advice

    @property
    def words(self) -> str:
        """What people read: the message and the advice."""
        return with_advice(self.message, self.advice)

    def __reduce__(
        self,
    ) -> tuple[type["PolicyRejected"], tuple[RejectionReason, str, str, str]]:
        return type(self), (self.reason, self.message, self.place, self.advice)


class TooMuchWork(Exception):
    """A decision or a simulation could take more work than it may.

    ``units`` is what it could take, ``allowed`` what it may: units of `work`.
    """

    def __init__(self, units: int, allowed: int) -> None:
        super().__init__(
            f"to decide takes up to {units} units of work, and {allowed} are allowed"
        )
        self.units = units
        self.allowed = allowed

    def __reduce__(self) -> tuple[type["TooMuchWork"], tuple[int, int]]:
        return type(self), (self.units, self.allowed)
