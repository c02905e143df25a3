"""The webhook's endpoint: ``POST /mutate`` for the API server, ``GET /healthz``."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from broker.agent.configuration import Address
from broker.agent.http_server import HANDSHAKE_SECONDS, Answer, Request, Server, bind
from broker.agent.private_files import Stamp, stamp_of
from broker.webhook.admission import (
    Injection,
    ReviewError,
    Verdict,
    answer,
    decide,
    parse_review,
)
from broker.webhook.cluster import ClusterAwayError, ClusterPlace, ServiceAccounts

BODY_BYTES_MAX = 4_194_304
"""More than an object of the API server's can have (3 MiB)."""

_BODIES_BYTES_MAX = 33_554_432
_LOOKUPS = 8
_WAITING_MAX = 256
_WATCH_SECONDS = 2.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Everything that the command line says."""

    listen: Address
    certificate: Path
    key: Path
    injection: Injection
    cluster: ClusterPlace


class Webhook:
    """Answers reviews. A failure of its own is 503, so ``failurePolicy`` decides."""

    def __init__(self, injection: Injection, accounts: ServiceAccounts) -> None:
        self._injection = injection
        self._accounts = accounts
        self._threads = ThreadPoolExecutor(_LOOKUPS, "lookup")
        self._waiting = 0

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """One request."""
        path = request.path.partition("?")[0]
        if path == "/healthz" and request.method == "GET":
            return Answer.text("ok")
        if path != "/mutate":
            return Answer.refusal(404)
        if request.method != "POST":
            return Answer.refusal(405)
        if self._waiting >= _WAITING_MAX:
            return Answer.refusal(503)
        return self._review(request.body)

    async def _review(self, body: bytes) -> Answer:
        self._waiting += 1
        try:
            uid, review = parse_review(body)
            if review is None:
                return Answer.json(answer(uid, Verdict()))
            annotations = await asyncio.get_running_loop().run_in_executor(
                self._threads,
                self._accounts.find_annotations,
                review.namespace,
                review.service_account,
            )
            verdict = decide(review, annotations, self._injection)
        except ReviewError as error:
            return Answer(400, f"{error}\n".encode())
        except ClusterAwayError as error:
            _log.error("%s", error)
            return Answer.refusal(503)
        finally:
            self._waiting -= 1
        if verdict.patch:
            _log.info("a role for %s/%s", review.namespace, review.service_account)
        return Answer.json(answer(uid, verdict))

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def serve(settings: WebhookSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OSError: the address, or the certificate with its key, cannot be used.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    certificate = ServedCertificate(settings.certificate, settings.key)
    webhook = Webhook(settings.injection, ServiceAccounts(settings.cluster))
    server = Server(
        webhook.answer,
        body_bytes_max=BODY_BYTES_MAX,
        bodies_bytes_max=_BODIES_BYTES_MAX,
    )
    listener = await loop.create_server(
        server,
        sock=_bind(settings.listen),
        ssl=certificate.context,
        ssl_handshake_timeout=HANDSHAKE_SECONDS,
    )
    watching = loop.create_task(certificate.watch())
    _log.info("serving")
    try:
        await stop.wait()
    finally:
        watching.cancel()
        listener.close()
        server.close()
        webhook.close()


def _bind(address: Address) -> socket.socket:
    try:
        return bind(address.host, address.port)
    except OSError as error:
        raise OSError(f"{address} cannot be opened: {error.strerror}") from error


class ServedCertificate:
    """A certificate and its key from files; new connections get the present one.

    Raises:
        OSError: they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._stamp = self._look()
        self._load(self.context)

    async def watch(self) -> None:
        """Follow the files until the process ends."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.reload()

    def reload(self) -> None:
        """Use changed files, if they fit together; else the old ones stay."""
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return
        try:
            # A pair that does not fit would spoil the context in use.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except OSError as error:
            _log.error("the old certificate stays: %s", error)
            return
        self._stamp = stamp
        _log.info("read the certificate again")

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(*self._files)
        except OSError as error:
            files = " and ".join(map(str, self._files))
            raise OSError(f"{files} cannot be used: {error}") from error

    def _look(self) -> Sequence[Stamp] | None:
        found = [stamp for path in self._files if (stamp := stamp_of(path))]
        return found if len(found) == len(self._files) else None
