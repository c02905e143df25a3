"""A real ``broker webhook``, and a stand-in for a cluster's API server, over TLS."""

import base64
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonpatch
from cryptography import x509

from tests.support.certificates import Issued, issue
from tests.support.machine_agent import plain_environment
from tests.support.servers import find_free_port

TOKEN = "token-of-the-webhooks-pod"


def served_by(authority: Issued, folder: Path, name: str = "localhost") -> Path:
    """A server's certificate and key, ``tls.crt`` and ``tls.key`` in a folder."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    made = authority.issue(name, extensions=[(names, False)])
    folder.mkdir(exist_ok=True)
    (folder / "tls.crt").write_text(made.pem)
    (folder / "tls.key").write_text(made.key_pem)
    return folder


@dataclass
class Cluster:
    """Answers ``GET`` of service accounts as the API server does."""

    folder: Path
    annotations: dict[str, dict[str, str]] = field(default_factory=dict)
    """By ``namespace/name``."""

    status: int = 0
    body: bytes = b""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def ca_file(self) -> Path:
        return self.folder / "cluster-ca.crt"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if authorization != f"Bearer {TOKEN}":
            return 401, b"{}"
        if self.status:
            return self.status, self.body
        _, _, _, _, namespace, _, name = path.split("/")
        found = self.annotations.get(f"{namespace}/{name}")
        if found is None:
            return 404, b"{}"
        metadata: dict[str, Any] = {"name": name, "namespace": namespace}
        if found:
            metadata["annotations"] = found
        account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata}
        return 200, json.dumps(account).encode()


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A stand-in with a certificate of its own authority."""
    folder.mkdir(exist_ok=True)
    authority = issue("kubernetes", is_authority=True)
    cluster = Cluster(folder)
    cluster.ca_file.write_text(authority.pem)
    cluster.token_file.write_text(f"{TOKEN}\n")
    files = served_by(authority, folder / "served")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = self.headers.get("Authorization", "")
            status, body = cluster.answer(self.path, shown)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "tls.crt", files / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cluster.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class RunningWebhook:
    """One ``broker webhook``; its certificates are of ``authority``."""

    folder: Path
    port: int
    authority: Issued
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "webhook.log").read_text()

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request, as the API server makes it."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=context, timeout=30
        )
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def admit(self, review: Mapping[str, Any]) -> dict[str, Any]:
        """The pod of a review as the API server would go on with it."""
        path = "/mutate?timeout=5s"
        status, body = self.ask("POST", path, json.dumps(review).encode())
        assert status == 200, body
        response = json.loads(body)["response"]
        assert response["uid"] == review["request"]["uid"]
        assert response["allowed"] is True
        pod = review["request"]["object"]
        if "patch" not in response:
            return dict(pod)
        changed: dict[str, Any] = jsonpatch.apply_patch(
            pod, base64.b64decode(response["patch"]).decode()
        )
        return changed


@contextmanager
def running_webhook(
    folder: Path, cluster: Cluster, *words: str
) -> Iterator[RunningWebhook]:
    """A webhook in its own process that asks this cluster."""
    authority = issue("webhook", is_authority=True)
    files = served_by(authority, folder / "tls")
    port = find_free_port()
    with (folder / "webhook.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "broker", "webhook", *words),
                f"--listen=127.0.0.1:{port}",
                f"--tls-certificate={files / 'tls.crt'}",
                f"--tls-key={files / 'tls.key'}",
                f"--api-server={cluster.url}",
                f"--api-ca-file={cluster.ca_file}",
                f"--api-token-file={cluster.token_file}",
            ],
            stdout=log,
            stderr=log,
            env=plain_environment(),
        )
    webhook = RunningWebhook(folder, port, authority, process)
    try:
        deadline = time.monotonic() + 30
        while "serving" not in webhook.log:
            assert process.poll() is None, webhook.log
            assert time.monotonic() < deadline, webhook.log
            time.sleep(0.01)
        yield webhook
    finally:
        process.terminate()
        process.wait(20)
