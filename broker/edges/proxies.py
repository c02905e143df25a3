"""Finds the client of a request behind trusted proxies.

Only addresses the operator named as proxies are trusted, hop by hop from the right; a
client can forge everything further left.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from broker.runtime.bounded import remembered


class Client(NamedTuple):
    """The client's address (empty if unknown) and whether it used TLS."""

    address: str
    secure: bool


class TrustedProxies:
    """The proxies whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` count."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Trust the addresses in these networks (CIDR).

        Raises:
            ValueError: one of them is not a network.
        """
        self._networks = tuple(ip_network(network) for network in networks)
        self._is_trusted = remembered()(self._contains)

    def identify_client(
        self, peer: str, scheme: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> Client:
        """The rightmost address that is not a trusted proxy's.

        An entry that is not an address ends the walk at the proxy that sent it.
        """
        address = _normal(peer) or ""
        secure = scheme == "https"
        if not self._networks or not self._is_trusted(address):
            return Client(address, secure)
        hops: list[str] = []
        for name, value in headers:
            if name == b"x-forwarded-for":
                hops += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                nearest = value.rpartition(b",")[2]
                secure = nearest.strip().lower() == b"https"
        while hops and self._is_trusted(address):
            hop = _normal(hops.pop().strip())
            if hop is None:
                break
            address = hop
        return Client(address, secure)

    def _contains(self, address: str) -> bool:
        if not address:
            return False
        parsed = ip_address(address)
        return any(parsed in network for network in self._networks)


@remembered()
def _normal(text: str) -> str | None:
    """An address without port, brackets and IPv4 mapping; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)
