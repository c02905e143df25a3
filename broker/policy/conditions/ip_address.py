"""``IpAddress`` and ``NotIpAddress``: addresses in CIDR ranges, by value.

An IPv4-mapped IPv6 address (``::ffff:203.0.113.7``) is the IPv4 address. Host bits
set in a range do not count.
"""

from ipaddress import AddressValueError, IPv6Address

from broker.policy.conditions.values import OperatorFamily, ValueTest
from broker.policy.variables import Context

_MAPPED = 0xFFFF << 32
_V4_BITS, _V6_BITS = 32, 128
_LONGEST = len("0000:0000:0000:0000:0000:ffff:255.255.255.255")
_OCTETS = 4
_HIGHEST_OCTET = 255


def _find_address(text: str) -> tuple[int, int] | None:
    """Version and number of an address; None when the text writes none."""
    if len(text) > _LONGEST or "%" in text:
        return None
    if ":" not in text:
        return _find_v4(text)
    try:
        number = int(IPv6Address(text))
    except AddressValueError:
        return None
    if number >> 32 == _MAPPED >> 32:
        return 4, number & 0xFFFFFFFF
    return 6, number


def _find_v4(text: str) -> tuple[int, int] | None:
    """Four decimal octets without leading zeros, read faster than `ipaddress` does."""
    octets = text.split(".")
    if len(octets) != _OCTETS or not text.isascii():
        return None
    number = 0
    for octet in octets:
        if not octet.isdigit() or (octet[0] == "0" and octet != "0"):
            return None
        value = int(octet)
        if value > _HIGHEST_OCTET:
            return None
        number = number << 8 | value
    return 4, number


def find_range(text: str) -> tuple[int, int, int] | None:
    """Version, shift and shifted number of a range; None when it is none."""
    address, slash, length = text.partition("/")
    parsed = _find_address(address)
    if parsed is None:
        return None
    version, number = parsed
    written_bits = _V6_BITS if ":" in address else _V4_BITS
    if not slash:
        return version, 0, number
    if not (length.isascii() and length.isdigit() and len(length) <= len("128")):
        return None
    free = written_bits - int(length)
    if not 0 <= free <= written_bits:
        return None
    if version == 4 and free > _V4_BITS:  # noqa: PLR2004  # IP version
        # ::ffff:0:0/90 reaches beyond the mapped addresses: an IPv6 range
        return 6, free, (_MAPPED | number) >> free
    return version, free, number >> free


def _check(text: str) -> str | None:
    if find_range(text) is None:
        return "is not an address range; write one such as 203.0.113.0/24"
    return None


def _compile(values: tuple[str, ...], negated: bool, _: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    ranges = [entry for entry in map(find_range, values) if entry is not None]

    def matches(value: str, _: Context) -> bool:
        address = _find_address(value)
        if address is None:
            return False
        version, number = address
        within = any(
            version == network_version and number >> shift == network
            for network_version, shift, network in ranges
        )
        return within is not negated

    return matches


IP_ADDRESS = OperatorFamily(_compile, _check)
