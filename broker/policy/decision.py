"""The answer to a request, with what decided it."""

from enum import StrEnum

from msgspec import Struct


class PolicyType(StrEnum):
    """A type of policy, in the words of AWS's denial texts."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    TRUST = "role trust policy"
    SESSION = "session policy"
    BOUNDARY = "permissions boundary"
    SERVICE_CONTROL = "service control policy"
    RESOURCE_CONTROL = "resource control policy"

    @property
    def with_article(self) -> str:
        """The type with its article: ``an identity-based policy``."""
        article = "an" if self is PolicyType.IDENTITY else "a"
        return f"{article} {self.value}"


class StatementRef(Struct, frozen=True):
    """A statement of a labelled policy; ``index`` counts from 0."""

    policy: str
    index: int
    sid: str | None = None

    def __str__(self) -> str:
        name = f' ("{self.sid}")' if self.sid else ""
        return f"statement {self.index + 1}{name} of {self.policy}"


class Decision(Struct, frozen=True, kw_only=True):
    """Allowed or not, by which type of policy, by which statements.

    For an allowed request ``statements`` are those that grant it (one of each layer
    that had to agree); for an explicit deny those that deny it; for an implicit deny
    there are none, and ``policy_type`` is the first type that should have allowed.
    """

    allowed: bool
    explicit_deny: bool = False
    policy_type: PolicyType
    statements: tuple[StatementRef, ...] = ()

    def denial_clause(self, action: str) -> str:
        """The tail of AWS's denial text; empty when the request is allowed.

        Source: recorded denials (REC-S federation, REC-L).
        """
        if self.allowed:
            return ""
        if self.explicit_deny:
            return f"with an explicit deny in {self.policy_type.with_article}"
        return f"because no {self.policy_type.value} allows the {action} action"
