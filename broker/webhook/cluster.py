"""The annotations of service accounts, from the cluster's API server."""

import json
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from broker.agent.broker_api import UNEXPECTED, cut_after

_TIMEOUT_SECONDS = 3.0
_ANSWER_SECONDS = 9.0
_ANSWER_BYTES_MAX = 1_048_576
_KEPT_SECONDS = 5.0
"""A deployment's pods arrive together; a changed annotation applies to the next ones."""

_KEPT_MAX = 1024
_OK, _ABSENT = 200, 404


class ClusterAwayError(Exception):
    """The API server gave no usable response."""


@dataclass(frozen=True, kw_only=True)
class ClusterPlace:
    """Where the API server is, the authority to trust, and the token to send.

    The token is read for every request: Kubernetes replaces it.
    """

    url: str
    ca_file: Path
    token_file: Path


class ServiceAccounts:
    """Finds annotations, and keeps what it found for seconds. Safe in threads."""

    def __init__(self, place: ClusterPlace) -> None:
        self._place = place
        self._kept: OrderedDict[tuple[str, str], tuple[float, Mapping[str, str]]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def find_annotations(self, namespace: str, name: str) -> Mapping[str, str]:
        """Those of a service account; none where there is no such account.

        Raises:
            ClusterAwayError: the API server does not say.
        """
        key, now = (namespace, name), time.monotonic()
        with self._lock:
            until, kept = self._kept.get(key, (0.0, {}))
        if now < until:
            return kept
        found = self._ask(namespace, name)
        if found is None:
            return {}
        with self._lock:
            self._kept[key] = (now + _KEPT_SECONDS, found)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return found

    def _ask(self, namespace: str, name: str) -> Mapping[str, str] | None:
        path = (
            f"/api/v1/namespaces/{quote(namespace, safe='')}"
            f"/serviceaccounts/{quote(name, safe='')}"
        )
        try:
            token = self._place.token_file.read_text().strip()
            connection = self._connect()
        except (OSError, ValueError) as error:
            raise ClusterAwayError(
                f"the pod's own token or certificates: {error}"
            ) from error
        try:
            headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"}
            with cut_after(connection, _ANSWER_SECONDS):
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                status, body = response.status, response.read(_ANSWER_BYTES_MAX + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise ClusterAwayError(f"the API server: {error}") from error
        finally:
            connection.close()
        if status == _ABSENT:
            return None
        if status != _OK or len(body) > _ANSWER_BYTES_MAX:
            raise ClusterAwayError(
                f"the API server answers {status} about service accounts; the webhook"
                " needs permission to read them"
            )
        try:
            found = json.loads(body)["metadata"].get("annotations") or {}
            return {str(key): str(value) for key, value in found.items()}
        except UNEXPECTED as error:
            raise ClusterAwayError("the API server's answer is unknown") from error

    def _connect(self) -> HTTPConnection:
        parts = urlsplit(self._place.url)
        context = ssl.create_default_context(cafile=str(self._place.ca_file))
        return HTTPSConnection(
            parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS, context=context
        )
