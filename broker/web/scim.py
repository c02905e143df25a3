"""The endpoint of SCIM: ``/scim/v2/{account}/…``, for directories of providers.

What answers is loaded when the first request comes, since most brokers have none.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING

from broker.pipeline import Pipeline
from broker.stores.directory.fresh import FreshDirectory
from broker.web.asgi import Receive, Scope, Send

if TYPE_CHECKING:
    from broker.web.scim_api import ScimApi

PREFIX = "/scim"
_API = "broker.web.scim_api"


class ScimEndpoint:
    """Answers what directories ask; runs behind `broker.web.edge.Edge`."""

    def __init__(
        self, pipeline: Pipeline, fresh: FreshDirectory, *, public_origin: str
    ) -> None:
        self._pipeline = pipeline
        self._fresh = fresh
        self._origin = public_origin
        self._api: ScimApi | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request for a path below ``/scim``."""
        if self._api is None:
            # In a thread: it takes a third of a second.
            loaded = await asyncio.to_thread(importlib.import_module, _API)
            self._api = loaded.ScimApi(
                self._pipeline, self._fresh, public_origin=self._origin
            )
        await self._api.answer(scope, receive, send)
