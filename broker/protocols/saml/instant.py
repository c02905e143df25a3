"""Instants as SAML writes them."""

import re
from datetime import datetime

from broker.protocols.saml.errors import SamlReason, SamlRejected

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,12})?Z", re.ASCII)


def parse_instant(text: str | None, where: str) -> datetime:
    """An xs:dateTime in UTC, fractions cut to microseconds.

    Raises:
        SamlRejected: TIMESTAMP, when it is missing, impossible or has no ``Z``.

    Source: SAML 2.0 Core 1.3.3.
    """
    if text is not None and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise SamlRejected(
        SamlReason.TIMESTAMP, f"{where} is {(text or '')[:60]!r}, no instant in UTC"
    )
