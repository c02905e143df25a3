"""The operator's store addresses: read strictly, printed without their secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote

from msgspec import Struct

from broker.errors import OperatorError
from broker.model.secret import Confidential, Hidden

_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]*(?:@[^/@\s]*)*@")
_SECRET_PARAMETERS = re.compile(r"(?i)([?&](?:password|sslpassword|passfile)=)[^&#\s]*")
_POSTGRESQL_SCHEMES = frozenset({"postgresql", "postgres"})
_REDIS_SCHEMES = frozenset({"redis", "rediss"})
_REDIS_MODES = frozenset({"", "sentinel", "cluster"})
_REDIS_PORT = 6379
_SENTINEL_PORT = 26379
_POSTGRESQL_PORT = 5432
_PORTS = range(1, 65_536)


class StoreUrlError(OperatorError, ValueError):
    """A store's address cannot be used; the text says why and shows no secret."""


class SqliteLocation(Struct, frozen=True):
    """A file of the embedded database."""

    path: Path


class PostgresqlLocation(Confidential, frozen=True):
    """A PostgreSQL server, as libpq writes it (``sslmode`` and friends included)."""

    dsn: Hidden[str]


DatabaseLocation = SqliteLocation | PostgresqlLocation


class RedisLocation(Confidential, frozen=True, kw_only=True):
    """A Redis or Valkey: alone, behind sentinels, or a cluster.

    ``mode`` is empty for a single server, else ``sentinel`` or ``cluster``;
    ``service`` is the name that sentinels know the master by.
    """

    mode: str
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    service: str = ""
    username: Hidden[str | None] = None
    password: Hidden[str | None] = None


def redact_url(url: str) -> str:
    """The address without user, password and secret parameters, fit to be shown."""
    return _SECRET_PARAMETERS.sub(r"\1…", _CREDENTIALS.sub("…@", url))


def parse_database_url(url: str) -> DatabaseLocation:
    """Read ``BROKER_DATABASE_URL``: ``sqlite:///FILE``, ``postgresql://…``, a file.

    Raises:
        StoreUrlError: it is neither.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        if not url:
            raise StoreUrlError("the database's address is empty")
        return SqliteLocation(Path(url))
    if scheme == "sqlite":
        # As SQLAlchemy writes them: three slashes and a relative path, four and an
        # absolute one.
        path = unquote(rest.partition("?")[0])
        if not path.startswith("/") or path == "/":
            raise StoreUrlError(
                f"{redact_url(url)!r} needs a file: sqlite:///broker.db"
            )
        return SqliteLocation(Path(path[1:]))
    if scheme in _POSTGRESQL_SCHEMES:
        hosts = re.split(r"[/?]", rest, maxsplit=1)[0].rpartition("@")[2]
        if hosts:  # else the driver's own: a socket, or what PGHOST says
            _read_hosts(url, hosts, _POSTGRESQL_PORT)
        return PostgresqlLocation(f"postgresql://{rest}")
    raise StoreUrlError(
        f"{redact_url(url)!r} is neither sqlite:///FILE nor postgresql://HOST/NAME"
    )


def split_hosts(dsn: str) -> tuple[Mapping[str, object], ...]:
    """The servers of a PostgreSQL address, each as the driver's ``host`` and ``port``.

    One without any is what the address says by itself.
    """
    place, _, query = dsn.partition("://")[2].partition("?")
    hosts = place.partition("/")[0].rpartition("@")[2]
    ports = ""
    if not hosts:
        values = parse_qs(query)
        hosts, ports = (values.get(name, [""])[-1] for name in ("host", "port"))
    if "," not in hosts:
        return ({},)
    if ports:
        numbers = ports.split(",")
        numbers *= 1 if len(numbers) > 1 else hosts.count(",") + 1
        pairs = tuple(zip(hosts.split(","), map(int, numbers), strict=True))
    else:
        pairs = _read_hosts(dsn, hosts, _POSTGRESQL_PORT)
    return tuple({"host": unquote(host), "port": port} for host, port in pairs)


def parse_redis_url(url: str) -> RedisLocation:
    """Read ``BROKER_REDIS_URL``.

    ``redis://``, ``rediss://``, ``redis+sentinel://h1,h2/NAME`` and
    ``redis+cluster://h1,h2``, each with ``user:password@`` if wanted.

    Raises:
        StoreUrlError: it is none of these.
    """
    schemes, place, path = _split(url)
    scheme, _, mode = schemes.partition("+")
    if scheme not in _REDIS_SCHEMES or mode not in _REDIS_MODES:
        raise StoreUrlError(
            f"{redact_url(url)!r} is not redis://, rediss://, redis+sentinel:// "
            "or redis+cluster://"
        )
    credentials, _, hosts = place.rpartition("@")
    username, _, password = credentials.partition(":")
    segments = [unquote(part) for part in path.split("/") if part]
    service = ""
    if mode == "sentinel":
        if not segments:
            raise StoreUrlError(
                f"{redact_url(url)!r} lacks the master's name at the end"
            )
        service = segments.pop(0)
    return RedisLocation(
        mode=mode,
        tls=scheme == "rediss",
        hosts=_read_hosts(url, hosts, _SENTINEL_PORT if service else _REDIS_PORT),
        database=_read_number(url, segments[0]) if segments else 0,
        service=service,
        username=unquote(username) or None,
        password=unquote(password) or None,
    )


def _split(url: str) -> tuple[str, str, str]:
    # By hand: urllib knows no lists of hosts, and refuses some in newer versions.
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise StoreUrlError(f"{redact_url(url)!r} is not a URL")
    place, _, path = rest.partition("?")[0].partition("/")
    return scheme, place, path


def _read_hosts(url: str, text: str, port: int) -> tuple[tuple[str, int], ...]:
    hosts: list[tuple[str, int]] = []
    for entry in text.split(","):
        host, separator, number = entry.rpartition(":")
        if not separator or number.endswith("]"):
            host, number = entry, str(port)
        if not host:
            raise StoreUrlError(f"{redact_url(url)!r} names no host")
        if host.count("[") != host.count("]"):
            raise StoreUrlError(f"{redact_url(url)!r} names a host that is none")
        port_number = _read_number(url, number)
        if port_number not in _PORTS:
            raise StoreUrlError(f"{redact_url(url)!r}: {number} is not a port")
        hosts.append((host.strip("[]"), port_number))
    return tuple(hosts)


def _read_number(url: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise StoreUrlError(f"{redact_url(url)!r}: {text!r} is not a number")
    return int(text)
