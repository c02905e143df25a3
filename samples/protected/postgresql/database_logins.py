"""Logins to PostgreSQL with IAM credentials, as Amazon RDS has them.

``aws rds generate-db-auth-token`` makes a presigned URL, which is the password. A
database server asks this program by its method ``ldap``: the bind's name is the
database user, its password the URL. The program asks the broker who signed it and
whether they may ``rds-db:connect``, and answers yes or no::

    export BROKER_SERVICE_TOKEN=...
    python database_logins.py --broker https://broker.example.com \
        --database db.example.com:5432 \
        --resource arn:aws:rds-db:us-east-1:111122223333:dbuser:orders

It listens only on the loopback interface and needs only the standard library and
`broker.client` (pip install --no-deps federation-broker). docs/recipes/postgresql.md sets
a database up.

Of LDAP only what `PostgreSQL's method
<https://www.postgresql.org/docs/current/auth-ldap.html>`_ sends is read: version 3, a
simple bind, no controls. Everything else is refused.

Sources: Amazon RDS User Guide, "IAM database authentication for MariaDB, MySQL, and
PostgreSQL" and "Creating and using an IAM policy for IAM database access"; RFC 4511,
sections 4.1.1, 4.2 and 5.1; X.690 for BER.
"""

import argparse
import asyncio
import hashlib
import json
import logging
import os
import re
import ssl
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from broker.client.answers import BrokerAway, read_answer
from broker.client.connections import Connections
from broker.client.request import AmbiguousRequest

ACTION = "rds-db:connect"
CONNECTIONS_MAX = 64
CONNECTION_SECONDS = 10.0
"""For a whole exchange: PostgreSQL itself gives up after 60 seconds."""

MESSAGE_BYTES_MAX = 20_000
"""A token for a database has up to 3,000; PostgreSQL passes on 65,530."""

_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
_BIND, _SIMPLE = 0x60, 0x80
_LONG = 0x80
_LENGTH_OCTETS_MAX, _ID_OCTETS_MAX = 4, 4
_VERSION = b"\x03"

_QUESTIONS_AT_ONCE = 16
_QUESTION_SECONDS = 2.0
_FIELDS_MAX = 20
_USER_BYTES_MAX = 63
_EMPTY_SHA256 = hashlib.sha256().hexdigest()
_TOKEN = re.compile(r"([^/?#\s]{1,300})/?\?([!-~]{1,16384})")
"""AWS's SDK for Go leaves the slash out; it is signed all the same."""

_HOST = re.compile(r"(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]):[0-9]{1,5}")
_RESOURCE = re.compile(r"arn:aws:rds-db:[a-z0-9-]{1,64}:[0-9]{12}:dbuser:[\w.-]{1,200}")

_log = logging.getLogger("broker.client")


class ResultCode(IntEnum):
    """How a bind ended. Source: RFC 4511, appendix A."""

    SUCCESS = 0
    INVALID_CREDENTIALS = 49
    UNAVAILABLE = 52


class BindMalformed(Exception):
    """What was received is not a simple bind within the bounds."""


class SimpleBind(NamedTuple):
    """A name and the password that is to prove it; ``message_id`` is repeated."""

    message_id: bytes
    name: bytes
    password: bytes

    def __repr__(self) -> str:
        """Without the password."""
        return f"SimpleBind(name={self.name!r})"

    def result(self, code: ResultCode, text: str = "") -> bytes:
        """The answer; the text is for the client's log, at most 100 characters."""
        told = text[:100].encode("ascii", "replace")
        done = b"\x0a\x01" + bytes([code]) + _element(_OCTETS, b"")
        response = _element(0x61, done + _element(_OCTETS, told))
        return _element(_SEQUENCE, _element(_INTEGER, self.message_id) + response)


class LoginRefused(Exception):
    """The login is refused; the text is for the database's log, without secrets."""


@dataclass(frozen=True, slots=True)
class Database:
    """What logins are for.

    ``hosts`` are the names and ports that clients connect to, in lower case;
    ``resource`` is the ARN of its users, up to the slash before their name.
    """

    hosts: frozenset[str]
    resource: str

    def __post_init__(self) -> None:
        """Check what an operator has written.

        Raises:
            ValueError: a host has no port, or the ARN is not one of database users.
        """
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"{host} is not a host with a port: db.example.com:5432"
                )
        if not _RESOURCE.fullmatch(self.resource):
            raise ValueError(
                f"{self.resource} is not an arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE"
            )


def read_login(database: Database, user: str, token: str) -> bytes:
    """The question for the broker, whether this token opens the database to the user.

    Raises:
        LoginRefused: the token is not for this database and user.
    """
    if not 1 <= len(user.encode()) <= _USER_BYTES_MAX:
        raise LoginRefused("the user's name is empty or longer than PostgreSQL's")
    if "/" in user or not user.isprintable():
        # A slash continues a resource's ARN: it would be another user's.
        raise LoginRefused("the user's name has a slash or a control character")
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise LoginRefused("the password is not an authentication token")
    host, query = match.groups()
    if host.lower() not in database.hosts:
        raise LoginRefused("the token is for another host or port")
    try:
        fields = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise LoginRefused("the password is not an authentication token") from error
    told = [field for field in fields if not field[0].lower().startswith("x-amz-")]
    if sorted(told) != [("Action", "connect"), ("DBUser", user)]:
        raise LoginRefused("the token is for another user or action")
    question = {
        "Request": {
            "Method": "GET",
            "Target": f"/?{query}",
            "Headers": [("host", host)],
            "BodySha256": _EMPTY_SHA256,
        },
        "Actions": [ACTION],
        "Resources": [f"{database.resource}/{user}"],
    }
    return json.dumps(question).encode("ascii")


async def receive_bind(reader: StreamReader) -> SimpleBind:
    """Read one message, which must be a simple bind.

    Raises:
        BindMalformed: it is something else, or longer than `MESSAGE_BYTES_MAX`.
        IncompleteReadError: the client went away before.
    """
    tag, first = await reader.readexactly(2)
    if tag != _SEQUENCE:
        raise BindMalformed("no LDAP message")
    length = first
    if first >= _LONG:
        octets = _count_length_octets(first)
        length = int.from_bytes(await reader.readexactly(octets), "big")
    if length > MESSAGE_BYTES_MAX:
        raise BindMalformed(f"a message of {length} bytes")
    return _parse_message(await reader.readexactly(length))


def _parse_message(message: bytes) -> SimpleBind:
    message_id, rest = _take(message, _INTEGER)
    if not 1 <= len(message_id) <= _ID_OCTETS_MAX or message_id[0] >= _LONG:
        raise BindMalformed("a message without a number")
    bind, controls = _take(rest, _BIND)
    if controls:
        raise BindMalformed("controls")
    version, rest = _take(bind, _INTEGER)
    if version != _VERSION:
        raise BindMalformed("another version than 3")
    name, rest = _take(rest, _OCTETS)
    password, rest = _take(rest, _SIMPLE)
    if rest:
        raise BindMalformed("more than a bind")
    return SimpleBind(message_id, name, password)


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    start = 2
    if len(data) < start or data[0] != tag:
        raise BindMalformed(f"no element {tag:#x}")
    length = data[1]
    if length >= _LONG:
        start += _count_length_octets(length)
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if len(data) < end:
        raise BindMalformed("an element longer than its message")
    return data[start:end], data[end:]


def _count_length_octets(first: int) -> int:
    """How many octets the long form of a length has; none is the indefinite form."""
    octets = first - _LONG
    if not 1 <= octets <= _LENGTH_OCTETS_MAX:
        raise BindMalformed("a length without end")
    return octets


def _element(tag: int, content: bytes) -> bytes:
    """An element of less than 128 bytes."""
    return bytes([tag, len(content)]) + content


class DatabaseLogins:
    """Answers a database's binds by asking the broker; keeps nothing."""

    def __init__(self, database: Database, broker: Connections) -> None:
        self._database = database
        self._broker = broker
        self._threads = ThreadPoolExecutor(_QUESTIONS_AT_ONCE, "database-logins")
        self._open = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one connection's bind; whatever else is sent closes it."""
        if self._open >= CONNECTIONS_MAX:
            _log.warning("refused a login: too many at once")
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                bind = await receive_bind(reader)
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._threads, self._judge, bind)
                writer.write(answer)
                await writer.drain()
        except TimeoutError:
            _log.warning("refused a login: it took too long")
        except BindMalformed as error:
            _log.warning("refused a login: %s", error)
        except (IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            self._open -= 1
            writer.close()

    def _judge(self, bind: SimpleBind) -> bytes:
        try:
            user, principal = self._ask(bind)
        except BrokerAway as error:
            _log.warning("refused a login: %s", error)
            return bind.result(ResultCode.UNAVAILABLE, "the broker does not answer")
        except LoginRefused as error:
            _log.info("refused a login as %r: %s", bind.name[:100], error)
            return bind.result(ResultCode.INVALID_CREDENTIALS, str(error))
        _log.info("%s logs in as %r", principal, user)
        return bind.result(ResultCode.SUCCESS)

    def _ask(self, bind: SimpleBind) -> tuple[str, str]:
        """The database user, and the ARN of who logs in as it."""
        try:
            user, token = bind.name.decode(), bind.password.decode("ascii")
        except UnicodeDecodeError as error:
            raise LoginRefused("the password is not an authentication token") from error
        question = read_login(self._database, user, token)
        try:
            answer = read_answer(self._broker.post(question), _EMPTY_SHA256)
        except AmbiguousRequest as error:
            raise LoginRefused("the broker cannot read the token") from error
        refusal = answer.refusal
        if refusal is not None or answer.principal is None:
            code = refusal.code if refusal else "AccessDenied"
            request_id = refusal.request_id if refusal else ""
            raise LoginRefused(f"{code}; broker explain {request_id}")
        return user, answer.principal.arn


def main(words: Sequence[str] | None = None) -> None:
    """Serve until a signal ends it."""
    given = _parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    address, port = given.listen
    try:
        database = Database(
            frozenset(host.lower() for host in given.database), given.resource
        )
        broker = Connections(
            given.broker,
            _read_token(given.token_file),
            timeout_seconds=_QUESTION_SECONDS,
            tls=ssl.create_default_context(cafile=given.ca_file),
        )
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    logins = DatabaseLogins(database, broker)
    try:
        asyncio.run(_serve(logins, address, port))
    except OSError as error:
        raise SystemExit(f"cannot listen on {address}:{port}: {error}") from None
    except KeyboardInterrupt:
        pass


def _read_token(path: Path | None) -> str:
    text = path.read_text() if path else os.environ.get("BROKER_SERVICE_TOKEN", "")
    token = text.strip()
    if not token:
        raise ValueError("set BROKER_SERVICE_TOKEN, or give --token-file")
    return token


async def _serve(logins: DatabaseLogins, address: str, port: int) -> None:
    server = await asyncio.start_server(logins.serve, address, port)
    _log.info("answering logins on %s:%s", address, port)
    async with server:
        await server.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Lets the broker decide who may log in to a PostgreSQL server.",
    )
    parser.add_argument(
        "--broker", required=True, metavar="URL", help="https://broker.example.com"
    )
    parser.add_argument(
        "--database",
        required=True,
        action="append",
        metavar="HOST:PORT",
        help="the host and port that clients connect to; may be given several times",
    )
    parser.add_argument(
        "--resource",
        required=True,
        metavar="ARN",
        help="arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE",
    )
    parser.add_argument(
        "--listen",
        type=_loopback,
        default=("127.0.0.1", 389),
        metavar="ADDRESS:PORT",
        help="127.0.0.1:389 unless given; a loopback address",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="PATH",
        help="the service token, instead of BROKER_SERVICE_TOKEN",
    )
    parser.add_argument(
        "--ca-file",
        metavar="PATH",
        help="the certificate authority of the broker's certificate",
    )
    return parser


def _loopback(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    try:
        if ip_address(address.strip("[]")).is_loopback:
            return address.strip("[]"), int(port)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError("must be a loopback address with a port")


if __name__ == "__main__":
    main()
