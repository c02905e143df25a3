"""Instants as SAML writes them."""

import re
from datetime import UTC, datetime

from broker.protocols.saml.errors import SamlReason, SamlRejected

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,12}))?Z", re.ASCII
)
_MICROSECOND_DIGITS = 6


def parse_instant(text: str | None, where: str) -> datetime:
    """An xs:dateTime in UTC, fractions cut to microseconds.

    Raises:
        SamlRejected: TIMESTAMP, when it is missing, impossible or has no ``Z``.

    Source: SAML 2.0 Core 1.3.3.
    """
    found = _INSTANT.fullmatch(text or "")
    if found:
        whole, fraction = found.groups(default="")
        micros = fraction[:_MICROSECOND_DIGITS].ljust(_MICROSECOND_DIGITS, "0")
        try:
            return datetime.fromisoformat(f"{whole}.{micros}").replace(tzinfo=UTC)
        except ValueError:
            pass
    raise SamlRejected(
        SamlReason.TIMESTAMP, f"{where} is {(text or '')[:60]!r}, no instant in UTC"
    )
