import pytest

from broker.edges.proxies import Client, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8"])


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("192.0.2.1", forwarded("198.51.100.7"), "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", forwarded("198.51.100.7"), "198.51.100.7"),
        ("10.0.0.1", forwarded("1.2.3.4, 198.51.100.7, 10.0.0.2"), "198.51.100.7"),
        ("10.0.0.1", forwarded("1.2.3.4", "198.51.100.7"), "198.51.100.7"),
        ("10.0.0.1", forwarded("10.0.0.3, 10.0.0.2"), "10.0.0.3"),
        ("10.0.0.1", forwarded("198.51.100.7, unknown"), "10.0.0.1"),
        ("10.0.0.1", forwarded(""), "10.0.0.1"),
        ("10.0.0.1", forwarded("\xff\x00"), "10.0.0.1"),
        ("10.0.0.1", forwarded("198.51.100.7:4711"), "198.51.100.7"),
        ("10.0.0.1", forwarded("[2001:DB8::1]:4711"), "2001:db8::1"),
        ("fd00::1", forwarded("2001:db8::1"), "2001:db8::1"),
        ("::ffff:10.0.0.1", forwarded("::ffff:198.51.100.7"), "198.51.100.7"),
        ("", forwarded("198.51.100.7"), ""),
    ],
)
def test_the_client_is_the_rightmost_hop_that_is_no_trusted_proxy(
    peer: str, headers: list, address: str
) -> None:
    assert PROXIES.identify_client(peer, "http", headers).address == address


@pytest.mark.parametrize(
    ("peer", "scheme", "proto", "secure"),
    [
        ("192.0.2.1", "http", b"https", False),
        ("192.0.2.1", "https", b"http", True),
        ("10.0.0.1", "http", b"https", True),
        ("10.0.0.1", "https", b"http", False),
        ("10.0.0.1", "http", b"https, http", False),
        ("10.0.0.1", "http", b"http, HTTPS", True),
        ("10.0.0.1", "https", None, True),
        ("10.0.0.1", "http", None, False),
    ],
)
def test_only_a_trusted_proxy_says_whether_the_transport_was_secure(
    peer: str, scheme: str, proto: bytes | None, *, secure: bool
) -> None:
    headers = [(b"x-forwarded-proto", proto)] if proto is not None else []
    assert PROXIES.identify_client(peer, scheme, headers).secure is secure


def test_no_one_is_trusted_by_default() -> None:
    client = TrustedProxies().identify_client("127.0.0.1", "http", forwarded("1.2.3.4"))
    assert client == Client("127.0.0.1", secure=False)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="host bits set"):
        TrustedProxies(["10.0.0.1/8"])
