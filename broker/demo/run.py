"""The demo: what it runs, and its greeting."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn
from msgspec import Struct
from rich.console import Console
from rich.panel import Panel

from broker.compose.app import Broker
from broker.compose.services import open_services
from broker.console.deps import SignInLink
from broker.demo.aws_profiles import (
    ANALYST_PROFILE,
    CONFIG_FILE,
    WORKLOAD_PROFILE,
    token_file,
    write_config,
)
from broker.demo.idp import DemoIdp
from broker.demo.oidc_signer import load_oidc_signer
from broker.demo.people import ACCOUNT, ALIAS, WORKLOADS
from broker.demo.portal import DemoPortal
from broker.demo.saml_signer import DemoSamlSigner
from broker.demo.seed import CREDENTIALS_FILE, PORTAL_PROFILE, ForeignStorageError, seed
from broker.runtime.clock import SystemClock
from broker.settings import Settings, load_settings

HOST = "127.0.0.1"
IDP_HOST = "localhost"
_MARK_FILE = ".broker-demo"


class DemoPlace(Struct, frozen=True):
    """A demo's folder and the broker's port."""

    folder: Path
    port: int

    @property
    def broker_origin(self) -> str:
        """The broker's origin."""
        return f"http://{HOST}:{self.port}"

    @property
    def idp_origin(self) -> str:
        """The identity provider's origin, on another site."""
        return f"http://{IDP_HOST}:{self.port + 1}"


def claim_folder(folder: Path) -> None:
    """Mark a new or empty folder as the demo's; one already marked is accepted.

    Raises:
        ForeignStorageError: The folder has content that the demo did not create.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = folder / _MARK_FILE
    if mark.exists():
        return
    if any(folder.iterdir()):
        raise ForeignStorageError(
            f"{folder} has content that the demo did not create; use an empty folder"
        )
    mark.write_text("Created by `broker demo`: nothing in here is secret.\n")


def demo_settings(place: DemoPlace) -> Settings:
    """The demo's settings, which never use the operator's stores or keyring.

    Raises:
        SettingsError: Another setting is invalid.
    """
    idp = place.idp_origin
    return load_settings(
        data_dir=place.folder,
        database_url="",
        redis_url="",
        keyring_file=None,
        public_url=place.broker_origin,
        internal_issuers=idp.partition("://")[2],
        allowed_destinations=(idp,),
        saml_audiences=(),
        saml_recipients=(),
        trusted_proxies=(),
    )


async def run_demo(
    place: DemoPlace,
    server: dict[str, Any],
    announce: Callable[[], None],
    *,
    broker_listeners: list[socket],
    idp_listeners: list[socket],
) -> None:
    """Seed the folder, then serve on these sockets until interrupted.

    ``server`` has uvicorn's options; ``announce`` is called once both servers run.

    Raises:
        ForeignStorageError: The folder's database is not the demo's.
    """
    settings = demo_settings(place)
    clock = SystemClock()
    saml = DemoSamlSigner.open(
        place.folder,
        entity_id=f"{place.idp_origin}/saml/metadata",
        sso_url=f"{place.idp_origin}/saml/sso",
        now=clock.now(),
    )
    oidc = load_oidc_signer(place.folder, place.idp_origin)
    async with open_services(settings, clock) as services:
        seeded = await seed(
            services, place.folder, metadata=saml.metadata(), issuer=place.idp_origin
        )
    write_config(place.folder, place.broker_origin, seeded.portal_key.access_key_id)
    idp = DemoIdp(
        origin=place.idp_origin,
        broker_origin=place.broker_origin,
        saml=saml,
        oidc=oidc,
        portal=DemoPortal(
            place.broker_origin, f"{place.idp_origin}/portal", seeded.portal_key
        ),
        password=seeded.password,
        clock=clock,
    )
    portal = SignInLink(
        "Company portal", f"{place.idp_origin}/portal", "Sign in with a login URL"
    )
    broker = Broker(settings, clock, sign_in_links=(portal,))
    async with token_file(place.folder, lambda: idp.id_token(WORKLOADS[0])):
        main = uvicorn.Server(uvicorn.Config(broker, **server))
        companion = _Companion(uvicorn.Config(idp.app(), **server))
        await _serve(main, broker_listeners, companion, idp_listeners, announce)


class _Companion(uvicorn.Server):
    """A server that leaves signals to the main server, and stops with it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    main: uvicorn.Server,
    main_listeners: list[socket],
    companion: uvicorn.Server,
    companion_listeners: list[socket],
    announce: Callable[[], None],
) -> None:
    beside = asyncio.create_task(
        companion.serve(sockets=companion_listeners), name="demo-idp"
    )
    before = asyncio.create_task(
        _announce_when_up(main, companion, announce), name="demo-announcement"
    )
    # If the identity provider cannot start, neither can the demonstration.
    beside.add_done_callback(lambda _: setattr(main, "should_exit", True))
    try:
        await main.serve(sockets=main_listeners)
    finally:
        before.cancel()
        companion.should_exit = True
        await asyncio.gather(beside, before, return_exceptions=True)


async def _announce_when_up(
    main: uvicorn.Server, companion: uvicorn.Server, announce: Callable[[], None]
) -> None:
    while not (main.started and companion.started):  # noqa: ASYNC110  # no event
        await asyncio.sleep(0.02)
    announce()


def announce(place: DemoPlace, *, kept: bool) -> None:
    """Print the greeting of a running demo."""
    console = Console()
    idp, broker = place.idp_origin, place.broker_origin
    click = (
        f"[bold]{idp}/[/]\n  the demo identity provider: sign in as Ana, Ben or Dana\n"
        f"[bold]{broker}/signin[/]\n  the broker's own sign-in page"
        f" (account {ACCOUNT}, alias {ALIAS})\n"
        f"[bold]{broker}/portal/{ALIAS}[/]\n  the access portal: accounts and roles,"
        " and what `aws sso login` needs"
    )
    console.print(Panel(click, title="Click", title_align="left", padding=(1, 2)))
    # Printed without a frame, so that it can be copied as is.
    console.print("[bold]Paste[/] into another terminal (AWS CLI 2.13 or newer):\n")
    for line in (
        f"export AWS_CONFIG_FILE={place.folder / CONFIG_FILE}",
        f"export AWS_SHARED_CREDENTIALS_FILE={place.folder / CREDENTIALS_FILE}",
        "",
        "# a workload with its ID token",
        f"aws sts get-caller-identity --profile {WORKLOAD_PROFILE}",
        "# a user with a long-term key, and a role that it assumes",
        f"aws sts get-caller-identity --profile {PORTAL_PROFILE}",
        f"aws iam list-roles --profile {ANALYST_PROFILE}",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    end = "is kept" if kept else "is deleted when the demo stops"
    where = f"The demo's installation is in {place.folder}, which {end}."
    console.print(f"\n[dim]{where} Stop with Ctrl-C.[/]", soft_wrap=True)
