"""Every setting: name, meaning, default and bounds; read once from the environment.

A setting that makes no sense stops the start with a text that says which one, what
is wrong with it and what to write. The names are fixed: operators rely on them.
"""

import ipaddress
import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from broker.federation.addresses import InternalIssuer, parse_internal_issuers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SECRETS = Path("/run/secrets")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", re.ASCII)
_AWS_AUDIENCE = "urn:amazon:webservices"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SettingsError(Exception):
    """The settings make no sense; the text says what to write."""


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[,\s]+", text) if part)


def _split(value: object) -> object:
    return _parts(value) if isinstance(value, str) else value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(part, strict=False) for part in _parts(value))


def _internal_issuers(value: object) -> object:
    return parse_internal_issuers(value) if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)]
InternalIssuers = Annotated[
    tuple[InternalIssuer, ...], NoDecode, BeforeValidator(_internal_issuers)
]


class Settings(BaseSettings):
    """What the operator set, checked as a whole."""

    model_config = SettingsConfigDict(
        env_prefix="BROKER_",
        frozen=True,
        env_ignore_empty=True,
        extra="forbid",
        # Where a container finds settings as files, such as ``broker_redis_url``.
        secrets_dir=_SECRETS if _SECRETS.is_dir() else None,
    )

    data_dir: Path = Path("data")
    database_url: str = ""
    redis_url: str = ""
    public_url: str = "http://127.0.0.1:8080"
    keyring_file: Path | None = None
    saml_audiences: Texts = ()
    saml_recipients: Texts = ()
    clock_skew_seconds: int = Field(default=60, ge=0, le=300)
    stale_seconds: int = Field(default=60, ge=1, le=3600)
    ca_file: Path | None = None
    internal_issuers: InternalIssuers = ()
    trusted_proxies: Networks = ()
    regions: Texts = ("*",)
    home_region: str = "us-east-1"
    allowed_destinations: Texts = ()
    rate_limit: int = Field(default=600, ge=0)
    audit_days: int = Field(default=365, ge=1)
    log_format: LogFormat | None = None
    metrics_allow: Networks = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_public_url(self.public_url)
        for region in (*self.regions, self.home_region):
            if region != "*" and not _REGION.fullmatch(region):
                raise ValueError(
                    f"BROKER_REGIONS or BROKER_HOME_REGION: {region!r} is no region;"
                    " write regions such as us-east-1, or * for all"
                )
        for origin in self.allowed_destinations:
            _check_origin("BROKER_ALLOWED_DESTINATIONS", origin)
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(
                f"BROKER_CA_FILE: there is no file {self.ca_file}; write the path of"
                " a PEM file with certificate authorities"
            )
        return self

    @property
    def public_origin(self) -> str:
        """The public URL without a trailing slash."""
        return self.public_url.rstrip("/")

    @property
    def secure(self) -> bool:
        """Whether browsers reach the broker by https."""
        return self.public_url.startswith("https://")

    @property
    def public_host(self) -> str:
        """Host, and port if it is not the scheme's own, as a Host header has it."""
        parts = urlsplit(self.public_url)
        if parts.port in (None, _DEFAULT_PORTS[parts.scheme]):
            return parts.hostname or ""
        return f"{parts.hostname}:{parts.port}"

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

    @property
    def skew(self) -> timedelta:
        """Leeway on the times of assertions and tokens."""
        return timedelta(seconds=self.clock_skew_seconds)


def load_settings(**overrides: object) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: one line for each setting that makes no sense.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type] # pydantic checks them
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_input=False):
            where = "_".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            named = (
                text
                if text.startswith("BROKER_")
                else f"BROKER_{where.upper()}: {text}"
            )
            lines.append(named)
        raise SettingsError("\n".join(lines)) from None


def _check_public_url(url: str) -> None:
    parts = urlsplit(url)
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or parts.path.strip("/")
    ):
        raise ValueError(
            f"BROKER_PUBLIC_URL: {url!r} is no origin; write scheme, host and port"
            " only, such as https://broker.example.com"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK_NAMES:
        raise ValueError(
            "BROKER_PUBLIC_URL: plain http is for loopback names only; write"
            f" https://{parts.netloc}"
        )


def _check_origin(setting: str, origin: str) -> None:
    parts = urlsplit(origin)
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or parts.path.strip("/")
    ):
        raise ValueError(
            f"{setting}: {origin!r} is no origin; write such as https://apps.example.com"
        )
