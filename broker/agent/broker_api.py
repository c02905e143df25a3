"""Calls to the broker's Query API, with only the standard library.

One connection at a time, made anew for each call: there are few. Redirects are not
followed, and the environment's proxies are not used.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from broker.agent.configuration import AgentSettings, ConfigurationError

CLOCK_SECONDS = 30
"""Smaller differences between two clocks are put down to the network."""

_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

BROKER_VERSION = "2026-11-27"
STS_VERSION = "2011-06-15"
_ANSWER_BYTES_MAX = 262_144
_TIMEOUT_SECONDS = 5.0

ANSWER_SECONDS = 20.0
"""For the whole answer, however slowly its bytes arrive."""

_CUT_AGAIN_SECONDS = 0.5

UNEXPECTED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What reading JSON of an unexpected shape raises: it lacks a member, has one of another
type, or is nested too deeply."""

_OK = 200
_SERVER_ERROR = 500
_ALGORITHM = "AWS4-HMAC-SHA256"


def count_seconds() -> float:
    """Seconds since an arbitrary start, including those the machine was asleep."""
    return time.clock_gettime(_COUNTER)


class BrokerClock:
    """The broker's time, as far as its answers have told it. Safe in threads.

    A machine's clock may be wrong when it starts and be set later, to either side. So
    between two answers the seconds are counted as well, and the later of both times is
    the time: what has expired by one of them is not served.
    """

    def __init__(self) -> None:
        self.offset_seconds = 0.0
        """How far the broker's clock is ahead of this machine's."""

        self._told: tuple[float, float] | None = None
        """The time in the last answer, and the count of seconds when it came."""

    def note(self, broker_time: float) -> None:
        """Take the time (seconds since 1970) from an answer that has just arrived."""
        offset = broker_time - time.time()
        self.offset_seconds = offset if abs(offset) > CLOCK_SECONDS else 0.0
        self._told = (time.time() + self.offset_seconds, count_seconds())

    def now(self) -> datetime:
        """The broker's time."""
        seconds = time.time() + self.offset_seconds
        if self._told is not None:
            at, counted = self._told
            seconds = max(seconds, at + count_seconds() - counted)
        return datetime.fromtimestamp(seconds, UTC)


class BrokerAwayError(Exception):
    """The broker did not answer, or could not; try again."""


class BrokerRefusedError(Exception):
    """The broker answered with an error: its code, and what it says."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class AccessKey:
    """A long-term or temporary key that signs calls."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


class BrokerApi:
    """The broker at one origin. Can be used by several threads."""

    def __init__(
        self,
        origin: str,
        region: str,
        ca_file: Path | None = None,
        clock: BrokerClock | None = None,
    ) -> None:
        parts = urlsplit(origin)
        self._host, self._port = parts.hostname or "", parts.port
        self._region = region
        self._tls = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(
                cafile=None if ca_file is None else str(ca_file)
            )
        self.authority = parts.netloc
        """What ``Host`` says."""
        self.clock = clock or BrokerClock()

    def now(self) -> datetime:
        """The broker's time, as far as it is known."""
        return self.clock.now()

    def call(
        self,
        action: str,
        params: Mapping[str, str],
        *,
        version: str = BROKER_VERSION,
        key: AccessKey | None = None,
    ) -> Any:  # noqa: ANN401  # JSON
        """The result of an action, signed if there is a key.

        Raises:
            BrokerAwayError: there is no answer that counts.
            BrokerRefusedError: the answer is an error.
        """
        present = {name: value for name, value in params.items() if value}
        form = {"Action": action, "Version": version, **present}
        body = urlencode(form).encode()
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "User-Agent": "broker-agent",
        }
        if key is not None:
            service = "sts" if version == STS_VERSION else "broker"
            headers |= self._signature(key, body, headers["Content-Type"], service)
        status, _, answer = self.post("/", body, headers)
        try:
            document = json.loads(answer)
            if status == _OK:
                return document[f"{action}Response"].get(f"{action}Result") or {}
            error = document["Error"]
            code, message = str(error["Code"]), str(error.get("Message") or "")
        except UNEXPECTED as error:
            raise BrokerAwayError(
                f"{self.authority} answered {status}, but not as a broker does"
            ) from error
        if status >= _SERVER_ERROR or code == "Throttling":
            raise BrokerAwayError(f"{code}: {message}")
        raise BrokerRefusedError(code, message)

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        """An answer's status, the error that its head names if any, and its body.

        Raises:
            BrokerAwayError: there is none.
        """
        connection = self._connect()
        try:
            with cut_after(connection, ANSWER_SECONDS):
                connection.request("POST", path, body, dict(headers))
                response = connection.getresponse()
                answer = response.read(_ANSWER_BYTES_MAX + 1)
            date = response.getheader("Date")
            fault = response.getheader("x-amzn-ErrorType") or ""
        except (OSError, HTTPException, ValueError) as error:
            raise BrokerAwayError(f"{self.authority}: {error}") from error
        finally:
            connection.close()
        if len(answer) > _ANSWER_BYTES_MAX:
            raise BrokerAwayError(f"{self.authority} answered at too great a length")
        if date:
            self._note_time(date)
        return response.status, fault, answer

    def _connect(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        return HTTPSConnection(
            self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._tls
        )

    def _note_time(self, date: str) -> None:
        """A machine's clock may be wrong when it starts: sign by the broker's."""
        try:
            self.clock.note(parsedate_to_datetime(date).timestamp())
        except (ValueError, OverflowError):
            return

    def _signature(
        self, key: AccessKey, body: bytes, content_type: str, service: str
    ) -> dict[str, str]:
        """The headers of a request that the key signs (Signature Version 4)."""
        stamp = self.now().strftime("%Y%m%dT%H%M%SZ")
        signed = {
            "content-type": content_type,
            "host": self.authority,
            "x-amz-date": stamp,
        }
        if key.session_token:
            signed["x-amz-security-token"] = key.session_token
        names = ";".join(signed)
        lines = [f"{name}:{value}\n" for name, value in signed.items()]
        digest = hashlib.sha256(body).hexdigest()
        canonical = f"POST\n/\n\n{''.join(lines)}\n{names}\n{digest}"
        scope = f"{stamp[:8]}/{self._region}/{service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        secret = b"AWS4" + key.secret_access_key.encode()
        for part in scope.split("/"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashed}"
        signature = hmac.digest(secret, text.encode(), "sha256").hex()
        headers = {
            "Authorization": (
                f"{_ALGORITHM} Credential={key.access_key_id}/{scope},"
                f" SignedHeaders={names}, Signature={signature}"
            ),
            "X-Amz-Date": stamp,
        }
        if key.session_token:
            headers["X-Amz-Security-Token"] = key.session_token
        return headers


@contextlib.contextmanager
def cut_after(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Cut a connection when the time is up.

    Its own timeout is that of each byte: who sends one now and then would hold it for
    ever.

    Raises:
        TimeoutError: the time was up.
    """
    is_done = threading.Event()
    deadline = time.monotonic() + seconds

    def cut() -> None:
        left = seconds
        while not is_done.wait(left):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    # Not the method of TLS sockets, which is not for several threads.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
            left = _CUT_AGAIN_SECONDS  # it may not have been connected yet

    def late() -> TimeoutError:
        return TimeoutError(f"no whole answer within {seconds:g} seconds")

    threading.Thread(target=cut, daemon=True).start()
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise late() from error
        raise
    finally:
        is_done.set()
    if time.monotonic() >= deadline:
        raise late()


def make_api(settings: AgentSettings, clock: BrokerClock | None = None) -> BrokerApi:
    """The broker that the settings name; its ``clock``, if that is known already.

    Raises:
        ConfigurationError: ``ca_file`` cannot be used.
    """
    try:
        return BrokerApi(settings.endpoint, settings.region, settings.ca_file, clock)
    except OSError as error:
        raise ConfigurationError(f"ca_file: {settings.ca_file}: {error}") from error


def signed_token(claims: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A JSON Web Token in compact form; ``sign`` makes an Ed25519 signature.

    Source: RFC 7515, 3.1; RFC 8037, 3.1.
    """
    parts = [
        _base64url(json.dumps(part, separators=(",", ":")).encode())
        for part in ({"alg": "EdDSA", "typ": "JWT"}, claims)
    ]
    signature = sign(".".join(parts).encode())
    return ".".join((*parts, _base64url(signature)))


def new_nonce() -> str:
    """128 random bits as text."""
    return secrets.token_urlsafe(16)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
