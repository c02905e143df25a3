"""Every face of a decision, asked the same: may they do this to that object?

A face answers None where it cannot be asked: the hooks of stores know users alone, and
only a signature or a token proves a principal of another account.
"""

import asyncio
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.client import AsgiMiddleware, DecisionClient
from broker.client.asgi import Message, Receive, Scope, Send
from tests.support import versitygw
from tests.support.broker import Key
from tests.support.decisions import Signed, sign
from tests.support.unix_http import UnixConnection
from tests.support.versitygw import Gateway

METHODS = {"GetObject": "GET", "PutObject": "PUT", "DeleteObject": "DELETE"}
ROUTES = [
    {
        "Methods": [method],
        "Path": "/{bucket}/{key+}",
        "Action": action,
        "ResourceType": "object",
    }
    for action, method in METHODS.items()
]
URL = "https://store.example.com"
_SECONDS = 30

Context = Mapping[str, list[str]]
"""The condition keys that an enforcement point sends."""


@dataclass(frozen=True)
class Who:
    """A principal with credentials; ``user`` is the name of a user of the account."""

    key: Key
    user: str = ""
    is_guest: bool = False


@dataclass
class Faces:
    """The faces of a broker, for the service that has the token and the gateway."""

    url: str
    token: str
    socket: Path
    gateway: Gateway
    headers: dict[str, str] = field(default_factory=dict)
    """The headers of the last answer."""

    def __post_init__(self) -> None:
        # What is held longer than no time at all is measured by a test of its own.
        self._client = DecisionClient(self.url, self.token, held_seconds=0)
        self._middleware = AsgiMiddleware(application, self._client)

    def close(self) -> None:
        self._client.close()

    def all(self) -> Mapping[str, Callable[[Who, str, str], bool | None]]:
        """The faces by name."""
        return {
            "POST /decisions": self.told,
            "POST /decisions, credentials": self.credentials,
            "/decisions/forward": self.forward,
            "middleware": self.middleware,
            "AuthZEN": self.authzen,
            "AuthZEN, evaluations": self.evaluations,
            "versitygw": self.versitygw,
            "Ceph": self.ceph,
            "MinIO": self.minio,
        }

    def told(
        self, who: Who, action: str, path: str, context: Context | None = None
    ) -> bool:
        asked = {
            "Request": signed(who, action, path).described(),
            "Context": context or {},
        }
        allowed: bool = self._post("/decisions", asked)["Allowed"]
        return allowed

    def credentials(self, who: Who, action: str, path: str) -> bool | None:
        if who.is_guest and not who.key.session_token:
            return None
        token = {"SessionToken": who.key.session_token}
        asked = {
            "Credentials": {
                "AccessKeyId": who.key.access_key_id,
                **(token if who.key.session_token else {}),
            },
            "Actions": [f"s3:{action}"],
            "Resources": [f"arn:aws:s3:::{path}"],
        }
        allowed: bool = self._post("/decisions", asked)["Allowed"]
        return allowed

    def forward(self, who: Who, action: str, path: str) -> bool:
        return self.ask_forward(signed(who, action, path).forwarded()) == 200

    def middleware(self, who: Who, action: str, path: str) -> bool:
        return serve(self._middleware, signed(who, action, path)) == 204

    def authzen(
        self, who: Who, action: str, path: str, context: Context | None = None
    ) -> bool | None:
        asked = self._evaluation(who, action, path)
        if asked is None:
            return None
        asked["context"] = context or {}
        decision: bool = self._bearer("/access/v1/evaluation", asked)["decision"]
        return decision

    def evaluations(self, who: Who, action: str, path: str) -> bool | None:
        asked = self._evaluation(who, action, path)
        if asked is None:
            return None
        batch = {**asked, "evaluations": [{}, {"action": {"name": f"s3:{action}"}}]}
        answer = self._bearer("/access/v1/evaluations", batch)
        first, second = (evaluation["decision"] for evaluation in answer["evaluations"])
        assert first is second
        return bool(first)

    def versitygw(
        self, who: Who, action: str, path: str, context: Context | None = None
    ) -> bool | None:
        if who.is_guest and not who.key.session_token:
            return None
        token = {"sessionToken": who.key.session_token}
        asked = {
            "accessKeyId": who.key.access_key_id,
            **(token if who.key.session_token else {}),
            "actions": [f"s3:{action}"],
            "resources": [f"arn:aws:s3:::{path}"],
            "condition": context or {},
        }
        try:
            answer = self.private("evaluate-policy", asked)
        except versitygw.Refused:
            return False
        return versitygw.allows(answer)

    def ceph(self, who: Who, action: str, path: str) -> bool | None:
        if not who.user:
            return None
        bucket, _, key = path.partition("/")
        asked = {
            "method": METHODS[action],
            "decoded_uri": f"/{path}",
            "params": "",
            "object_name": key,
            "user_info": {"user_id": who.user},
            "bucket_info": {"bucket": {"name": bucket, "tenant": ""}},
        }
        headers = {"X-Auth-Token": self.token}
        return self._hook("/v1/data/ceph/authz", asked, headers)

    def minio(
        self, who: Who, action: str, path: str, context: Context | None = None
    ) -> bool | None:
        if not who.user:
            return None
        bucket, _, key = path.partition("/")
        asked = {
            "account": who.user,
            "action": f"s3:{action}",
            "bucket": bucket,
            "object": key,
            "conditions": {"SourceIp": ["203.0.113.7"], **(context or {})},
        }
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._hook("/v1/data/minio/authz", asked, headers)

    def ask_forward(self, headers: Mapping[str, str]) -> int:
        """The status that a proxy gets."""
        return self._send("GET", "/decisions/forward", headers, b"")[0]

    def status(self, path: str, headers: Mapping[str, str]) -> int:
        """The status of a question without the token."""
        return self._send("POST", path, headers, b"{}", is_tokened=False)[0]

    def private(self, operation: str, body: object) -> dict[str, Any]:
        """The answer to a gateway, through the socket."""
        path, content = f"/private/{operation}", json.dumps(body).encode()
        with closing(UnixConnection(self.socket)) as connection:
            connection.request("POST", path, content, self.gateway.sign(path, content))
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return versitygw.read(answer.status, told, answer.read())

    def _evaluation(self, who: Who, action: str, path: str) -> dict[str, Any] | None:
        if who.is_guest and not who.key.session_token:
            return None
        token = {"sessionToken": who.key.session_token}
        return {
            "subject": {
                "type": "aws",
                "id": who.key.access_key_id,
                **({"properties": token} if who.key.session_token else {}),
            },
            "action": {"name": action},
            "resource": {"type": "aws", "id": f"arn:aws:s3:::{path}"},
        }

    def _hook(self, path: str, asked: object, headers: Mapping[str, str]) -> bool:
        body = json.dumps({"input": asked}).encode()
        status, answer = self._send("POST", path, headers, body, is_tokened=False)
        assert status == 200, answer
        result: bool = json.loads(answer)["result"]
        return result

    def _bearer(self, path: str, asked: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        body = json.dumps(asked).encode()
        status, answer = self._send("POST", path, headers, body, is_tokened=False)
        assert status == 200, answer
        results: dict[str, Any] = json.loads(answer)
        return results

    def _post(self, path: str, asked: object) -> dict[str, Any]:
        status, answer = self._send("POST", path, {}, json.dumps(asked).encode())
        assert status == 200, answer
        results: dict[str, Any] = json.loads(answer)
        return results

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        is_tokened: bool = True,
    ) -> tuple[int, bytes]:
        """Over a connection of its own, so that any worker may answer."""
        parts = urllib.parse.urlsplit(self.url)
        token = {"X-Broker-Service-Token": self.token} if is_tokened else {}
        sent = {"Content-Type": "application/json", **headers, **token}
        connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        with closing(connection):
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            self.headers = {n.lower(): v for n, v in answer.getheaders()}
            return answer.status, answer.read()


def signed(who: Who, action: str, path: str) -> Signed:
    """The request of an S3 client."""
    return sign(
        who.key, f"/{path}", method=METHODS[action], service="s3", s3=True, url=URL
    )


def serve(middleware: AsgiMiddleware, request: Signed) -> int:
    """The status with which a service answers a request."""
    path, _, query = request.target.partition("?")
    scope: Scope = {
        "type": "http",
        "method": request.method,
        "scheme": "https",
        "path": urllib.parse.unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in request.headers.items()
        ],
        "client": ("203.0.113.7", 50000),
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": request.body}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    asyncio.run(middleware(scope, receive, send))
    return statuses[0]


async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers every request that is let through."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
