"""Probes: alive (``/healthz``), ready (``/readyz``) and ``/metrics``.

Ready means that credentials verify; with the database away or the ledger behind,
mints are refused all the same: ``degraded``. Components are named, never their
addresses.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Collection, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from broker.edges.metrics import Metrics
from broker.stores.cache.port import Cache
from broker.stores.directory.freshness import TRUST_SECONDS, Freshness
from broker.stores.errors import StoreUnavailableError
from broker.stores.ledger.port import Ledger

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_WENT_BACK = "the database lacks changes that it had, noticed"
_READY, _DEGRADED, _DOWN = "ready", "degraded", "unavailable"


def health_routes(
    freshness: Freshness, cache: Cache, ledger: Ledger, *, stale_seconds: float
) -> APIRouter:
    """The two probes."""
    router = APIRouter()

    @router.get("/healthz")
    async def alive() -> JSONResponse:
        # Not a dictionary, for which FastAPI loads pydantic's first version, too.
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def ready() -> JSONResponse:
        database = await _database_state(freshness, stale_seconds)
        # The ledger is in the same database: what one worker could not write, none can.
        is_writable = database == _READY and not ledger.is_behind
        components = {
            "database": database,
            "cache": await _cache_state(cache),
            "ledger": _READY if is_writable else _DOWN,
        }
        if database == _DOWN:
            overall = _DOWN
        elif all(state == _READY for state in components.values()):
            overall = _READY
        else:
            overall = _DEGRADED
        state: dict[str, object] = {"status": overall, "components": components}
        if freshness.timeline_since is not None:
            since = freshness.timeline_since.isoformat(timespec="seconds")
            state["notes"] = [f"{_WENT_BACK} {since}"]
        return JSONResponse(state, status_code=503 if overall == _DOWN else 200)

    return router


def metrics_routes(
    metrics: Metrics,
    freshness: Freshness,
    cache: Cache,
    unasked: Callable[[], Awaitable[Mapping[str, float]]],
    *,
    allowed: Collection[Network],
    stale_seconds: float,
) -> APIRouter:
    """``/metrics``, for loopback peers and the ``allowed`` networks.

    ``unasked`` tells how many seconds ago providers stopped to say who has left.
    """
    router = APIRouter()

    @router.get("/metrics")
    async def exposition(request: Request) -> Response:
        if not _may_read(request, allowed):
            return Response("BROKER_METRICS_ALLOW does not name you.\n", 403)
        database = await _database_state(freshness, stale_seconds)
        up = {
            "database": database == _READY,
            "cache": await _cache_state(cache) == _READY,
        }
        text = metrics.exposition(up, await unasked())
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router


def _may_read(request: Request, allowed: Collection[Network]) -> bool:
    """Whether the client may read the numbers.

    A loopback peer that forwards a request, but is not a trusted proxy, does not count
    as local.
    """
    peer = request.client.host if request.client else ""
    source = request.state.source_ip
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return False
    if any(address in network for network in allowed):
        return True
    passed_on = any(name in request.headers for name in _FORWARDED)
    return address.is_loopback and not (passed_on and source == peer)


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
