"""Probes: alive (``/healthz``) and ready (``/readyz``).

Ready means that credentials verify. Components are named, never their addresses.
"""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from broker.stores.cache.port import Cache
from broker.stores.directory.freshness import TRUST_SECONDS, Freshness
from broker.stores.errors import StoreUnavailableError

_READY, _DEGRADED, _DOWN = "ready", "degraded", "unavailable"


def health_routes(
    freshness: Freshness, cache: Cache, *, stale_seconds: float
) -> APIRouter:
    """The two probes."""
    router = APIRouter()

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def ready() -> JSONResponse:
        database = await _database_state(freshness, stale_seconds)
        store = await _cache_state(cache)
        if database == _DOWN:
            overall = _DOWN
        elif _DEGRADED in (database, store) or store == _DOWN:
            overall = _DEGRADED
        else:
            overall = _READY
        return JSONResponse(
            {"status": overall, "components": {"database": database, "cache": store}},
            status_code=503 if overall == _DOWN else 200,
        )

    return router


async def _database_state(freshness: Freshness, stale_seconds: float) -> str:
    """Credentials verify from cached state for ``stale_seconds`` without a database."""
    try:
        if freshness.age_seconds > TRUST_SECONDS:
            await freshness.check()
    except StoreUnavailableError:
        return _DEGRADED if freshness.age_seconds <= stale_seconds else _DOWN
    return _READY


async def _cache_state(cache: Cache) -> str:
    try:
        await cache.ping()
    except StoreUnavailableError:
        return _DOWN
    return _READY
