"""What the broker is compared with: three applications on the broker's own server.

``python -m benchmarks.baselines PORT raw`` answers without reading the request,
``… fastapi`` is a FastAPI POST handler that reads the body, and ``… bare DATABASE JWKS``
is the bare exchange.
"""

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import uvicorn
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from fastapi import FastAPI, Request, Response
from jwt import PyJWK

from broker.cli.worker import SERVER, tune_interpreter
from broker.edges.asgi import App, Receive, Scope, Send, respond
from broker.stores.audit_rows import AuditRow
from broker.stores.connect import connect_postgresql
from broker.stores.ledger.postgresql_statements import WRITE, write_arguments
from broker.stores.migrations import migrate
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.urls import PostgresqlLocation, SqliteLocation, parse_database_url

_PADDING = PKCS1v15()
_HASH = SHA256()
_SECRET = os.urandom(32)


async def raw(scope: Scope, _receive: Receive, send: Send) -> None:
    """The empty handler: what the server costs."""
    if scope["type"] == "http":
        await respond(send, 200)


def make_fastapi() -> App:
    """The empty handler that most services begin with."""
    app = FastAPI(openapi_url=None)

    @app.post("/")
    async def empty(request: Request) -> Response:
        await request.body()
        return Response()

    return app


class Bare:
    """The least that a web identity exchange can be.

    One RSA signature checked, one token sealed, one record in a shared commit, one
    answer in XML, by the same C libraries that the broker uses. No rule: no parameters,
    claims, provider, role, policies, limits, log lines or metrics. What the broker needs
    beyond it is its rules.
    """

    def __init__(self, database: str, jwks: str | bytes) -> None:
        self._location = parse_database_url(database)
        self._ledger: SqliteWriter | _PostgresqlWriter = (
            SqliteWriter(self._location.path, None)
            if isinstance(self._location, SqliteLocation)
            else _PostgresqlWriter(self._location)
        )
        self._keys: dict[str, Any] = {
            key["kid"]: PyJWK(key).key for key in json.loads(jwks)["keys"]
        }

    async def start(self) -> None:
        await migrate(self._location)
        self._ledger.start()

    async def close(self) -> None:
        await self._ledger.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await self.start()
            tune_interpreter()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.close()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await respond(send, 200, (), await self._exchange(await receive()))

    async def _exchange(self, message: Any) -> bytes:  # ASGI has no closer type
        form = dict(parse_qsl(message["body"].decode()))
        signed, _, signature = form["WebIdentityToken"].rpartition(".")
        header, _, payload = signed.partition(".")
        key: RSAPublicKey = self._keys[json.loads(_decode(header))["kid"]]
        key.verify(_decode(signature), signed.encode(), _PADDING, _HASH)
        claims = json.loads(_decode(payload))
        await asyncio.sleep(0)
        key_id = "ASIA" + base64.b32encode(os.urandom(10)).decode()
        salt = os.urandom(24)
        derived = HKDFExpand(SHA256(), 74, key_id.encode() + salt).derive(_SECRET)
        session = [key_id, form["RoleArn"], claims["sub"], form["RoleSessionName"]]
        token = base64.b64encode(
            salt
            + AESGCM(derived[:32]).encrypt(
                derived[32:44], orjson.dumps(session), key_id.encode()
            )
        ).decode()
        secret = base64.b64encode(derived[44:]).decode()
        now = time.time_ns() // 1000
        await self._ledger.mint(
            (
                *(f"{now:036x}", now, "111122223333", claims["iss"], "", key_id),
                *("sts:AssumeRoleWithWebIdentity", "allowed", claims["iss"]),
                orjson.dumps({"session": session, "claims": claims}).decode(),
                "mint",
            ),
            None,
        )
        return (
            "<AssumeRoleWithWebIdentityResponse><Credentials>"
            f"<AccessKeyId>{key_id}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken>"
            "</Credentials></AssumeRoleWithWebIdentityResponse>"
        ).encode()


class _PostgresqlWriter:
    """Records that come while one statement is under way share the next."""

    def __init__(self, location: PostgresqlLocation) -> None:
        self._location = location
        self._connection: Any = None  # asyncpg publishes no types
        self._rows: list[AuditRow] = []
        self._future: asyncio.Future[None] | None = None
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """It connects with the first record."""

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    def mint(self, row: AuditRow, _mark: None) -> asyncio.Future[None]:
        self._rows.append(row)
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
        if self._work is None:
            self._work = asyncio.create_task(self._write())
        return self._future

    async def _write(self) -> None:
        if self._connection is None:
            self._connection = await connect_postgresql(
                self._location, statement_seconds=5
            )
        while self._future is not None:
            rows, future = self._rows, self._future
            self._rows, self._future = [], None
            await self._connection.fetch(WRITE, *write_arguments([], rows))
            future.set_result(None)
        self._work = None


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(f"{text}==")


def _application(kind: str, database: str = "", jwks: str = "") -> App:
    if kind == "bare":
        return Bare(database, Path(jwks).read_text("utf-8"))
    return raw if kind == "raw" else make_fastapi()


if __name__ == "__main__":
    uvicorn.run(_application(*sys.argv[2:]), port=int(sys.argv[1]), **SERVER)
