"""Checks audience and times of an assertion. Anything missing is refused."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from enum import StrEnum

from lxml.etree import _Element
from msgspec import Struct, field

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import children_named, text_of
from broker.protocols.saml.keys import DecryptionKey
from broker.protocols.saml.names import (
    AUDIENCE,
    AUDIENCE_RESTRICTION,
    AUTHN_STATEMENT,
    BEARER,
    CONDITIONS,
    ONE_TIME_USE,
    PROXY_RESTRICTION,
    SUBJECT_CONFIRMATION,
    SUBJECT_CONFIRMATION_DATA,
)
from broker.protocols.saml.texts import parse_instant

_ONCE = frozenset({ONE_TIME_USE, PROXY_RESTRICTION})
"""Conditions that stand once. Source: SAML 2.0 Core 2.5.1.5 and 2.5.1.6."""


AGE_MAX = timedelta(minutes=5)
"""From IssueInstant to use. Source: IAM User Guide, "Configure SAML assertions"."""


LIFETIME_MAX = timedelta(days=1)
"""From IssueInstant to any NotOnOrAfter; an honest one is minutes to hours."""


class Profile(StrEnum):
    """How strict the checks are that involve no cryptography.

    ``STRICT`` is the default. ``AWS`` does what the live service was seen to do:
    takes any or no Audience, NotBefore ahead, a Response whose Issuer differs and any
    lifetime, and takes only one SubjectConfirmation. It never touches signatures,
    algorithms, Recipient, expiry or the limit on IssueInstant.
    """

    STRICT = "strict"
    AWS = "aws"


class SamlOptions(Struct, frozen=True, kw_only=True):
    """The provider's own rules, set by its operator."""

    profile: Profile = Profile.STRICT
    algorithms: AlgorithmPolicy = field(default_factory=AlgorithmPolicy)


class AssertionExpectations(Struct, frozen=True, kw_only=True):
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
    options: SamlOptions = SamlOptions()


class Confirmation(Struct, frozen=True, kw_only=True):
    """The bearer confirmation that was accepted."""

    recipient: str
    not_on_or_after: datetime
    in_response_to: str | None


def check_issue_instant(
    instant: datetime, *, expected: AssertionExpectations, where: str
) -> None:
    """Refuse what was issued in the future or more than five minutes ago.

    Raises:
        SamlRejected: NOT_YET_VALID or ISSUED_TOO_LONG_AGO.
    """
    if instant > expected.now + expected.skew:
        raise SamlRejected(
            SamlReason.NOT_YET_VALID, f"{where} {instant} is ahead of {expected.now}"
        )
    if expected.now - instant > AGE_MAX + expected.skew:
        raise SamlRejected(
            SamlReason.ISSUED_TOO_LONG_AGO,
            f"{where} {instant} is more than 5 minutes before {expected.now}",
        )


def require_conditions(
    assertion: _Element, *, expected: AssertionExpectations
) -> datetime | None:
    """Refuse an assertion whose Conditions do not hold; returns their NotOnOrAfter.

    Every assertion is good once, so OneTimeUse asks for nothing more. There must be an
    AudienceRestriction, and each must name one of our audiences exactly. A condition that
    is not understood is not met, and OneTimeUse and ProxyRestriction stand once.

    Raises:
        SamlRejected: STRUCTURE, TIMESTAMP, NOT_YET_VALID, EXPIRED, AUDIENCE_WRONG
            or CONDITION_UNKNOWN.

    Source: SAML 2.0 Core 2.5.1.
    """
    elements = children_named(assertion, CONDITIONS)
    if len(elements) != 1:
        raise SamlRejected(SamlReason.STRUCTURE, f"{len(elements)} Conditions, not one")
    conditions = elements[0]
    is_strict = expected.options.profile is Profile.STRICT
    not_on_or_after = _require_window(conditions, "Conditions", expected)
    restrictions, once = 0, set(_ONCE)
    for condition in conditions:
        if condition.tag == AUDIENCE_RESTRICTION:
            restrictions += 1
            if is_strict:
                _check_audience(condition, expected)
        elif condition.tag in once:
            once.remove(condition.tag)
        elif condition.tag in _ONCE:
            name = str(condition.tag).rpartition("}")[2]
            raise SamlRejected(SamlReason.STRUCTURE, f"more than one {name}")
        else:
            raise SamlRejected(
                SamlReason.CONDITION_UNKNOWN,
                f"condition {str(condition.tag)[:120]} is not understood",
            )
    if is_strict and not restrictions:
        raise SamlRejected(SamlReason.AUDIENCE_WRONG, "there is no AudienceRestriction")
    return not_on_or_after


def require_confirmation(
    subject: _Element, *, expected: AssertionExpectations
) -> Confirmation:
    """The first bearer confirmation that holds.

    Raises:
        SamlRejected: CONFIRMATION when there is no bearer confirmation, else what is
            wrong with the first one.

    Source: SAML 2.0 Profiles 4.1.4.2 and 4.1.4.3.
    """
    confirmations = children_named(subject, SUBJECT_CONFIRMATION)
    if expected.options.profile is Profile.AWS and len(confirmations) != 1:
        raise SamlRejected(
            SamlReason.CONFIRMATION, "AWS takes exactly one SubjectConfirmation"
        )
    first_error: SamlRejected | None = None
    for confirmation in confirmations:
        if confirmation.get("Method") != BEARER:
            continue
        try:
            return _require_confirmation(confirmation, expected)
        except SamlRejected as error:
            first_error = first_error or error
    raise first_error or SamlRejected(
        SamlReason.CONFIRMATION, "there is no bearer SubjectConfirmation"
    )


def check_lifetime(
    issued: datetime, not_on_or_after: datetime, *, expected: AssertionExpectations
) -> None:
    """Refuse an assertion valid for longer than a day.

    Raises:
        SamlRejected: LIFETIME_TOO_LONG.
    """
    if (
        expected.options.profile is Profile.STRICT
        and not_on_or_after - issued > LIFETIME_MAX + expected.skew
    ):
        raise SamlRejected(
            SamlReason.LIFETIME_TOO_LONG,
            f"issued {issued}, valid until {not_on_or_after}: more than a day",
        )


def read_session(
    assertion: _Element, *, expected: AssertionExpectations
) -> tuple[datetime | None, str | None]:
    """The earliest SessionNotOnOrAfter, and the first statement's SessionIndex.

    Raises:
        SamlRejected: AUTHN_STATEMENT when there is none, EXPIRED or TIMESTAMP.
    """
    statements = children_named(assertion, AUTHN_STATEMENT)
    if not statements:
        raise SamlRejected(SamlReason.AUTHN_STATEMENT, "there is no AuthnStatement")
    ends = []
    for statement in statements:
        parse_instant(statement.get("AuthnInstant"), "AuthnStatement/@AuthnInstant")
        end = statement.get("SessionNotOnOrAfter")
        if end is not None:
            ends.append(parse_instant(end, "AuthnStatement/@SessionNotOnOrAfter"))
    earliest = min(ends, default=None)
    if earliest is not None and expected.now >= earliest:
        # No leeway: the session must end by then.
        raise SamlRejected(
            SamlReason.EXPIRED, f"SessionNotOnOrAfter {earliest} has passed"
        )
    return earliest, statements[0].get("SessionIndex")


def _require_confirmation(
    confirmation: _Element, expected: AssertionExpectations
) -> Confirmation:
    elements = children_named(confirmation, SUBJECT_CONFIRMATION_DATA)
    if len(elements) != 1:
        raise SamlRejected(
            SamlReason.CONFIRMATION, f"{len(elements)} SubjectConfirmationData, not one"
        )
    data = elements[0]
    recipient = data.get("Recipient")
    if not recipient:
        raise SamlRejected(SamlReason.CONFIRMATION, "there is no Recipient")
    if recipient not in expected.recipients:
        raise SamlRejected(
            SamlReason.RECIPIENT_WRONG,
            f"Recipient is {recipient[:200]!r}, expected one of "
            f"{sorted(expected.recipients)}",
        )
    not_on_or_after = _require_window(data, "SubjectConfirmationData", expected)
    if not_on_or_after is None:
        raise SamlRejected(
            SamlReason.CONFIRMATION, "SubjectConfirmationData has no NotOnOrAfter"
        )
    in_response_to = data.get("InResponseTo")
    check_in_response_to(in_response_to, "SubjectConfirmationData", expected=expected)
    return Confirmation(
        recipient=recipient,
        not_on_or_after=not_on_or_after,
        in_response_to=in_response_to,
    )


def check_in_response_to(
    answered: str | None, where: str, *, expected: AssertionExpectations
) -> None:
    """Refuse an answer to a request that is not open, and no InResponseTo where one is.

    Raises:
        SamlRejected: IN_RESPONSE_TO.
    """
    if answered is None and not expected.in_response_to:
        return
    if answered not in expected.in_response_to:
        raise SamlRejected(
            SamlReason.IN_RESPONSE_TO,
            f"{where} answers request {(answered or '')[:120]!r}, which is not open",
        )


def _require_window(
    element: _Element, where: str, expected: AssertionExpectations
) -> datetime | None:
    not_before = element.get("NotBefore")
    start: datetime | None = None
    is_strict = expected.options.profile is Profile.STRICT
    if not_before is not None:
        start = parse_instant(not_before, f"{where}/@NotBefore")
        if is_strict and expected.now + expected.skew < start:
            raise SamlRejected(
                SamlReason.NOT_YET_VALID,
                f"{where} NotBefore {start} is ahead of {expected.now}",
            )
    not_on_or_after = element.get("NotOnOrAfter")
    if not_on_or_after is None:
        return None
    end = parse_instant(not_on_or_after, f"{where}/@NotOnOrAfter")
    if expected.now - expected.skew >= end:
        raise SamlRejected(
            SamlReason.EXPIRED, f"{where} NotOnOrAfter {end} is past at {expected.now}"
        )
    if is_strict and start is not None and start >= end:
        # SAML 2.0 Core 2.5.1.2: with some skew such a window would be open.
        raise SamlRejected(
            SamlReason.TIMESTAMP, f"{where} NotBefore {start} is not before {end}"
        )
    return end


def _check_audience(restriction: _Element, expected: AssertionExpectations) -> None:
    named = list(map(text_of, restriction.iterchildren(AUDIENCE)))
    if expected.audiences.isdisjoint(named):
        raise SamlRejected(
            SamlReason.AUDIENCE_WRONG,
            f"AudienceRestriction names {named!r:.300}, expected one of "
            f"{sorted(expected.audiences)}",
        )
