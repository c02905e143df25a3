"""A real kube-apiserver, alone with its etcd: no controllers, no nodes."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.programs import installed
from tests.support.servers import Server, find_free_port, server_folder

_TOKEN = "token-of-the-test-run"
_SECONDS = 30


class Etcd(Server):
    """What the API server keeps its objects in."""

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health").is_success
        except httpx.TransportError:
            return False


class ApiServer(Server):
    """Takes objects as `kubectl apply --server-side` sends them, unknown members refused."""

    runs_as_root = True  # its program is in a folder of who runs the tests

    def __init__(self, command: list[str], folder: Path, port: int) -> None:
        super().__init__(command, folder, port)
        self._client = httpx.Client(
            base_url=f"https://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {_TOKEN}"},
            verify=False,  # its certificate is made at its start
            timeout=_SECONDS,
        )
        self._kinds: dict[tuple[str, str], Mapping[str, Any]] = {}

    def stop(self) -> None:
        """Close the client, and stop the server."""
        self._client.close()
        super().stop()

    def apply(
        self, made: Mapping[str, Any], *, namespace: str, dry_run: bool = False
    ) -> httpx.Response:
        """Make an object or change it, in this namespace if its kind has them."""
        params = {"fieldManager": "tests", "fieldValidation": "Strict"}
        return self._client.patch(
            self._path(made, namespace),
            params={**params, "dryRun": "All"} if dry_run else params,
            content=json.dumps(made),
            headers={"content-type": "application/apply-patch+yaml"},
        )

    def read(self, made: Mapping[str, Any], *, namespace: str) -> dict[str, Any]:
        """The object of this kind and name, as it is kept."""
        answer: dict[str, Any] = (
            self._client.get(self._path(made, namespace)).raise_for_status().json()
        )
        return answer

    @property
    def helm_options(self) -> tuple[str, ...]:
        """By which Helm reaches it."""
        return (
            *("--kube-apiserver", str(self._client.base_url), "--kube-token", _TOKEN),
            "--kube-insecure-skip-tls-verify",
        )

    def _path(self, made: Mapping[str, Any], namespace: str) -> str:
        version = made["apiVersion"]
        root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        kind = self._kind(root, made["kind"])
        place = f"/namespaces/{namespace}" if kind["namespaced"] else ""
        return f"{root}{place}/{kind['name']}/{made['metadata']['name']}"

    def _kind(self, root: str, kind: str) -> Mapping[str, Any]:
        if (root, kind) not in self._kinds:
            for row in self._client.get(root).raise_for_status().json()["resources"]:
                if "/" not in row["name"]:
                    self._kinds[root, row["kind"]] = row
        return self._kinds[root, kind]

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/readyz").is_success
        except httpx.TransportError:
            return False


@contextmanager
def running_api_server() -> Iterator[ApiServer]:
    """A new one, with whose token everything is allowed."""
    program = installed("kube_apiserver")
    if shutil.which("etcd") is None:
        pytest.skip("Debian's etcd-server is not installed: .ci/setup long")
    with server_folder() as folder, server_folder() as data:
        port, peers = find_free_port(), find_free_port()
        etcd = Etcd(
            [
                *("etcd", "--data-dir", str(data / "etcd")),
                *("--listen-client-urls", f"http://127.0.0.1:{port}"),
                *("--advertise-client-urls", f"http://127.0.0.1:{port}"),
                *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
                *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}"),
                *("--initial-cluster", f"default=http://127.0.0.1:{peers}"),
            ],
            data,
            port,
        )
        etcd.start()
        try:
            server = _api_server(program, folder, etcd_port=port)
            server.start()
            try:
                yield server
            finally:
                server.stop()
        finally:
            etcd.stop()


def _api_server(program: Path, folder: Path, *, etcd_port: int) -> ApiServer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    accounts = folder / "accounts.key"
    accounts.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "tokens").write_text(f"{_TOKEN},tests,tests,system:masters\n")
    port = find_free_port()
    options = {
        "etcd-servers": f"http://127.0.0.1:{etcd_port}",
        "bind-address": "127.0.0.1",
        "secure-port": str(port),
        "cert-dir": str(folder / "certificates"),
        "token-auth-file": str(folder / "tokens"),
        "authorization-mode": "RBAC",
        "service-cluster-ip-range": "10.0.0.0/24",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": str(accounts),
        "service-account-signing-key-file": str(accounts),
    }
    words = [f"--{name}={text}" for name, text in options.items()]
    return ApiServer([str(program), *words], folder, port)
