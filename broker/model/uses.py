"""What was used last, and reports about it."""

from datetime import datetime

from msgspec import Struct

from broker.model.account import AccountId

PROOFS = "proofs"
ACCEPTED = "accepted"
REFUSED = "refused"
"""Service and actions of an identity provider's use: proofs of it, and what of them."""


class Use(Struct, frozen=True, kw_only=True):
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


class Report(Struct, frozen=True, kw_only=True):
    """A report that one call made for others to read."""

    account: AccountId
    report_id: str
    made_at: datetime
    body: str
