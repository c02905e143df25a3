"""The directories of ``BROKER_DIRECTORIES_FILE``: their servers and searches.

The file is the operator's. It names files that hold secrets and has none itself.
"""

import ipaddress
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_pascal

from broker.protocols.ldap.filters import is_attribute, require_filter
from broker.runtime.private_files import is_open_to_others

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_PROVIDER_ARN = re.compile(
    r"arn:aws:iam::[0-9]{12}:ldap-provider/[a-z][a-z0-9-]{0,62}", re.ASCII
)
_PORTS = {"ldaps": 636, "ldap": 389}
_USERNAME = frozenset({"username"})
_MEMBER = frozenset({"dn", "username"})
_SERVERS_MAX = 10
_DIRECTORIES_MAX = 20
_LOCALHOST = "localhost"


NESTED_IN_ACTIVE_DIRECTORY = (
    "(&(objectClass=group)(member:1.2.840.113556.1.4.1941:={dn}))"
)
"""LDAP_MATCHING_RULE_IN_CHAIN: the server follows groups in groups ([MS-ADTS])."""


class DirectoryKind(StrEnum):
    """What speaks LDAP there: the defaults follow from it."""

    ACTIVE_DIRECTORY = "ActiveDirectory"
    OPENLDAP = "OpenLDAP"
    DS389 = "389"


_DEFAULTS: Mapping[DirectoryKind, Mapping[str, str]] = {
    DirectoryKind.ACTIVE_DIRECTORY: {
        "filter": "(&(objectCategory=person)(objectClass=user)"
        "(sAMAccountName={username}))",
        "subject": "objectGUID",
        "username": "sAMAccountName",
        "group_filter": "(&(objectClass=group)(member={dn}))",
    },
    DirectoryKind.OPENLDAP: {
        "filter": "(&(objectClass=inetOrgPerson)(uid={username}))",
        "subject": "entryUUID",
        "username": "uid",
        "group_filter": "(&(objectClass=groupOfNames)(member={dn}))",
    },
    DirectoryKind.DS389: {
        "filter": "(&(objectClass=person)(uid={username}))",
        "subject": "nsUniqueId",
        "username": "uid",
        "group_filter": "(|(&(objectClass=groupOfNames)(member={dn}))"
        "(&(objectClass=groupOfUniqueNames)(uniqueMember={dn})))",
    },
}


class LdapServer(BaseModel):
    """One server: the name that its certificate must have, and the port."""

    model_config = ConfigDict(frozen=True)

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this very computer."""
        if self.host == _LOCALHOST:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _server(value: object) -> object:
    if not isinstance(value, str):
        return value
    wrong = ValueError(f"{value!r}: write ldaps://HOST[:PORT] or ldap://HOST[:PORT]")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong from None
    rest = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme not in _PORTS or not parts.hostname or any(rest) or port == 0:
        raise wrong
    return LdapServer(
        scheme=parts.scheme, host=parts.hostname, port=port or _PORTS[parts.scheme]
    )


def _attribute(name: str) -> str:
    if not is_attribute(name):
        raise ValueError(f"{name!r} is not a name of an attribute")
    return name


def _existing(path: Path, info: ValidationInfo) -> Path:
    resolved = Path((info.context or {}).get("folder", "")) / path
    if not resolved.is_file():
        raise ValueError(f"there is no file {resolved}")
    return resolved


def _provider_arn(arn: str) -> str:
    if not _PROVIDER_ARN.fullmatch(arn):
        raise ValueError(
            f"{arn!r} is not an LDAP provider; use, for example,"
            " arn:aws:iam::123456789012:ldap-provider/corp"
        )
    return arn


Attribute = Annotated[str, AfterValidator(_attribute)]
ExistingFile = Annotated[Path, AfterValidator(_existing)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_pascal, populate_by_name=True
    )


class LdapDirectory(_Section):
    """One directory of the file.

    ``start_tls`` begins TLS on an ``ldap`` connection; one without TLS goes to this
    computer only, and only with ``allow_plaintext``. ``group_name`` is the attribute
    that groups are known by, or ``dn``. ``tags`` are session tags by attribute.
    ``timeout_seconds`` is for one answer of one server. ``wrong_passwords_max`` is for
    one person in a quarter of an hour; less than the directory itself allows, so that
    nobody can have it lock people out by way of the broker.
    """

    kind: DirectoryKind
    servers: Annotated[
        tuple[Annotated[LdapServer, BeforeValidator(_server)], ...],
        Field(min_length=1, max_length=_SERVERS_MAX),
    ]
    start_tls: Annotated[bool, Field(alias="StartTLS")] = False
    allow_plaintext: bool = False
    ca_file: ExistingFile | None = None
    bind_dn: Annotated[str, Field(alias="BindDN", min_length=1)]
    bind_password_file: ExistingFile
    base: Annotated[str, Field(min_length=1)]
    filter: Annotated[
        str, AfterValidator(lambda template: require_filter(template, _USERNAME))
    ] = ""
    subject: Attribute = ""
    username: Attribute = ""
    session_name: Attribute = ""
    group_base: str = ""
    group_filter: Annotated[
        str, AfterValidator(lambda template: require_filter(template, _MEMBER))
    ] = ""
    group_name: Attribute = "cn"
    nested_groups: bool = False
    tags: dict[Attribute, str] = {}
    timeout_seconds: Annotated[float, Field(ge=0.2, le=30)] = 3.0
    wrong_passwords_max: Annotated[int, Field(ge=1, le=10)] = 4

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, params: Any) -> Any:  # noqa: ANN401  # whatever the file has
        """Fill in what follows from the kind."""
        if not isinstance(params, dict):
            return params
        try:
            kind = DirectoryKind(str(params.get("Kind")))
        except ValueError:
            return params  # refused by the member's own check
        names = {to_pascal(name): text for name, text in _DEFAULTS[kind].items()}
        if (
            kind is DirectoryKind.ACTIVE_DIRECTORY
            and params.get("NestedGroups") is True
        ):
            names["GroupFilter"] = NESTED_IN_ACTIVE_DIRECTORY
        return {**names, **params}

    @model_validator(mode="after")
    def _require_tls(self) -> Self:
        for server in self.servers:
            if server.scheme == "ldaps":
                if self.start_tls:
                    raise ValueError(f"{server} has TLS already: leave out StartTLS")
            elif not self.start_tls and not (
                self.allow_plaintext and server.is_loopback
            ):
                raise ValueError(
                    f"{server} would send passwords without TLS: write ldaps://, or set"
                    " StartTLS. AllowPlaintext is for servers on this computer only"
                )
        return self

    @property
    def follows_groups(self) -> bool:
        """Whether the broker itself looks for groups in groups."""
        return self.nested_groups and self.kind is not DirectoryKind.ACTIVE_DIRECTORY

    @property
    def groups_below(self) -> str:
        """Where groups are searched for."""
        return self.group_base or self.base

    def read_bind_password(self) -> str:
        """The service's password, as its file has it now.

        Raises:
            ValueError: it cannot be read, or is empty.
        """
        try:
            password = self.bind_password_file.read_text(encoding="utf-8").rstrip(
                "\r\n"
            )
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.bind_password_file} cannot be read") from error
        if not password:
            raise ValueError(f"{self.bind_password_file} is empty")
        return password

    @property
    def warning(self) -> str:
        """What is wrong with the password's file and how to mend it; else empty."""
        path = self.bind_password_file
        try:
            is_open = is_open_to_others(path.stat())
        except OSError:
            return ""  # is told when it is read
        return f"others can read {path}: run chmod 600 {path}" if is_open else ""


class DirectoriesFile(_Section):
    """The whole file.

    ``at_api`` are the ARNs of the LDAP providers, one for each account, that programs
    may send passwords for; a call without a role goes to the first.
    """

    directories: Annotated[dict[str, LdapDirectory], Field(max_length=_DIRECTORIES_MAX)]
    at_api: Annotated[
        tuple[Annotated[str, AfterValidator(_provider_arn)], ...],
        Field(alias="AssumeRoleWithLDAPIdentity"),
    ] = ()


def parse_directories(data: object, folder: Path = Path()) -> DirectoriesFile:
    """The file's data; the files that it names are relative to ``folder``.

    Raises:
        ValueError: a line for each thing that is wrong: where, and how to write it.
    """
    try:
        file = DirectoriesFile.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        raise ValueError(
            "; ".join(
                ".".join(map(str, problem["loc"]))
                + ": "
                + problem["msg"].removeprefix("Value error, ")
                for problem in error.errors(include_url=False, include_input=False)
            )
        ) from None
    for name in file.directories:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name: lower-case letters, digits and hyphens"
            )
    return file


NO_DIRECTORIES = DirectoriesFile(directories={})
"""Where the operator describes none."""
