"""``BROKER_DIRECTORIES_FILE``: what it may contain, and how errors are reported."""

from pathlib import Path
from typing import Any

import pytest

from broker.proofs.ldap.directories import DirectoryKind, parse_directories
from broker.settings import SettingsError, load_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "ca.pem").write_text("")
    return tmp_path


def describe(**more: Any) -> dict[str, Any]:
    given = {
        "Kind": "OpenLDAP",
        "Servers": ["ldaps://ldap.example.com"],
        "BindDN": "cn=broker",
        "BindPasswordFile": "password",
        "Base": "dc=example",
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def test_the_defaults_follow_from_the_kind(folder: Path) -> None:
    for kind, subject, group_filter in (
        ("OpenLDAP", "entryUUID", "member={dn}"),
        ("ActiveDirectory", "objectGUID", "1.2.840.113556.1.4.1941:={dn}"),
        ("389", "nsUniqueId", "uniqueMember={dn}"),
    ):
        given = {"corp": describe(Kind=kind, NestedGroups=True)}
        found = parse_directories({"Directories": given}, folder).directories["corp"]
        assert found.kind is DirectoryKind(kind)
        assert found.subject == subject
        assert group_filter in found.group_filter
        assert [str(one) for one in found.servers] == ["ldaps://ldap.example.com:636"]
        assert found.read_bind_password() == "secret"
        assert found.groups_below == "dc=example"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no TLS": ({"Servers": ["ldap://ldap.example.com"]}, "without TLS"),
    "no TLS to others": (
        {"Servers": ["ldap://10.0.0.1"], "AllowPlaintext": True},
        "this computer only",
    ),
    "one of two without TLS": (
        {"Servers": ["ldaps://a", "ldap://b"], "AllowPlaintext": True},
        "without TLS",
    ),
    "TLS twice": ({"StartTLS": True}, "has TLS already"),
    "another scheme": ({"Servers": ["https://a"]}, "write ldaps://"),
    "a path": ({"Servers": ["ldaps://a/dc=x"]}, "write ldaps://"),
    "a port that is none": ({"Servers": ["ldaps://a:99999"]}, "write ldaps://"),
    "no port at all": ({"Servers": ["ldaps://a:0"]}, "write ldaps://"),
    "a name in it": ({"Servers": ["ldaps://me@a"]}, "write ldaps://"),
    "no server": ({"Servers": []}, "at least 1"),
    "too many servers": (
        {"Servers": [f"ldaps://a{n}" for n in range(11)]},
        "at most 10",
    ),
    "no kind": ({"Kind": None}, "Kind"),
    "another kind": ({"Kind": "eDirectory"}, "ActiveDirectory"),
    "no base": ({"Base": ""}, "at least 1 character"),
    "no bind name": ({"BindDN": ""}, "at least 1 character"),
    "no password file": ({"BindPasswordFile": "nowhere"}, "there is no file"),
    "no CA file": ({"CaFile": "nowhere"}, "there is no file"),
    "a secret in it": ({"BindPassword": "x"}, "Extra inputs"),
    "no place": ({"Filter": "(uid=x)"}, "{username}"),
    "no filter": ({"Filter": "(uid={username}"}, "is not a filter"),
    "another place": ({"GroupFilter": "(member={user})"}, "{dn} or {username}"),
    "no attribute": ({"Subject": "entry UUID"}, "not a name of an attribute"),
    "no time": ({"TimeoutSeconds": 0}, "0.2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_place(folder: Path, case: str) -> None:
    more, words = WRONG[case]
    with pytest.raises(ValueError, match="corp") as refused:
        parse_directories({"Directories": {"corp": describe(**more)}}, folder)
    assert words in str(refused.value)


def test_names_are_plain(folder: Path) -> None:
    for name in ("Corp", "1", "a b", "x" * 64, ""):
        with pytest.raises(ValueError, match="not a name"):
            parse_directories({"Directories": {name: describe()}}, folder)


def test_plaintext_goes_to_this_computer_alone(folder: Path) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        more = {"Servers": [f"ldap://{host}"], "AllowPlaintext": True}
        given = {"Directories": {"corp": describe(**more)}}
        assert (
            parse_directories(given, folder).directories["corp"].servers[0].is_loopback
        )


def test_a_password_is_read_when_it_is_used(folder: Path) -> None:
    file = parse_directories({"Directories": {"corp": describe()}}, folder)
    found = file.directories["corp"]
    (folder / "password").write_text("new")
    assert found.read_bind_password() == "new"
    for text in ("", "\n"):
        (folder / "password").write_text(text)
        with pytest.raises(ValueError, match="empty"):
            found.read_bind_password()
    (folder / "password").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        found.read_bind_password()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Directories: [", "is not YAML"),
        ("Directories: []", "Directories"),
        ("a: 1", "Directories"),
        ("x" * 300_000, "longer than"),
    ],
)
def test_the_broker_does_not_start_with_a_file_it_cannot_read(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "directories.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="BROKER_DIRECTORIES_FILE") as refused:
        load_settings(directories_file=path)
    assert words in str(refused.value)


def test_the_broker_does_not_start_without_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(directories_file=tmp_path / "nowhere")
