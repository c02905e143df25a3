"""What was used last, and reports about it."""

from dataclasses import dataclass
from datetime import datetime

from broker.model.account import AccountId

PROOFS = "proofs"
ACCEPTED = "accepted"
REFUSED = "refused"
"""Service and actions of an identity provider's use: proofs of it, and what of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """The last use of a subject for one action of a service.

    ``subject`` is an access key's id or a principal's unique id; the ``action`` of an
    access key's use is empty. ``service`` is the prefix of its actions, or
    ``signin`` for a password.
    """

    account: AccountId
    subject: str
    service: str
    action: str
    at: datetime
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that one call made for others to read."""

    account: AccountId
    report_id: str
    made_at: datetime
    body: str
