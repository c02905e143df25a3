from ipaddress import ip_address, ip_network

import pytest

from broker.model.account import AccountId
from broker.proofs.addresses import (
    AddressRefusedError,
    AddressRules,
    Destination,
    InternalIssuer,
    parse_internal_issuers,
    unwrap,
)
from tests.support.rows import rows

FIRST, SECOND = AccountId("111111111111"), AccountId("222222222222")


def rules(text: str = "") -> AddressRules:
    return AddressRules(parse_internal_issuers(text))


def reaches(
    text: str, url: tuple[str, str, int], *addresses: str, account: AccountId = FIRST
) -> bool:
    checker = rules(text)
    try:
        target = checker.require_target(account, *url)
        checker.require_addresses(account, target, addresses)
    except AddressRefusedError:
        return False
    return True


def test_entries_name_hosts_and_networks_for_all_or_for_one_account() -> None:
    text = (
        "IDP.internal:8443, 111111111111=127.0.0.1:8097 [::1]:80\n10.0.0.0/8,fd00::/8"
    )
    assert parse_internal_issuers(text) == (
        InternalIssuer(None, "idp.internal", 8443),
        InternalIssuer(FIRST, "127.0.0.1", 8097),
        InternalIssuer(None, "::1", 80),
        InternalIssuer(None, network=ip_network("10.0.0.0/8")),
        InternalIssuer(None, network=ip_network("fd00::/8")),
    )
    assert parse_internal_issuers("") == ()


@rows("text")
def test_an_entry_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_internal_issuers(text)


HTTPS = ("https", "idp.example", None)


@rows("address")
def test_an_address_that_is_not_public_is_not_reached(address: str) -> None:
    assert not reaches("", HTTPS, address)
    assert not reaches("", HTTPS, "8.8.8.8", address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_a_public_address_is_reached_over_https(address: str) -> None:
    assert reaches("", HTTPS, address)


def test_plain_http_needs_an_entry_for_exactly_this_host_and_port() -> None:
    entry = "idp.internal:8080"
    assert reaches(entry, ("http", "IDP.internal", 8080), "10.0.0.1")
    assert reaches(entry, ("https", "idp.internal", 8080), "10.0.0.1")
    assert reaches("idp.internal:80", ("http", "idp.internal", None), "10.0.0.1")
    assert not reaches(entry, ("http", "idp.internal", 8081), "10.0.0.1")
    assert not reaches(entry, ("http", "x.idp.internal", 8080), "10.0.0.1")
    assert not reaches(entry, ("http", "idp.internal", None), "8.8.8.8")
    assert not reaches("", ("http", "idp.example", None), "8.8.8.8")


def test_a_network_permits_https_only_and_all_addresses_must_be_inside() -> None:
    assert reaches("10.0.0.0/8", HTTPS, "10.1.2.3", "10.4.5.6")
    assert reaches("10.0.0.0/8", HTTPS, "::ffff:10.1.2.3")
    assert not reaches("10.0.0.0/8", HTTPS, "10.1.2.3", "192.168.0.1")
    assert not reaches("10.0.0.0/8", ("http", "idp.example", None), "10.1.2.3")


def test_a_network_does_not_open_plain_http_to_who_made_a_target_himself() -> None:
    with pytest.raises(AddressRefusedError):
        rules("10.0.0.0/8").require_addresses(
            FIRST, Destination("http", "idp.example", 80), ["10.1.2.3"]
        )


def test_an_entry_of_one_account_is_not_found_in_another() -> None:
    for text, url in [
        ("111111111111=10.0.0.0/8", HTTPS),
        ("111111111111=idp.example:443", HTTPS),
        ("111111111111=idp.example:80", ("http", "idp.example", None)),
    ]:
        assert reaches(text, url, "10.0.0.1", account=FIRST)
        assert not reaches(text, url, "10.0.0.1", account=SECOND)


@rows("address")
def test_some_addresses_are_never_reached_anyone_who_lists_them(address: str) -> None:
    listed = "0.0.0.0/0 ::/0 idp.example:443"
    assert not reaches(listed, HTTPS, address)


@pytest.mark.parametrize("scheme", ["file", "gopher", "ftp", "", "HTTPS", "ws"])
def test_only_two_schemes_are_followed(scheme: str) -> None:
    assert not reaches("idp.example:443", (scheme, "idp.example", 443), "8.8.8.8")


def test_a_name_without_address_is_refused() -> None:
    assert not reaches("", HTTPS)
    assert not reaches("", ("https", "", None), "8.8.8.8")


def test_an_account_with_networks_of_its_own_is_special() -> None:
    checker = rules("111111111111=10.0.0.0/8 172.16.0.0/12")
    assert checker.are_special_for(FIRST)
    assert not checker.are_special_for(SECOND)


def test_embedded_addresses_are_unwrapped() -> None:
    assert unwrap(ip_address("2002:0808:0808::")) == ip_address("8.8.8.8")
    assert unwrap(ip_address("2606:4700::1111")) == ip_address("2606:4700::1111")
