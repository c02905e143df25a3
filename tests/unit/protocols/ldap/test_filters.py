"""Filters with values in their places, and what identifies an entry."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sansldap import FilterEquality, FilterExtensibleMatch, LDAPFilter

from broker.protocols.ldap.accounts import Entry, read_subject, subject_value
from broker.protocols.ldap.filters import (
    equals,
    fill_filter,
    is_attribute,
    match_any,
    require_filter,
)

PLACES = frozenset({"username"})


@given(st.binary(max_size=64))
def test_whatever_fills_a_place_is_the_value(value: bytes) -> None:
    for ldap_filter in (
        fill_filter("(uid={username})", {"username": value}),
        equals("uid", value),
    ):
        assert ldap_filter == FilterEquality(attribute="uid", value=value)


def test_a_rule_keeps_its_place() -> None:
    name = b"cn=a*)(,dc=x"
    ldap_filter = fill_filter("(member:1.2.840.113556.1.4.1941:={dn})", {"dn": name})
    assert isinstance(ldap_filter, FilterExtensibleMatch)
    assert ldap_filter.value == name
    assert ldap_filter.rule == "1.2.840.113556.1.4.1941"


@pytest.mark.parametrize(
    "template",
    ["", "uid", "(uid=x)", "(uid={username}", "(uid={dn})", "(uid={username}{other})"],
)
def test_a_malformed_filter_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="filter"):
        require_filter(template, PLACES)


def test_a_name_is_no_filter() -> None:
    assert is_attribute("sAMAccountName")
    for name in ("", "a b", "a)(b", "1.2.3", "a;binary", "é", "*"):
        assert not is_attribute(name)


def test_a_guid_is_written_as_active_directory_does() -> None:
    raw = bytes.fromhex("3c7d1fdeaa6d4e4f9b5b7f8e9a0b1c2d")
    entry = Entry.of("cn=x", [("objectGUID", [raw]), ("entryUUID", [b"ABC"])])
    subject = read_subject(entry, "objectGUID")
    assert subject == "de1f7d3c-6daa-4f4e-9b5b-7f8e9a0b1c2d"
    assert subject_value(subject, "objectGUID") == raw
    assert read_subject(entry, "entryUUID") == "abc"
    with pytest.raises(ValueError, match="hexadecimal"):
        subject_value("nobody", "objectGUID")


@pytest.mark.parametrize("raw", [b"", b"short", bytes(17)])
def test_a_malformed_guid_identifies_nobody(raw: bytes) -> None:
    entry = Entry.of("cn=x", [("objectGUID", [raw])])
    assert not read_subject(entry, "objectGUID")


@given(st.uuids())
def test_guids_come_back(given_uuid: uuid.UUID) -> None:
    text = str(given_uuid)
    entry = Entry.of("cn=x", [("objectguid", [subject_value(text, "objectGUID")])])
    assert read_subject(entry, "objectGUID") == text


def test_values_other_than_text_are_left_out() -> None:
    entry = Entry.of("cn=x", [("cn", [b"\xff", b"a"]), ("cn;lang-de", [b"b"])])
    assert entry.texts("CN") == ("a", "b")
    assert not entry.text("sn")


def test_filters_of_operators_are_read_as_written() -> None:
    ldap_filter = fill_filter("(|(uid={username})(!(cn=a*b)))", {"username": b"x"})
    assert ldap_filter == LDAPFilter.from_string("(|(uid=x)(!(cn=a*b)))")


@pytest.mark.parametrize(
    ("template", "asks"),
    [
        ("(&(title=staff)(uid={username}))", "(&(title=staff)(uid=*))"),
        ("(|(uid={username})(mail={username}))", "(|(uid=*)(mail=*))"),
        ("(mail={username}@example.com)", "(mail=*@example.com)"),
        ("(&(uid~={username})(!(a=b)))", "(&(uid=*)(!(a=b)))"),
        ("(uid:caseExactMatch:={username})", "(uid=*)"),
        ("(uid:dn:={username})", "(uid=*)"),
        ("(&(uid>={username})(m:1.2:=cn=x))", "(&(uid=*)(m:1.2:=cn=x))"),
    ],
)
def test_a_filter_for_any_name_asks_the_rest(template: str, asks: str) -> None:
    assert require_filter(template, PLACES) == template
    assert match_any(template) == LDAPFilter.from_string(asks)
