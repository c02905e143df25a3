"""The least that a web identity exchange on SQLite can be, on the broker's own server.

One RSA signature checked, one token sealed, one record in a shared commit, one answer
in XML, by the same C libraries and the same writing thread that the broker uses. No
rule: no parameters, claims, provider, role, policies, limits, log lines or metrics.
What the broker needs beyond it is its rules.
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
from jwt import PyJWK

from broker.cli.worker import SERVER, tune_interpreter
from broker.migrations import migrate
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.urls import SqliteLocation
from broker.web.asgi import Receive, Scope, Send, respond

_PADDING = PKCS1v15()
_HASH = SHA256()
_SECRET = os.urandom(32)


class Bare:
    """The application."""

    def __init__(self, folder: Path, jwks: str) -> None:
        self._location = SqliteLocation(folder / "bare.db")
        self._writer = SqliteWriter(self._location.path, None)
        self._keys: dict[str, Any] = {
            key["kid"]: PyJWK(key).key for key in json.loads(jwks)["keys"]
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "GET":
            await respond(send, 200)
        else:
            await respond(send, 200, (), await self._exchange(await receive()))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await migrate(self._location)
        self._writer.start()
        tune_interpreter()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._writer.close()
        await send({"type": "lifespan.shutdown.complete"})

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
        await self._writer.mint(
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


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(f"{text}==")


if __name__ == "__main__":
    uvicorn.run(
        Bare(Path(sys.argv[2]), Path(sys.argv[3]).read_text()),
        port=int(sys.argv[1]),
        **SERVER,
    )
