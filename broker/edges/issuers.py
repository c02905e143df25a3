"""Accounts as issuers: their public discovery documents and keys."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from broker.kinds.outbound import Outbound, discovery, find_outbound, issuer_of, key_set
from broker.model.account import AccountId, parse_account_id
from broker.runtime.clock import Clock
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.errors import StoreUnavailableError

_CACHED = {"cache-control": "public, max-age=300"}


def issuer_routes(
    fresh: FreshDirectory, clock: Clock, *, public_origin: str
) -> APIRouter:
    """``/issuer/{account}/.well-known/…``; there once an account switched it on.

    Tokens outlive the switch, so the pages stay when it is switched off again.
    """
    router = APIRouter()

    async def find(account: str) -> Outbound | None:
        try:
            number = parse_account_id(account)
        except ValueError:
            return None
        found = await fresh.find(ACCOUNT, number)
        return None if found is None else find_outbound(found)

    def answer(content: dict[str, object] | None) -> Response:
        if content is None:
            return JSONResponse({"error": "not_found"}, 404)
        return JSONResponse(content, headers=_CACHED)

    @router.get("/issuer/{account}/.well-known/openid-configuration")
    async def configuration(account: str) -> Response:
        try:
            there = await find(account) is not None
        except StoreUnavailableError:
            return _away()
        issuer = issuer_of(public_origin, AccountId(account))
        return answer(discovery(issuer) if there else None)

    @router.get("/issuer/{account}/.well-known/jwks.json")
    async def keys(account: str) -> Response:
        try:
            outbound = await find(account)
        except StoreUnavailableError:
            return _away()
        if outbound is None:
            return answer(None)
        return answer(key_set(outbound.published(clock.now())))

    return router


def _away() -> Response:
    return JSONResponse({"error": "temporarily_unavailable"}, 503)
