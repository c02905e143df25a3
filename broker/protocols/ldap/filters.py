"""Search filters with places for values, filled so that a value is only ever a value.

Source: RFC 4515, 3.
"""

import re
from collections.abc import Mapping

from sansldap import FilterAnd, FilterOr, LDAPFilter

_PLACE = re.compile(r"\{([a-z]*)\}")
_COMPARISON = re.compile(r"\(([^()=~<>:]+)(?:[~<>]|:[^()=]*)=[^()]*\{[a-z]*\}[^()]*\)")
"""By approximation, by order or by a rule: none of them takes an asterisk for a value."""

_DESCRIPTION = re.compile(r"[A-Za-z][A-Za-z0-9-]*", re.ASCII)


def escape(value: bytes) -> str:
    """The value for a filter: every byte except letters and digits is escaped."""
    return "".join(
        chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\{byte:02x}"
        for byte in value
    )


def require_filter(template: str, places: frozenset[str]) -> str:
    """The template, if it is a filter that has at least one of the places.

    Raises:
        ValueError: it is not a filter, or has none of the places, or another one.
    """
    results = set(_PLACE.findall(template))
    if not results or not results <= places:
        named = " or ".join(sorted(f"{{{place}}}" for place in places))
        raise ValueError(f"the filter {template!r} must have {named}, and no other")
    fill_filter(template, dict.fromkeys(results, b"x"))
    match_any(template)
    return template


def fill_filter(template: str, values: Mapping[str, bytes]) -> LDAPFilter:
    """The filter with its places filled.

    Raises:
        ValueError: the template is not a filter.
    """
    return _parse(
        _PLACE.sub(lambda place: escape(values[place[1]]), template), template
    )


def _parse(text: str, template: str) -> LDAPFilter:
    try:
        return LDAPFilter.from_string(text)
    except Exception as error:
        # The library has exceptions of its own, which are not ValueErrors.
        raise ValueError(f"{template!r} is not a filter: {error}") from error


def match_any(template: str) -> LDAPFilter:
    """The filter for whatever values its places have: what else it asks of an entry.

    Raises:
        ValueError: the template is not a filter.
    """
    return _parse(_PLACE.sub("*", _COMPARISON.sub(r"(\1=*)", template)), template)


def equals(attribute: str, value: bytes) -> LDAPFilter:
    """Entries whose attribute has the value."""
    return LDAPFilter.from_string(f"({attribute}={escape(value)})")


def any_of(filters: list[LDAPFilter]) -> LDAPFilter:
    """Entries that one of the filters finds."""
    return filters[0] if len(filters) == 1 else FilterOr(filters=filters)


def all_of(*filters: LDAPFilter) -> LDAPFilter:
    """Entries that each of the filters finds."""
    return FilterAnd(filters=list(filters))


def is_attribute(name: str) -> bool:
    """Whether this can be the name of an attribute."""
    return bool(_DESCRIPTION.fullmatch(name))
