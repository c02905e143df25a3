"""Settings that make no sense stop the start, and the text says what to write."""

from pathlib import Path

import pytest

from broker.settings import SettingsError, load_settings, unknown_settings

# Set, and a piece of what is to be written instead.
NONSENSE = [
    ("PUBLIC_URL", "broker.example.com", "https://broker.example.com"),
    ("PUBLIC_URL", "https://u:hunter2@broker.example.com", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker.example.com:99999", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker.example.com:https", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker.example.com:0", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker.example.com/signin", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker.example.com?a=b", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker.example.com#", "scheme, host and port"),
    ("PUBLIC_URL", "https://broker example.com", "scheme, host and port"),
    ("PUBLIC_URL", "https://[::1", "scheme, host and port"),
    ("PUBLIC_URL", "https://*.example.com", "scheme, host and port"),
    ("PUBLIC_URL", "http://broker.example.com", "https://broker.example.com"),
    ("HOME_REGION", "*", "us-east-1"),
    ("HOME_REGION", "moon", "us-east-1"),
    ("REGIONS", "eu-west-3,moon", "* for all"),
    ("REGIONS", ",", "* for all"),
    ("CLOCK_SKEW_SECONDS", "-1", "from 0 to 300"),
    ("CLOCK_SKEW_SECONDS", "1.5", "from 0 to 300"),
    ("STALE_SECONDS", "0", "from 1 to 3600"),
    ("RATE_LIMIT", "many", "from 0 to 1000000"),
    ("AUDIT_DAYS", "99999999999", "from 1 to 36500"),
    ("LOG_FORMAT", "xml", "'json' or 'console'"),
    ("METRICS_ALLOW", "everybody", "10.0.0.0/8"),
    ("TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"),
    ("TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.0/8"),
    ("METRICS_ALLOW", "127.0.0.1 fd00::1/8", "10.0.0.0/8"),
    ("INTERNAL_ISSUERS", "idp", "idp.internal:8443"),
    ("INTERNAL_ISSUERS", "http://kc:8080", "write kc:8080"),
    ("INTERNAL_ISSUERS", "https://KC.internal/realms/a", "write kc.internal:443"),
    ("INTERNAL_ISSUERS", "http://u:hunter2@[fd00::1]:80/", "write [fd00::1]:80"),
    ("INTERNAL_ISSUERS", "111111111111=http://kc", "write 111111111111=kc:80"),
    ("INTERNAL_ISSUERS", "http://kc:x", "idp.internal:8443"),
    ("INTERNAL_ISSUERS", "http://u:hunter2@[kc", "idp.internal:8443"),
    ("INTERNAL_ISSUERS", "10.0.0.1/8", "10.1.0.0/16"),
    ("ALLOWED_DESTINATIONS", "apps.example.com", "https://"),
    ("ALLOWED_DESTINATIONS", "https://apps.example.com:x", "https://"),
    ("ALLOWED_DESTINATIONS", "https://apps.example.com/x", "https://"),
    ("SAML_RECIPIENTS", "somewhere", "https://"),
    ("HOST_ALIASES", "https://sts.amazonaws.com", "without scheme and port"),
    ("HOST_ALIASES", "sts.amazonaws.com:443", "without scheme and port"),
    ("HOST_ALIASES", "*.amazonaws.com", "without scheme and port"),
    ("CA_FILE", "/nowhere.pem", "PEM file"),
    ("CA_FILE", __file__, "PEM file"),
    ("KEYRING_FILE", "/tmp", "a file"),
    ("ORGANISATIONS_FILE", "/nowhere.yaml", "cannot be read"),
    ("ORGANISATIONS_FILE", __file__, "line 1"),
    ("DATABASE_URL", "mysql://u:hunter2@h/x", "postgresql://"),
    ("DATABASE_URL", "postgresql://u:hunter2@h:port/x", "postgresql://"),
    ("DATABASE_URL", "sqlite://x.db", "sqlite:///"),
    ("REDIS_URL", "127.0.0.1:6379", "rediss://"),
    ("REDIS_URL", "redis://", "rediss://"),
    ("REDIS_URL", "redis://u:hunter2@h:0", "rediss://"),
    ("REDIS_URL", "redis://u:hunter2@h:65536", "rediss://"),
]


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


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://broker.example.com/", "https://broker.example.com", ""),
        ("HTTPS://Broker.Example.COM:443", "https://broker.example.com", ""),
        ("https://broker.example.com:8443", "https://broker.example.com:8443", ""),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", ""),
        ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_public_url_is_read_as_browsers_write_origins(
    url: str, origin: str, host: str
) -> None:
    settings = load_settings(public_url=url)
    assert settings.public_origin == origin
    assert settings.public_host == (host or origin.partition("://")[2])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///broker",
        "postgresql://u:p@h1:5432,h2:5433/broker?target_session_attrs=primary",
        "postgresql://u:p%40@[::1]/broker",
        "sqlite:///broker.db",
    ],
)
def test_every_form_of_a_database_is_taken(url: str) -> None:
    assert load_settings(database_url=url).database == url


def test_a_data_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    for folder in (occupied, occupied / "below"):
        with pytest.raises(SettingsError, match=r"BROKER_DATA_DIR: .*file.* write"):
            load_settings(data_dir=folder).make_data_dir()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BROKER_PUBLIC_ULR", "BROKER_PUBLIC_URL"),
        ("broker_public_ulr", "BROKER_PUBLIC_URL"),
        ("BROKER_INTERNAL_ISSUER", "BROKER_INTERNAL_ISSUERS"),
        ("BROKER_TRUSTED_PROXY", "BROKER_TRUSTED_PROXIES"),
        ("BROKER_DATABASE", "BROKER_DATABASE_URL"),
    ],
)
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
    given = ["BROKER_URL", "BROKER_PORT", "BROKER_PORT_80_TCP", "BROKER_SERVICE_HOST"]
    for name in given:
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    load_settings()
    assert unknown_settings(given) == ["BROKER_URL"]
