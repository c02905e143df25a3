"""The agent's one file, in TOML.

Every name in it is known, or the file is refused: a misspelt limit must not be no limit.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DEFAULT_PATH = Path("/etc/broker-agent.toml")
FILE_BYTES_MAX = 65_536
METADATA_SECONDS = 3600
"""What credentials from the metadata service must last at least.

Source: botocore's ``InstanceMetadataFetcher._evaluate_expiration``.
"""

_PORT_MAX = 65_535

_PROOFS = (
    "join_token_file",
    "web_identity_token_file",
    "access_key_file",
    "certificate_file",
)
_WITH_CERTIFICATE = ("private_key_file", "trust_anchor_arn", "profile_arn")
_ANCHOR = re.compile(
    r"arn:aws[a-z-]*:rolesanywhere:[a-z0-9-]+:[0-9]{12}:trust-anchor/[0-9a-f-]+"
)


class ConfigurationError(Exception):
    """The file cannot be used; the message says what to write."""


@dataclass(frozen=True)
class Address:
    """An IP address and a port to listen on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """``127.0.0.1:8101`` or ``[::1]:8101``.

        Raises:
            ConfigurationError: it is neither.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            ipaddress.ip_address(host)
            number = int(port)
        except ValueError:
            number = -1
        if not 0 <= number <= _PORT_MAX:
            raise ConfigurationError(
                f"{text!r} is not an address to listen on; write 127.0.0.1:8101 or"
                " [::1]:8101"
            )
        return cls(host, number)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """What the agent is: exactly one of the first four proves it.

    A certificate opens ``role_arn`` by IAM Roles Anywhere; with an
    ``instance_profile_arn`` that role registers the machine. A web identity token
    registers a machine when there is an ``instance_profile_arn``, and assumes
    ``role_arn`` otherwise; an access key assumes ``role_arn``.
    """

    join_token_file: Path | None = None
    web_identity_token_file: Path | None = None
    access_key_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    chain_file: Path | None = None
    trust_anchor_arn: str = ""
    profile_arn: str = ""
    instance_profile_arn: str = ""
    role_arn: str = ""
    session_name: str = ""

    @property
    def is_instance(self) -> bool:
        """Whether it is a registered machine with a key of its own."""
        return self.join_token_file is not None or bool(self.instance_profile_arn)


@dataclass(frozen=True, kw_only=True)
class MetadataSettings:
    """The instance metadata endpoint; without ``listen`` there is none."""

    listen: tuple[Address, ...] = ()
    allow_v1: bool = False
    hop_limit: int = 1
    host_names: tuple[str, ...] = ()
    availability_zone: str = ""
    instance_type: str = ""
    image_id: str = ""


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """The container credentials endpoint; ``token_file`` holds what clients show."""

    listen: tuple[Address, ...] = ()
    token_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """A credentials file in AWS's format that is kept up to date."""

    path: Path | None = None
    profile: str = "default"


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """The whole file. ``duration_seconds`` is what to ask for; 0 for the longest."""

    endpoint: str
    region: str
    ca_file: Path | None = None
    state_dir: Path = Path("/var/lib/broker-agent")
    duration_seconds: int = 0
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    metadata: MetadataSettings = field(default_factory=MetadataSettings)
    container: ContainerSettings = field(default_factory=ContainerSettings)
    file: FileSettings = field(default_factory=FileSettings)


def load_settings(path: Path) -> AgentSettings:
    """The settings in a file.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise ConfigurationError(f"{path} has more than {FILE_BYTES_MAX} bytes")
        document = tomllib.loads(text.decode())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    return _read(document)


def _read(document: Mapping[str, Any]) -> AgentSettings:
    if "pods" in document:  # for one release
        raise ConfigurationError(
            "[pods] has been removed, with `broker agent pods`: see docs/pods.md"
        )
    top = _Table("", document)
    identity = _Table("identity", top.table("identity"))
    metadata = _Table("metadata", top.table("metadata"))
    container = _Table("container", top.table("container"))
    file = _Table("file", top.table("file"))
    settings = AgentSettings(
        endpoint=_origin(top.text("endpoint", required=True)),
        region=top.text("region", required=True),
        ca_file=top.path("ca_file"),
        state_dir=top.path("state_dir") or AgentSettings.state_dir,
        duration_seconds=top.number("duration_seconds", 0, 43_200),
        identity=IdentitySettings(
            join_token_file=identity.path("join_token_file"),
            web_identity_token_file=identity.path("web_identity_token_file"),
            access_key_file=identity.path("access_key_file"),
            certificate_file=identity.path("certificate_file"),
            private_key_file=identity.path("private_key_file"),
            chain_file=identity.path("chain_file"),
            trust_anchor_arn=identity.text("trust_anchor_arn"),
            profile_arn=identity.text("profile_arn"),
            instance_profile_arn=identity.text("instance_profile_arn"),
            role_arn=identity.text("role_arn"),
            session_name=identity.text("session_name"),
        ),
        metadata=MetadataSettings(
            listen=metadata.addresses("listen"),
            allow_v1=metadata.flag("allow_v1"),
            hop_limit=metadata.number("hop_limit", 1, 64),
            host_names=metadata.texts("host_names"),
            availability_zone=metadata.text("availability_zone"),
            instance_type=metadata.text("instance_type"),
            image_id=metadata.text("image_id"),
        ),
        container=ContainerSettings(
            listen=container.addresses("listen"),
            token_file=container.path("token_file"),
        ),
        file=FileSettings(
            path=file.path("path"), profile=file.text("profile") or "default"
        ),
    )
    for table in (top, identity, metadata, container, file):
        table.check_names()
    _check_identity(settings.identity)
    if settings.metadata.listen and 0 < settings.duration_seconds < METADATA_SECONDS:
        raise ConfigurationError(
            f"duration_seconds must be at least {METADATA_SECONDS} with [metadata]:"
            " SDKs keep using credentials from there that have less than 20 minutes"
            " left, and the agent renews when half the time is over"
        )
    if settings.container.listen and settings.container.token_file is None:
        raise ConfigurationError(
            "container.token_file is missing: the file with the token that clients"
            " show; it is made if it is not there"
        )
    return settings


def _check_identity(identity: IdentitySettings) -> None:
    proofs = [name for name in _PROOFS if getattr(identity, name) is not None]
    if len(proofs) != 1:
        raise ConfigurationError(
            f"[identity] needs exactly one of {', '.join(_PROOFS)}; it has"
            f" {', '.join(proofs) or 'none'}"
        )
    _check_certificate(identity)
    if identity.join_token_file is not None:
        needed = None
        refused = identity.role_arn or identity.instance_profile_arn
    elif identity.certificate_file is not None:
        # With an instance profile the role is the one that makes the join token.
        needed, refused = identity.role_arn, ""
    elif identity.access_key_file is not None:
        needed = identity.role_arn
        refused = identity.instance_profile_arn
    else:
        needed = identity.role_arn or identity.instance_profile_arn
        refused = identity.role_arn and identity.instance_profile_arn
    if needed == "":
        raise ConfigurationError(
            f"[identity] with {proofs[0]} needs role_arn"
            + (" or instance_profile_arn" if proofs[0].startswith("web") else "")
        )
    if refused:
        raise ConfigurationError(
            f"[identity] with {proofs[0]} has a role_arn or instance_profile_arn too"
            " many; the broker knows an instance's role"
        )


def _check_certificate(identity: IdentitySettings) -> None:
    if identity.certificate_file is None:
        for name in (*_WITH_CERTIFICATE, "chain_file"):
            if getattr(identity, name):
                raise ConfigurationError(
                    f"identity.{name} belongs to certificate_file, which is missing"
                )
        return
    for name in _WITH_CERTIFICATE:
        if not getattr(identity, name):
            raise ConfigurationError(
                f"identity.{name} is missing: certificate_file needs it"
            )
    if not _ANCHOR.fullmatch(identity.trust_anchor_arn):
        raise ConfigurationError(
            "identity.trust_anchor_arn is not the ARN of a trust anchor; see:"
            " aws rolesanywhere list-trust-anchors"
        )


def _origin(text: str) -> str:
    if not text:
        return ""  # refused with the other names
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises
    except ValueError as error:
        raise ConfigurationError(
            f"endpoint {text!r} is not the broker's address: {error}"
        ) from error
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if (
        parts.scheme not in {"https", "http"}
        or not parts.hostname
        or parts.path not in {"", "/"}
        or parts.query
        or parts.username is not None
    ):
        raise ConfigurationError(
            f"endpoint {text!r} is not the broker's address; write"
            " https://broker.example.com"
        )
    if parts.scheme == "http" and not local:
        raise ConfigurationError(
            "endpoint: credentials are sent over https only; http is only for this machine"
        )
    return f"{parts.scheme}://{parts.netloc}"


class _Table:
    """A table of the file: its members, each read once and by its type."""

    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        self._prefix = f"{name}." if name else ""
        self._members = members
        self._known: set[str] = set()
        self._missing: list[str] = []

    def table(self, name: str) -> Mapping[str, Any]:
        results: Mapping[str, Any] = self._get(name, dict, "a table", default={})
        return results

    def text(self, name: str, *, required: bool = False) -> str:
        value: str = self._get(name, str, "text in quotes", default="")
        if required and not value:
            self._missing.append(name)
        if any(ord(text) < ord(" ") for text in value):
            raise ConfigurationError(f"{self._prefix}{name} has control characters")
        return value

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        if not text:
            return None
        path = Path(text)
        if not path.is_absolute():
            raise ConfigurationError(
                f"{self._prefix}{name}: write the path from the root, /{text}"
            )
        return path

    def flag(self, name: str) -> bool:
        match: bool = self._get(name, bool, "true or false", default=False)
        return match

    def number(self, name: str, least: int, most: int) -> int:
        match: int = self._get(name, int, "a number", default=least)
        if isinstance(match, bool) or not least <= match <= most:
            raise ConfigurationError(
                f"{self._prefix}{name} must be from {least} to {most}"
            )
        return match

    def texts(self, name: str) -> tuple[str, ...]:
        match = self._get(name, list, "a list of texts", default=[])
        if not all(isinstance(entry, str) for entry in match):
            raise ConfigurationError(f"{self._prefix}{name} must be a list of texts")
        return tuple(match)

    def addresses(self, name: str) -> tuple[Address, ...]:
        return tuple(map(Address.parse, self.texts(name)))

    def check_names(self) -> None:
        """Unknown names come first: one is often the missing one, misspelt."""
        unknown = sorted(set(self._members) - self._known)
        if unknown:
            raise ConfigurationError(
                f"{self._prefix}{unknown[0]} is unknown; known are"
                f" {', '.join(sorted(self._known))}"
            )
        if self._missing:
            raise ConfigurationError(f"{self._prefix}{self._missing[0]} is missing")

    def _get(self, name: str, kind: type, text: str, *, default: Any) -> Any:  # noqa: ANN401  # TOML
        self._known.add(name)
        match = self._members.get(name, default)
        if not isinstance(match, kind):
            raise ConfigurationError(f"{self._prefix}{name} must be {text}")
        return match
