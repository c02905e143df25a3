"""The endpoint of SCIM: ``/scim/v2/{account}/…``, for directories of providers.

What answers is loaded after the start if there are tokens, else when the first request
comes: most brokers have none.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING

from broker.edges.asgi import Receive, Scope, Send
from broker.pipeline import Pipeline
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.provisioning import has_scim_tokens
from broker.stores.errors import StoreUnavailableError

if TYPE_CHECKING:
    from broker.edges.scim_api import ScimApi

PREFIX = "/scim"
_API = "broker.edges.scim_api"


class ScimEndpoint:
    """Answers what directories ask; runs behind `broker.edges.edge.Edge`."""

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
            loaded = await _load()
            self._api = loaded.ScimApi(
                self._pipeline, self._fresh, address=f"{self._origin}{PREFIX}"
            )
        await self._api.answer(scope, receive, send)


@asynccontextmanager
async def loading(directory: DirectoryReader) -> AsyncIterator[None]:
    """Load in the background what the first request will need, if there are tokens."""

    async def load_if_used() -> None:
        with suppress(StoreUnavailableError):
            if await has_scim_tokens(directory):
                await _load()

    task = asyncio.create_task(load_if_used(), name="scim-loading")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _load() -> ModuleType:
    # In a thread: it takes up to a second.
    return await asyncio.to_thread(importlib.import_module, _API)
