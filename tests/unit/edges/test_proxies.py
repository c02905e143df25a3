import pytest

from broker.edges.proxies import Client, TrustedProxies
from tests.support.rows import rows

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8"])


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


@rows("peer, headers, address")
def test_the_client_is_the_rightmost_hop_that_is_no_trusted_proxy(
    peer: str, headers: list, address: str
) -> None:
    assert PROXIES.identify_client(peer, "http", headers).address == address


@rows("peer, scheme, proto, secure")
def test_only_a_trusted_proxy_says_whether_the_transport_was_secure(
    peer: str, scheme: str, proto: bytes | None, *, secure: bool
) -> None:
    headers = [(b"x-forwarded-proto", proto)] if proto is not None else []
    assert PROXIES.identify_client(peer, scheme, headers).secure is secure


def test_no_one_is_trusted_by_default() -> None:
    client = TrustedProxies().identify_client("127.0.0.1", "http", forwarded("1.2.3.4"))
    assert client == Client("127.0.0.1", secure=False)


def test_a_malformed_network_is_refused() -> None:
    with pytest.raises(ValueError, match="host bits set"):
        TrustedProxies(["10.0.0.1/8"])
