"""What a service provider expects of an assertion."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from broker.model.struct import struct
from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.keys import DecryptionKey


class Profile(StrEnum):
    """How strict the checks are that involve no cryptography.

    ``STRICT`` is the default. ``AWS`` does what the live service was seen to do:
    takes any or no Audience, NotBefore ahead, a Response whose Issuer differs and any
    lifetime, and takes only one SubjectConfirmation. It never touches signatures,
    algorithms, Recipient, expiry or the limit on IssueInstant.
    """

    STRICT = "strict"
    AWS = "aws"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlOptions:
    """The provider's own rules, set by its operator."""

    profile: Profile = Profile.STRICT
    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)


@struct
class AssertionExpectations:
    """Our names, the time, and what the provider is allowed.

    ``recipients`` also bounds a Destination. ``in_response_to`` holds the ids of
    requests that may be answered; with none, only an unsolicited Response passes,
    and with some an unsolicited one does not. ``decryption_keys`` are tried in their
    order.
    """

    audiences: AbstractSet[str]
    recipients: AbstractSet[str]
    now: datetime
    skew: timedelta
    decryption_keys: tuple[DecryptionKey, ...] = ()
    encryption_required: bool = False
    in_response_to: AbstractSet[str] = frozenset()
    options: SamlOptions = field(default_factory=SamlOptions)
