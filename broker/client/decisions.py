"""Asks for decisions, and holds those that are given for half a second."""

import asyncio
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from broker.client.answers import Answer, BrokerAway, read_answer
from broker.client.connections import Connections
from broker.client.request import Request

HELD_SECONDS_MAX = 0.5
"""Then a revocation counts within a second, with the broker's own delay."""

_HELD_MAX = 1024
_THREADS = 16

_log = logging.getLogger("broker.client")


class DecisionClient:
    """Asks the broker at ``origin`` as the registered service that has ``token``.

    ``timeout_seconds`` is for a whole question. What is allowed is held for
    ``held_seconds``, for exactly the same request only; 0 asks every time.
    ``tls`` is for brokers whose certificate a private authority has issued.

    Raises:
        ValueError: origin or token is none, or a decision would be held for too long.
    """

    def __init__(
        self,
        origin: str,
        token: str,
        *,
        timeout_seconds: float = 2.0,
        held_seconds: float = HELD_SECONDS_MAX,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= held_seconds <= HELD_SECONDS_MAX:
            raise ValueError(f"a decision is held for {HELD_SECONDS_MAX} s at most")
        self._connections = Connections(
            origin, token, timeout_seconds=timeout_seconds, tls=tls
        )
        self._timeout_seconds = timeout_seconds
        self._held_seconds = held_seconds
        self._clock = clock
        self._held: dict[Request, tuple[float, Answer]] = {}
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._process = 0

    def decide(self, request: Request) -> Answer:
        """Who signed the request, and whether they may; blocks.

        Raises:
            AmbiguousRequest: the request is not one that can be decided.
            BrokerAway: there is no answer.
        """
        return self._find_held(request) or self._ask(request)

    async def decide_soon(self, request: Request) -> Answer:
        """As `decide`, in a thread where the broker must be asked.

        Raises:
            AmbiguousRequest: the request is not one that can be decided.
            BrokerAway: there is no answer.
        """
        held = self._find_held(request)
        if held is not None:
            return held
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await loop.run_in_executor(self._pool(), self._ask, request)
        except TimeoutError as error:
            _log.warning("too many questions wait for the broker")
            raise BrokerAway("the broker did not answer in time") from error

    def close(self) -> None:
        """Close what is idle; a client that is asked again opens it again."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None
        self._connections.close()

    def _ask(self, request: Request) -> Answer:
        asked = self._clock()
        try:
            body = self._connections.post(request.question())
            answer = read_answer(body, request.body_sha256)
        except BrokerAway as error:
            _log.warning("a request is refused: %s", error)
            raise
        if answer.refusal is None:
            self._hold(request, answer, asked)
        return answer

    def _find_held(self, request: Request) -> Answer | None:
        held = self._held.get(request)
        if held is None or self._clock() >= held[0]:
            return None
        return held[1]

    def _hold(self, request: Request, answer: Answer, asked: float) -> None:
        """Hold what is allowed, from the moment of the question."""
        until, now = asked + self._held_seconds, self._clock()
        if now >= until:
            return
        with self._lock:
            self._held.pop(request, None)
            self._held[request] = until, answer
            for old, (ends, _) in list(self._held.items()):
                if ends > now and len(self._held) <= _HELD_MAX:
                    break
                del self._held[old]

    def _pool(self) -> ThreadPoolExecutor:
        """The threads of this process: a fork has none of its parent's."""
        if self._threads is None or self._process != os.getpid():
            self._process = os.getpid()
            self._threads = ThreadPoolExecutor(_THREADS, "broker-client")
        return self._threads
