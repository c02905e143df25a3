"""Accounts as issuers: their public discovery documents and keys."""

import orjson

from broker.edges.api import QUERY_BYTES_MAX
from broker.edges.asgi import App, Receive, Scope, Send, respond
from broker.edges.doors import ISSUER_PATH
from broker.kinds.outbound import (
    Outbound,
    discovery,
    find_outbound,
    issuer_of,
    key_set,
)
from broker.model.account import AccountId, parse_account_id
from broker.runtime.clock import Clock
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory
from broker.stores.errors import StoreUnavailableError

_JSON = (b"content-type", b"application/json")
_CACHED = (b"cache-control", b"public, max-age=300")
_CONFIGURATION, _KEYS = "openid-configuration", "jwks.json"


def issuer_endpoint(fresh: FreshDirectory, clock: Clock, public_origin: str) -> App:
    """``/issuer/{account}/.well-known/…``; there once an account switched it on.

    Tokens outlive the switch, so the pages stay when it is switched off again.
    """

    async def find(account: str) -> Outbound | None:
        try:
            number = parse_account_id(account)
        except ValueError:
            return None
        owner = await fresh.find(ACCOUNT, number)
        return None if owner is None else find_outbound(owner)

    async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(f"{ISSUER_PATH}/")
        account, _, page = path.partition("/.well-known/")
        if scope["method"] != "GET":
            await respond(send, 405, ((b"allow", b"GET"),))
            return
        if len(scope["query_string"]) > QUERY_BYTES_MAX:
            await respond(send, 413)
            return
        try:
            known = page in {_CONFIGURATION, _KEYS}
            outbound = await find(account) if known else None
        except StoreUnavailableError:
            body = orjson.dumps({"error": "temporarily_unavailable"})
            await respond(send, 503, (_JSON,), body)
            return
        if outbound is None:
            body = orjson.dumps({"error": "not_found"})
            await respond(send, 404, (_JSON,), body)
            return
        told = (
            key_set(outbound.published(clock.now()))
            if page == _KEYS
            else discovery(issuer_of(public_origin, AccountId(account)))
        )
        await respond(send, 200, (_JSON, _CACHED), orjson.dumps(told))

    return answer
