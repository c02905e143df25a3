"""The form that makes a bearer token: how long it is valid, and from where."""

from typing import Any

from broker.console.visit import Visit
from broker.errors import ValidationError
from broker.identities.bearer_tokens import DAYS_MAX

_TYPED_MAX = 2048
_FIELDS = ("days", "addresses")


def read_token_form(visit: Visit) -> dict[str, Any]:
    """``Days`` and ``Addresses`` of the token; None for what is left to the default.

    Raises:
        ValidationError: the number of days is none.
    """
    days = visit.text("days")
    if days and not (days.isascii() and days.isdigit() and len(days) <= len("366")):
        raise ValidationError(f"A token is valid for 1 to {DAYS_MAX} days.")
    return {
        "Days": int(days) if days else None,
        "Addresses": visit.text("addresses").replace(",", " ").split() or None,
    }


def typed(visit: Visit) -> dict[str, str]:
    """What was typed into the form, to be corrected."""
    return {name: visit.text(name)[:_TYPED_MAX] for name in _FIELDS}
