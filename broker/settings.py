"""Every setting: name, meaning, default and bounds; read once from the environment.

An invalid setting stops the start with a message that names it, the problem and the
fix. The names are fixed: operators rely on them.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from broker.errors import OperatorError
from broker.proofs.addresses import InternalIssuer, parse_internal_issuers
from broker.runtime.spelling import find_similar
from broker.stores.urls import (
    StoreUrlError,
    parse_database_url,
    parse_redis_url,
    redact_url,
)

if TYPE_CHECKING:
    from broker.proofs.ldap.directories import DirectoriesFile

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORT = 8080
"""Of ``broker serve``, and of the public URL that is assumed."""

_PREFIX = "BROKER_"
_OF_COMMANDS = frozenset({"BROKER_ACCOUNT"})
"""Variables that options of commands have as their default, which are no settings."""

_SECRETS = Path("/run/secrets")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", re.ASCII)
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?", re.ASCII)
_AWS_AUDIENCE = "urn:amazon:webservices"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IPV6 = 6
_DIRECTORIES_BYTES_MAX = 262_144


class SettingsError(OperatorError):
    """The settings are invalid; the message has a line for each and how to fix it."""

    @property
    def lines(self) -> list[str]:
        """A line for each setting that is wrong."""
        return str(self).split("\n")


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def _split(value: object) -> object:
    return _parts(value) if isinstance(value, str) else value


def _networks(value: object) -> object:
    return tuple(map(_network, _parts(value))) if isinstance(value, str) else value


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a network; use, for example, 10.0.0.0/8 or 192.0.2.7"
        ) from None


def _internal_issuers(value: object) -> object:
    return parse_internal_issuers(value) if isinstance(value, str) else value


def _number(least: int, most: int) -> BeforeValidator:
    def read(value: object) -> object:
        number = value
        if isinstance(value, str):
            digits = value.isascii() and value.isdecimal()
            # Longer ones are out of range anyway, and int() refuses some.
            number = int(value) if digits and len(value) <= len(str(most)) else None
        if not isinstance(number, int) or not least <= number <= most:
            raise ValueError(
                f"{value!r} is not valid; use a whole number from {least} to {most}"
            )
        return number

    return BeforeValidator(read)


def _origin(text: str) -> str:
    """Scheme, host and port, as browsers write them in an ``Origin`` header."""
    wrong = ValueError(
        f"{redact_url(text)!r} is not an origin; write scheme, host and port only, such as"
        " https://broker.example.com"
    )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong from None
    host = _written_host(parts.hostname or "")
    rest = (parts.path.strip("/"), parts.query, parts.fragment)
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not host
        or port == 0
        or any(rest)
        or "@" in parts.netloc
        or text.endswith(("?", "#"))
    ):
        raise wrong
    label = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    return f"{parts.scheme}://{host}{label}"


def _written_host(host: str) -> str:
    """A host as it stands in an origin; empty for what is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host if _HOST_NAME.fullmatch(host) else ""
    return f"[{address}]" if address.version == _IPV6 else str(address)


def _public_origin(text: str) -> str:
    origin = _origin(text)
    if (
        origin.startswith("http://")
        and urlsplit(origin).hostname not in _LOOPBACK_NAMES
    ):
        raise ValueError(
            "plain http is for loopback names only; write"
            f" https://{urlsplit(origin).netloc}"
        )
    return origin


def _host_names(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not _written_host(text.lower()):
            raise ValueError(
                f"{text!r} is not a host name; write names without scheme and port, such as"
                " sts.amazonaws.com"
            )
    return tuple(text.lower() for text in texts)


def _recipients(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        scheme, separator, rest = text.partition("://")
        if scheme not in _DEFAULT_PORTS or not separator or not rest.strip("/"):
            raise ValueError(
                f"{text!r} is not an address of an assertion consumer service; use, for"
                " example, https://signin.aws.amazon.com/saml"
            )
    return texts


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError(f"{text!r} is not a region; use, for example, us-east-1")
    return text


def _regions(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts or ("",):
        if text != "*" and not _REGION.fullmatch(text):
            raise ValueError(
                f"{text!r} is not a region; write regions such as us-east-1, or * for all"
            )
    return texts


def _store(parse: Callable[[str], object], example: str) -> AfterValidator:
    def check(url: str) -> str:
        try:
            if url:
                parse(url)
        except StoreUrlError as error:
            raise ValueError(f"{error}; use, for example, {example}") from None
        return url

    return AfterValidator(check)


def _authorities(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"{path} cannot be read as certificates ({error.strerror or error}); write"
            " the path of a PEM file with certificate authorities"
        ) from None
    return path


def _organisations(path: Path) -> Path:
    # Imported here: it is needed only with such a file.
    from broker.kinds import organisations  # noqa: PLC0415

    try:
        organisations.read_organisations(path)
    except organisations.OrganisationsFileError as error:
        raise ValueError(str(error)) from None
    return path


def _file(path: Path) -> Path:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; write the path of a file")
    return path


def _directories(path: Path) -> Path:
    read_directories(path)
    return path


def read_directories(path: Path) -> "DirectoriesFile":
    """The directories that ``BROKER_DIRECTORIES_FILE`` describes.

    Raises:
        ValueError: it cannot be read, or a line for what is wrong.
    """
    # Imported here: it is needed only with such a file.
    from broker.kinds import yaml_text  # noqa: PLC0415
    from broker.proofs.ldap.directories import parse_directories  # noqa: PLC0415

    try:
        if path.stat().st_size > _DIRECTORIES_BYTES_MAX:
            raise ValueError(f"{path} is longer than {_DIRECTORIES_BYTES_MAX} bytes")
        return parse_directories(
            yaml_text.load_yaml(path.read_text(encoding="utf-8")), path.parent
        )
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml_text.TemplateError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None


DatabaseUrl = Annotated[str, _store(parse_database_url, "postgresql://u:p@h/name")]
RedisUrl = Annotated[str, _store(parse_redis_url, "rediss://u:p@h:6379/0")]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
HostNames = Annotated[Texts, AfterValidator(_host_names)]
InternalIssuers = Annotated[
    tuple[InternalIssuer, ...], NoDecode, BeforeValidator(_internal_issuers)
]


class Settings(BaseSettings):
    """What the operator set, checked as a whole."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        frozen=True,
        env_ignore_empty=True,
        extra="forbid",
        # Where a container finds settings as files, such as ``broker_redis_url``.
        secrets_dir=_SECRETS if _SECRETS.is_dir() else None,
    )

    data_dir: Path = Path("data")
    database_url: DatabaseUrl = ""
    redis_url: RedisUrl = ""
    public_url: Annotated[str, AfterValidator(_public_origin)] = (
        f"http://127.0.0.1:{DEFAULT_PORT}"
    )
    keyring_file: Annotated[Path, AfterValidator(_file)] | None = None
    saml_audiences: Texts = ()
    saml_recipients: Annotated[Texts, AfterValidator(_recipients)] = ()
    clock_skew_seconds: Annotated[int, _number(0, 300)] = 60
    stale_seconds: Annotated[int, _number(1, 3600)] = 60
    cache_mb: Annotated[int, _number(8, 65_536)] = 64
    ca_file: Annotated[Path, AfterValidator(_authorities)] | None = None
    internal_issuers: InternalIssuers = ()
    trusted_proxies: Networks = ()
    regions: Annotated[Texts, AfterValidator(_regions)] = ("*",)
    home_region: Annotated[str, AfterValidator(_region)] = "us-east-1"
    allowed_destinations: Annotated[
        Texts, AfterValidator(lambda texts: tuple(map(_origin, texts)))
    ] = ()
    host_aliases: HostNames = ()
    organisations_file: Annotated[Path, AfterValidator(_organisations)] | None = None
    rate_limit: Annotated[int, _number(0, 1_000_000)] = 600
    audit_days: Annotated[int, _number(1, 36_500)] = 365
    log_format: LogFormat | None = None
    metrics_allow: Networks = ()
    directories_file: Annotated[Path, AfterValidator(_directories)] | None = None

    @property
    def public_origin(self) -> str:
        """The public URL: scheme, host and port, without a trailing slash."""
        return self.public_url

    @property
    def secure(self) -> bool:
        """Whether browsers reach the broker by https."""
        return self.public_url.startswith("https://")

    @property
    def public_host(self) -> str:
        """Host, and port if it is not the scheme's own, as a Host header has it."""
        return urlsplit(self.public_url).netloc

    @property
    def public_name(self) -> str:
        """The public URL's host without its port; IPv6 without brackets."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def host_names(self) -> frozenset[str]:
        """Every name that is the broker: loopback ones stand for each other."""
        name = self.public_name
        own = _LOOPBACK_NAMES if name in _LOOPBACK_NAMES else {name}
        return frozenset({*own, *self.host_aliases})

    @property
    def database(self) -> str:
        """The database's URL, the embedded one when none is set."""
        return self.database_url or f"sqlite:///{self.data_dir / 'broker.db'}"

    @property
    def keyring(self) -> Path:
        """Where the sealing keys are."""
        return self.keyring_file or self.data_dir / "keyring.json"

    @property
    def audiences(self) -> frozenset[str]:
        """Audiences that an assertion may be made for."""
        return frozenset(
            self.saml_audiences or (_AWS_AUDIENCE, f"{self.public_origin}/saml")
        )

    @property
    def recipients(self) -> frozenset[str]:
        """Recipients and Destinations, the per-provider ones aside."""
        return frozenset({f"{self.public_origin}/saml", *self.saml_recipients})

    def make_data_dir(self) -> None:
        """Create the data folder, private to its owner, if it is missing.

        Raises:
            SettingsError: it cannot be made, or nothing can be written there.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            writable = os.access(self.data_dir, os.W_OK | os.X_OK)
        except OSError as error:
            raise self._no_folder(str(error.strerror)) from error
        if not writable:
            raise self._no_folder("it cannot be written to")

    def _no_folder(self, why: str) -> SettingsError:
        return SettingsError(
            f"BROKER_DATA_DIR: {self.data_dir} cannot be used: {why}; write a folder that"
            " the broker may write to"
        )

    @property
    def directories(self) -> "DirectoriesFile":
        """What people may sign in with, read anew.

        Raises:
            SettingsError: the file is no longer what it was at the start.
        """
        if self.directories_file is None:
            # Imported here: it is needed only with such a file.
            from broker.proofs.ldap.directories import NO_DIRECTORIES  # noqa: PLC0415

            return NO_DIRECTORIES
        try:
            return read_directories(self.directories_file)
        except ValueError as error:
            raise SettingsError(f"BROKER_DIRECTORIES_FILE: {error}") from None

    @property
    def skew(self) -> timedelta:
        """Leeway on the times of assertions and tokens."""
        return timedelta(seconds=self.clock_skew_seconds)


class EffectiveSetting(NamedTuple):
    """A setting as the broker uses it, fit to be shown, and where it is from."""

    name: str
    value: str | tuple[str, ...]
    source: str


def effective_settings(settings: Settings) -> list[EffectiveSetting]:
    """Every setting with its source: a variable, a file or the default.

    Users, passwords and secret parameters of addresses are left out.
    """
    variables = {name.lower(): name for name, text in os.environ.items() if text}
    files = {path.name.lower(): path for path in _secret_files()}
    effective: dict[str, object] = {
        "database_url": redact_url(settings.database),
        "redis_url": redact_url(settings.redis_url),
        "keyring_file": settings.keyring,
        "saml_audiences": sorted(settings.audiences),
    }
    results = []
    for field in Settings.model_fields:
        key = f"{_PREFIX}{field}".lower()
        source = variables.get(key) or str(files.get(key, "default"))
        value = effective.get(field, getattr(settings, field))
        results.append(
            EffectiveSetting(f"{_PREFIX}{field.upper()}", _written(value), source)
        )
    return results


def _secret_files() -> list[Path]:
    folder = Settings.model_config.get("secrets_dir")
    return sorted(Path(str(folder)).iterdir()) if folder else []


def _written(value: object) -> str | tuple[str, ...]:
    if isinstance(value, tuple | list):
        return tuple(map(str, value))
    return "" if value is None else str(value)


def unknown_settings(environment: Iterable[str]) -> list[str]:
    """Variables that look like settings and are none, except Kubernetes's own.

    Kubernetes sets ``BROKER_PORT`` and the like for a Service named ``broker``.
    """
    return sorted(
        name
        for name in environment
        if name.upper().startswith(_PREFIX)
        and name.upper().removeprefix(_PREFIX).lower() not in Settings.model_fields
        and name.upper() not in _OF_COMMANDS
        and not name.upper().startswith(("BROKER_PORT", "BROKER_SERVICE_"))
    )


def _misspelt(environment: Iterable[str]) -> list[str]:
    """A line for each variable that is nearly a setting."""
    return [
        f"{name} is not a setting; did you mean {_PREFIX}{meant.upper()}?"
        for name in unknown_settings(environment)
        if (meant := find_similar(name[len(_PREFIX) :], Settings.model_fields))
    ]


def load_settings(**overrides: object) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: one line for each setting that makes no sense.
    """
    wrong = _misspelt(os.environ)
    if wrong:
        raise SettingsError("\n".join(wrong))
    try:
        return Settings(**overrides)  # type: ignore[arg-type] # pydantic checks them
    except ValidationError as error:
        raise SettingsError(
            "\n".join(
                f"BROKER_{str(problem['loc'][0]).upper()}: "
                + problem["msg"].removeprefix("Value error, ")
                for problem in error.errors(include_url=False, include_input=False)
            )
        ) from None
