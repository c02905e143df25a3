"""``BROKER_DIRECTORIES_FILE``: what it may contain, and how errors are reported."""

from pathlib import Path
from typing import Any

import pytest

from broker.proofs.ldap.directories import DirectoryKind, parse_directories
from broker.settings import SettingsError, load_settings
from tests.support.rows import of_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "ca.pem").write_text("")
    return tmp_path


def describe(**more: Any) -> dict[str, Any]:
    params = {
        "Kind": "OpenLDAP",
        "Servers": ["ldaps://ldap.example.com"],
        "BindDN": "cn=broker",
        "BindPasswordFile": "password",
        "Base": "dc=example",
        **more,
    }
    return {name: value for name, value in params.items() if value is not None}


def test_the_defaults_follow_from_the_kind(folder: Path) -> None:
    for kind, subject, group_filter in (
        ("OpenLDAP", "entryUUID", "member={dn}"),
        ("ActiveDirectory", "objectGUID", "1.2.840.113556.1.4.1941:={dn}"),
        ("389", "nsUniqueId", "uniqueMember={dn}"),
    ):
        params = {"corp": describe(Kind=kind, NestedGroups=True)}
        directory = parse_directories({"Directories": params}, folder).directories[
            "corp"
        ]
        assert directory.kind is DirectoryKind(kind)
        assert directory.subject == subject
        assert group_filter in directory.group_filter
        assert [str(server) for server in directory.servers] == [
            "ldaps://ldap.example.com:636"
        ]
        assert directory.read_bind_password() == "secret"
        assert directory.groups_below == "dc=example"


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o644, True)])
def test_a_password_that_others_can_read_is_told(
    folder: Path, mode: int, is_open: bool
) -> None:
    path = folder / "password"
    path.chmod(mode)
    parsed = parse_directories({"Directories": {"corp": describe()}}, folder)
    said = parsed.directories["corp"].warning
    text = f"others can read {path}: run chmod 600 {path}"
    assert said == (text if is_open else "")


WRONG = of_file(__file__, "WRONG")


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
        params = {"Directories": {"corp": describe(**more)}}
        assert (
            parse_directories(params, folder).directories["corp"].servers[0].is_loopback
        )


def test_a_password_is_read_when_it_is_used(folder: Path) -> None:
    file = parse_directories({"Directories": {"corp": describe()}}, folder)
    directory = file.directories["corp"]
    (folder / "password").write_text("new")
    assert directory.read_bind_password() == "new"
    for text in ("", "\n"):
        (folder / "password").write_text(text)
        with pytest.raises(ValueError, match="empty"):
            directory.read_bind_password()
    (folder / "password").unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        directory.read_bind_password()


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
