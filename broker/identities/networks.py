"""The networks that a token may be used from."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from broker.errors import ValidationError

ADDRESSES_MAX = 20


def parse_networks(addresses: Iterable[str]) -> tuple[str, ...]:
    """Addresses and networks as they are stored.

    Raises:
        ValidationError: one is neither, or there are too many.
    """
    found = []
    for address in addresses:
        try:
            found.append(str(ipaddress.ip_network(address)))
        except ValueError as error:
            raise ValidationError(
                f"{address[:80]} is not an address or network, such as 10.0.0.0/8."
            ) from error
    if len(found) > ADDRESSES_MAX:
        raise ValidationError(f"A token can have up to {ADDRESSES_MAX} addresses.")
    return tuple(found)


@lru_cache(1024)
def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address is in one of the networks; an empty list means any."""
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(network) for network in networks)
