"""``broker serve``: the service."""

import asyncio
from typing import Annotated, Any

import typer
import uvicorn

from broker.app import create_app, open_services
from broker.settings import Settings, load_settings
from broker.web.asgi import App

_SERVER: dict[str, Any] = {
    # A proxy is believed by our own rules only, and the request line is ours too.
    "proxy_headers": False,
    "server_header": False,
    "access_log": False,
    "log_level": "warning",
    "loop": "uvloop",
    "http": "httptools",
    "timeout_graceful_shutdown": 10,
}


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Run the broker, after bringing its database up to date."""
    settings = load_settings()
    if workers == 1:
        uvicorn.run(create_app(settings), host=host, port=port, **_SERVER)
        return
    # Schema and keyring are there before several workers look for them.
    asyncio.run(_prepare(settings))
    uvicorn.run(
        "broker.cli.serve:worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        **_SERVER,
    )


def worker() -> App:
    """One worker's application, from the environment's settings."""
    return create_app(load_settings())


async def _prepare(settings: Settings) -> None:
    async with open_services(settings):
        pass
