"""Connections to the broker, which are used again."""

import os
import ssl
import time
from collections import deque
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from broker.client.answers import BrokerAway
from broker.client.request import AmbiguousRequest

_ANSWER_BYTES_MAX = 1_000_000
_IDLE_MAX = 32
_OK, _BAD_REQUEST = 200, 400


class Connections:
    """Posts questions to ``/decisions`` at an origin such as ``https://broker.example``.

    Can be used by several threads, and on both sides of a fork. Redirects are not
    followed, and the environment's proxies are not used.
    """

    def __init__(
        self,
        origin: str,
        token: str,
        *,
        timeout_seconds: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("the broker's origin is an http or https URL")
        if parts.path not in {"", "/"} or parts.query or parts.username is not None:
            raise ValueError(
                "the broker's origin has a scheme, a host and a port alone"
            )
        token = token.strip()
        if not token or not (token.isascii() and token.isprintable()):
            # Said here without it: the error of a header's value shows the value.
            raise ValueError("the service token is empty, or not one line of ASCII")
        self._host, self._port = parts.hostname, parts.port
        self._tls = None
        if parts.scheme == "https":
            self._tls = tls or ssl.create_default_context()
        self._headers = {
            "Content-Type": "application/json",
            "X-Broker-Service-Token": token,
        }
        self._timeout_seconds = timeout_seconds
        self._idle: deque[HTTPConnection] = deque()
        self._process = os.getpid()

    def post(self, question: bytes) -> bytes:
        """The body of an answer with status 200, within the time.

        Raises:
            AmbiguousRequest: the broker cannot read what the question tells.
            BrokerAway: there is none.
        """
        deadline = time.monotonic() + self._timeout_seconds
        reused = self._find_idle()
        try:
            if reused is not None:
                try:
                    return self._exchange(reused, question, deadline)
                except ConnectionError:
                    pass  # the broker had closed it
            return self._exchange(self._connect(), question, deadline)
        except (OSError, HTTPException) as error:
            raise BrokerAway(f"the broker is away: {error!r}") from error

    def close(self) -> None:
        """Close those that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _find_idle(self) -> HTTPConnection | None:
        if self._process != os.getpid():
            # A connection that two processes share mixes up their answers.
            self.close()
            self._process = os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port)
        return HTTPSConnection(self._host, self._port, context=self._tls)

    def _exchange(
        self, connection: HTTPConnection, question: bytes, deadline: float
    ) -> bytes:
        whole = False
        try:
            _limit(connection, deadline)
            connection.request("POST", "/decisions", question, self._headers)
            _limit(connection, deadline)
            answer = connection.getresponse()
            _limit(connection, deadline)
            body = answer.read(_ANSWER_BYTES_MAX + 1)
            whole = answer.isclosed() and connection.sock is not None
            _check(answer, body)
            return body
        finally:
            if whole and len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
            else:
                connection.close()


def _limit(connection: HTTPConnection, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    connection.timeout = left
    if connection.sock is not None:
        connection.sock.settimeout(left)


def _check(answer: HTTPResponse, body: bytes) -> None:
    if answer.status == _BAD_REQUEST:
        raise AmbiguousRequest("The request cannot be decided.")
    if answer.status != _OK:
        code = answer.headers.get("x-amzn-errortype", "")
        said = body[:500].decode("utf-8", "replace")
        raise BrokerAway(f"the broker answered {answer.status} {code}: {said}")
    if len(body) > _ANSWER_BYTES_MAX:
        raise BrokerAway("the broker's answer is too long")
