"""The ``broker`` command."""

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from broker.cli import (
    account,
    keys,
    mfa,
    provider_metadata,
    provider_proofs,
    provider_setup,
    providers,
    sessions,
)
from broker.cli.audit import audit
from broker.cli.console_url import console_url
from broker.cli.demo import demo
from broker.cli.doctor import doctor
from broker.cli.explain import explain
from broker.cli.listening import ListenError
from broker.cli.login import login
from broker.cli.logs import configure_logs
from broker.cli.serve import serve
from broker.cli.template import apply, export
from broker.cli.terminal import say
from broker.errors import BrokerError
from broker.sessions.keys import KeyringError
from broker.settings import SettingsError
from broker.stores.errors import StoreUnavailableError
from broker.stores.migrations import SchemaTooNewError
from broker.stores.urls import StoreUrlError

app = typer.Typer(
    help="A federation identity broker that speaks AWS's sign-in, STS and IAM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"broker {version('federation-broker')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


app.command()(serve)
app.command()(demo)
app.add_typer(account.app, name="account")
app.command()(apply)
app.command()(export)
app.command()(audit)
app.command()(explain)
app.add_typer(sessions.app, name="sessions")
providers.app.command("show")(provider_setup.show)
providers.app.command("test")(provider_proofs.try_proof)
providers.app.command("refresh")(provider_metadata.refresh)
app.add_typer(providers.app, name="providers")
app.add_typer(keys.app, name="keys")
app.add_typer(mfa.app, name="mfa")
app.command()(doctor)
app.command()(console_url)
app.command()(login)

_EXPECTED = (
    BrokerError,
    KeyringError,
    ListenError,
    SchemaTooNewError,
    SettingsError,
    StoreUnavailableError,
    StoreUrlError,
)


def run() -> None:
    """Run the command line; expected errors are shown without a traceback."""
    # Results go to stdout, so log only warnings and errors to stderr.
    configure_logs(level=logging.WARNING)
    try:
        app()
    except _EXPECTED as error:
        lines = str(error).split("\n") if isinstance(error, SettingsError) else [error]
        say(f"broker: {lines[0]}", *lines[1:], err=True)
        sys.exit(1)
