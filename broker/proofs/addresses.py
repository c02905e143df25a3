"""Which addresses an outbound request may reach.

Public addresses over https, and those that the operator lists in
``BROKER_INTERNAL_ISSUERS``. Link-local and metadata addresses, unspecified and
multicast ones are never reached, even if listed.

Source: OWASP SSRF prevention cheat sheet; IANA special-purpose address registries.
"""

import re
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from msgspec import Struct

from broker.model.account import AccountId, parse_account_id

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SEPARATORS = re.compile(r"[,\s]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?")
_PORTS = range(1, 65_536)
_DEFAULT_PORTS = {"https": 443, "http": 80}

# Cloud metadata services at addresses that no other rule covers.
_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "168.63.129.16", "100.100.100.200"))
)
_NAT64 = IPv6Network("64:ff9b::/96")
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20"))
)


class AddressRefusedError(Exception):
    """An address that no rule permits; the message is for the operator."""


def was_refused(error: BaseException | None) -> bool:
    """Whether a failure is by the operator's rules, not by the network."""
    while error is not None and not isinstance(error, AddressRefusedError):
        error = error.__cause__
    return error is not None


class InternalIssuer(Struct, frozen=True):
    """One entry: an exact host and port, or a network (then ``host`` is empty).

    ``account`` None means every account.
    """

    account: AccountId | None
    host: str = ""
    port: int = 0
    network: Network | None = None

    def __str__(self) -> str:
        account = "" if self.account is None else f"{self.account}="
        return account + str(self.network or f"{self.host}:{self.port}")


class Destination(Struct, frozen=True):
    """The destination of a request: a checked scheme, a name and a port."""

    scheme: str
    host: str
    port: int


def parse_internal_issuers(text: str) -> tuple[InternalIssuer, ...]:
    """Read ``[ACCOUNT=]host:port`` and ``[ACCOUNT=]CIDR`` entries.

    Entries are separated by commas or white space.

    Raises:
        ValueError: names the entry, what is wrong and what to write.
    """
    return tuple(_parse_entry(entry) for entry in _SEPARATORS.split(text) if entry)


def _parse_entry(entry: str) -> InternalIssuer:
    account_text, equals, place = entry.rpartition("=")
    account = parse_account_id(account_text) if equals else None
    if "://" in place:
        try:
            meant = f"{account_text}{equals}{_place_of(place)}"
        except ValueError:
            meant = "idp.internal:8443"
        # Without the entry itself: a URL may have a password.
        raise ValueError(f"a URL is neither host:port nor a network; write {meant}")
    if "/" in place:
        try:
            network = ip_network(place)
        except ValueError as error:
            raise ValueError(
                f"{entry!r}: {error}; write a network as 10.1.0.0/16"
            ) from error
        return InternalIssuer(account, network=network)
    host, colon, port_text = place.lower().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(IPv6Address(host[1:-1]))
    elif not _HOST.fullmatch(host):
        colon = ""
    port = int(port_text) if port_text.isascii() and port_text.isdecimal() else 0
    if not colon or port not in _PORTS:
        raise ValueError(
            f"{entry!r} is neither host:port nor a network;"
            " write idp.internal:8443, [fd00::1]:8443 or 10.1.0.0/16"
        )
    return InternalIssuer(account, host, port)


def _place_of(url: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2].lower()
    if parts.port is None:
        place += f":{_DEFAULT_PORTS.get(parts.scheme, 443)}"
    _parse_entry(place)
    return place


class AddressRules:
    """Decides about targets and resolved addresses, per account."""

    def __init__(self, entries: Sequence[InternalIssuer] = ()) -> None:
        self._named = frozenset(
            (entry.account, entry.host, entry.port)
            for entry in entries
            if entry.network is None
        )
        self._networks = tuple(
            (entry.account, entry.network)
            for entry in entries
            if entry.network is not None
        )

    def names(self, account: AccountId | None, host: str, port: int) -> bool:
        """Whether an entry names exactly this host and port for the account.

        Only then may it be reached by plain http, and may a provider's URL begin
        with ``http://``.
        """
        host = host.lower()
        return (None, host, port) in self._named or (
            account is not None and (account, host, port) in self._named
        )

    def are_special_for(self, account: AccountId) -> bool:
        """Whether this account may reach networks that other accounts may not."""
        return any(owner == account for owner, _ in self._networks)

    def require_target(
        self, account: AccountId | None, scheme: str, host: str, port: int | None
    ) -> Destination:
        """The target of a URL.

        Raises:
            AddressRefusedError: not https, and not an entry's exact host and port.
        """
        default = _DEFAULT_PORTS.get(scheme)
        if default is None or not host:
            raise AddressRefusedError(f"{scheme}: is not a scheme that is followed")
        target = Destination(scheme, host.lower(), default if port is None else port)
        if scheme != "https" and not self.names(account, target.host, target.port):
            raise AddressRefusedError(
                f"plain http to {target.host}:{target.port} is not permitted;"
                " an entry of BROKER_INTERNAL_ISSUERS for this host and port would"
            )
        return target

    def require_addresses(
        self, account: AccountId | None, target: Destination, addresses: Sequence[str]
    ) -> tuple[Address, ...]:
        """The addresses to connect to, when every resolved one is permitted.

        One bad address refuses them all: a name that resolves to a public and a private
        address is suspicious.

        Raises:
            AddressRefusedError: an address is not permitted, or there is none.
        """
        if not addresses:
            raise AddressRefusedError(f"{target.host} has no address")
        parsed = tuple(ip_address(text.partition("%")[0]) for text in addresses)
        named = self.names(account, target.host, target.port)
        for address in parsed:
            meant = unwrap(address)
            if _is_never_reached(meant):
                raise AddressRefusedError(f"{target.host} is {address}: never reached")
            if named or is_public(meant):
                continue
            if target.scheme != "https" or not self._covers(account, meant):
                raise AddressRefusedError(
                    f"{target.host} is {address}, which is not a public address;"
                    " an entry of BROKER_INTERNAL_ISSUERS would permit it"
                )
        return parsed

    def _covers(self, account: AccountId | None, address: Address) -> bool:
        return any(
            address in network
            for owner, network in self._networks
            if owner is None or owner == account
        )


def unwrap(address: Address) -> Address:
    """The IPv4 address inside a mapped, NAT64 or 6to4 address; else the address."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether an (unwrapped) address is one of the public Internet."""
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _is_never_reached(address: Address) -> bool:
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
    )
