"""Whether a text is a value of a condition key's type."""

import base64
import binascii
import ipaddress
from collections.abc import Callable, Mapping

from broker.policy.conditions.values import check_boolean, find_instant, find_number
from broker.policy.context import KeyType

_ARN_COLONS = 5

DECLARED_TYPES: Mapping[str, KeyType] = {
    "ARN": KeyType.ARN,
    "Binary": KeyType.BINARY,
    "Bool": KeyType.BOOLEAN,
    "Date": KeyType.DATE,
    "IPAddress": KeyType.IP,
    "Numeric": KeyType.NUMERIC,
    "String": KeyType.STRING,
}
"""By their names in the Service Authorization Reference, and in services' definitions."""


def has_type(value: str, kind: KeyType) -> bool:
    """Whether conditions of the key's type can compare the value.

    One that they cannot compare would evade a Deny.
    """
    return _TESTS[kind](value)


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return False
    return True


_TESTS: Mapping[KeyType, Callable[[str], bool]] = {
    KeyType.ARN: lambda value: (
        value.startswith("arn:") and value.count(":") >= _ARN_COLONS
    ),
    KeyType.BINARY: _is_base64,
    KeyType.BOOLEAN: lambda value: check_boolean(value) is None,
    KeyType.DATE: lambda value: find_instant(value) is not None,
    KeyType.IP: _is_address,
    KeyType.NUMERIC: lambda value: find_number(value) is not None,
    KeyType.STRING: lambda _value: True,
}
