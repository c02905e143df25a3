"""A registered service that asks, and requests of its clients, signed by botocore."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from broker.kinds import registered_services as rules
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import SERVICE_TOKENS, Owner, owning_service
from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryChange
from tests.support.broker import Key
from tests.support.in_process import ORIGIN, InProcess, Reply
from tests.support.rows import of_file

ACCOUNT = "111122223333"
HOME = AccountId(ACCOUNT)
HOST = "orders.example.com"
URL = f"https://{HOST}"
REGION = "us-east-1"
ORDERS: Mapping[str, Any] = of_file(__file__, "ORDERS")
ORDER = f"arn:aws:orders:{REGION}:{ACCOUNT}:order/"
READER = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": ["orders:GetOrder", "execute-api:Invoke"],
        "Resource": [f"{ORDER}*", "arn:aws:execute-api:*:*:*/GET/*"],
    },
}


@dataclass
class Signed:
    """A client's request as an enforcement point receives it."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def described(self, **more: object) -> dict[str, Any]:
        """As ``POST /decisions`` takes it, without its body."""
        return {
            "Method": self.method,
            "Target": self.target,
            "Headers": [list(header) for header in self.headers.items()],
            **more,
        }

    def forwarded(self, **more: str) -> dict[str, str]:
        """The headers of a proxy's subrequest."""
        kept = {n: v for n, v in self.headers.items() if n.lower() != "host"}
        return kept | {
            "X-Forwarded-Method": self.method,
            "X-Forwarded-Uri": self.target,
            "X-Forwarded-Host": self.headers["Host"],
            "X-Forwarded-For": "203.0.113.7",
            "X-Forwarded-Proto": "https",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }


def sign(
    key: Key,
    path: str = "/orders/7",
    *,
    method: str = "GET",
    body: bytes = b"",
    service: str = "orders",
    region: str = REGION,
    headers: Mapping[str, str] | None = None,
    url: str = URL,
    s3: bool = False,
    presigned_seconds: int = 0,
) -> Signed:
    """A request signed by botocore; ``s3`` declares the body's hash and keeps the path."""
    request = AWSRequest(method, url + path, data=body, headers=dict(headers or {}))
    params = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    if presigned_seconds:
        SigV4QueryAuth(params, service, region, presigned_seconds).add_auth(request)
    else:
        (S3SigV4Auth if s3 else SigV4Auth)(params, service, region).add_auth(request)
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    sent = {"Host": parts.netloc, **dict(request.headers.items())}
    return Signed(method, target, sent, body)


@dataclass
class AskingService:
    """A registered service of an account, with a token."""

    broker: InProcess
    root: Key
    name: str = "orders"
    token: str = ""

    async def register(self, definition: Mapping[str, Any] = ORDERS) -> None:
        async with self.broker.services.stores.directory.change(HOME) as change:
            account = await require_account(change, HOME)
            now = self.broker.clock.now()
            await rules.put_service(
                change, account, self.name, json.dumps(definition), now
            )

    async def owner(self, change: DirectoryChange) -> Owner:
        return owning_service(await rules.require_service(change, HOME, self.name))

    async def make_token(self, days: int = 1, *addresses: str) -> str:
        async with self.broker.services.stores.directory.change(HOME) as change:
            owner = await self.owner(change)
            account, now = await require_account(change, HOME), self.broker.clock.now()
            _, secret = await SERVICE_TOKENS.create(
                change, account, owner, lasts=days, addresses=addresses, now=now
            )
        self.token = secret.reveal()
        return self.token

    async def revoke_tokens(self) -> None:
        async with self.broker.services.stores.directory.change(HOME) as change:
            owner = owning_service(await rules.require_service(change, HOME, self.name))
            for token in await SERVICE_TOKENS.tokens_of(change, owner):
                await SERVICE_TOKENS.delete(change, owner, token.token_id)

    async def make_user(self, name: str, policy: Mapping[str, Any] | None) -> Key:
        ask = self.broker.ask
        await ask("iam", "CreateUser", self.root, UserName=name)
        if policy is not None:
            await ask(
                "iam",
                "PutUserPolicy",
                self.root,
                UserName=name,
                PolicyName="Own",
                PolicyDocument=json.dumps(policy),
            )
        made = await ask("iam", "CreateAccessKey", self.root, UserName=name)
        return Key.of(made["AccessKey"])

    async def post(
        self, question: object, key: Key | None = None, *, token: str | None = None
    ) -> Reply:
        """``POST /decisions``, with the token or signed."""
        body = (
            question if isinstance(question, bytes) else json.dumps(question).encode()
        )
        url = f"{ORIGIN}/decisions"
        headers = {"content-type": "application/json"}
        if key is None:
            headers["X-Broker-Service-Token"] = self.token if token is None else token
        else:
            request = AWSRequest("POST", url, data=body, headers=headers)
            params = Credentials(
                key.access_key_id, key.secret_access_key, key.session_token
            )
            SigV4Auth(params, "broker", REGION).add_auth(request)
            headers = dict(request.headers.items())
        answer = await self.broker.http.post(url, content=body, headers=headers)
        return Reply(answer.status_code, answer.headers, answer.content)

    async def ask(self, **question: object) -> dict[str, Any]:
        """The answer to a question that is answered."""
        reply = await self.post(question)
        assert reply.status == 200, reply.body
        results: dict[str, Any] = json.loads(reply.body)
        return results

    async def forward(
        self,
        headers: Mapping[str, str],
        *,
        token: str | None = None,
        method: str = "GET",
        below: str = "",
        body: bytes = b"",
    ) -> Reply:
        """``/decisions/forward``, as a proxy asks."""
        secret = self.token if token is None else token
        answer = await self.broker.http.request(
            method,
            f"{ORIGIN}/decisions/forward{below}",
            content=body,
            headers={**headers, "X-Broker-Service-Token": secret}
            if secret
            else headers,
        )
        return Reply(answer.status_code, answer.headers, answer.content)
