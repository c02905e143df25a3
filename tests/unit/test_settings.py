"""Settings that make no sense stop the start, and the text says what to write."""

from pathlib import Path

import pytest

from broker.settings import SettingsError, load_settings, unknown_settings
from tests.support.rows import cases, of_file, rows

# Set, and a piece of what is to be written instead.
NONSENSE = of_file(__file__, "NONSENSE")


@pytest.mark.parametrize(("name", "value", "says"), NONSENSE)
def test_nonsense_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"BROKER_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith(f"BROKER_{name}: ")
    assert says in text
    assert "hunter2" not in text


def test_each_wrong_setting_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PUBLIC_URL", "nowhere")
    monkeypatch.setenv("BROKER_REGIONS", "moon")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "BROKER_PUBLIC_URL",
        "BROKER_REGIONS",
    ]


@rows("url, origin, host")
def test_the_public_url_is_read_as_browsers_write_origins(
    url: str, origin: str, host: str
) -> None:
    settings = load_settings(public_url=url)
    assert settings.public_origin == origin
    assert settings.public_host == (host or origin.partition("://")[2])


@rows("url")
def test_every_form_of_a_database_is_taken(url: str) -> None:
    assert load_settings(database_url=url).database == url


def test_an_unusable_data_folder_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    for folder in (occupied, occupied / "below"):
        with pytest.raises(SettingsError, match=r"BROKER_DATA_DIR: .*file.* write"):
            load_settings(data_dir=folder).make_data_dir()


@cases("name, meant")
def test_a_mistyped_name_is_told_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "https://broker.example.com")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"{name} is not a setting; did you mean {meant}?"


def test_names_that_are_like_none_are_only_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Celery's, and what Kubernetes sets for a Service of this name."""
    values = ["BROKER_URL", "BROKER_PORT", "BROKER_PORT_80_TCP", "BROKER_SERVICE_HOST"]
    for name in values:
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    load_settings()
    assert unknown_settings(values) == ["BROKER_URL"]
