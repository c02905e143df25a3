"""The ``broker`` command."""

import sys
from typing import Annotated

import typer

from broker.cli.commands import CommandPlace, lazy_group
from broker.cli.terminal import say
from broker.errors import BrokerError, OperatorError

COMMANDS = {
    "init": CommandPlace(
        "broker.cli.init",
        "init",
        "Create an account and its first administrator, with a link to sign in.",
    ),
    "serve": CommandPlace(
        "broker.cli.serve", "serve", "Migrate the database and run the broker."
    ),
    "demo": CommandPlace(
        "broker.cli.demo",
        "demo",
        "Try the broker with a demo account and demo users; no setup needed.",
    ),
    "account": CommandPlace("broker.cli.account", "app", "Accounts."),
    "accounts": CommandPlace(
        "broker.cli.account",
        "accounts",
        "List the accounts, and the administrators who have no password yet.",
        is_hidden=True,
    ),
    "apply": CommandPlace(
        "broker.cli.template",
        "apply",
        "Make accounts match a file; applying it again changes nothing.",
    ),
    "export": CommandPlace(
        "broker.cli.template",
        "export",
        "Print an account as YAML for `broker apply`, without secrets.",
    ),
    "get": CommandPlace(
        "broker.cli.get", "get", "List the objects of a kind, or show one of them."
    ),
    "audit": CommandPlace(
        "broker.cli.audit",
        "audit",
        "Show the audit records that match all filters, newest first.",
    ),
    "explain": CommandPlace(
        "broker.cli.explain",
        "explain",
        "Explain why a call was allowed or denied, or would be.",
    ),
    "sessions": CommandPlace("broker.cli.sessions", "app", "Live sessions."),
    "providers": CommandPlace("broker.cli.providers", "app", "Identity providers."),
    "services": CommandPlace(
        "broker.cli.registered_services",
        "app",
        "Services that ask the broker for decisions.",
    ),
    "upstreams": CommandPlace(
        "broker.cli.upstreams",
        "app",
        "Other STS endpoints that issue the credentials of roles.",
    ),
    "policy": CommandPlace("broker.cli.policy", "app", "Checks of policies in files."),
    "instances": CommandPlace(
        "broker.cli.instances", "app", "Machines and their instance profiles."
    ),
    "agent": CommandPlace(
        "broker.cli.agent",
        "app",
        "Provide a machine's credentials to the programs on it.",
    ),
    "keys": CommandPlace("broker.cli.keys", "app", "Sealing keys."),
    "mfa": CommandPlace("broker.cli.mfa", "app", "MFA devices."),
    "doctor": CommandPlace(
        "broker.cli.doctor",
        "doctor",
        "Check settings, stores, keys, clock and providers, and say what to fix.",
    ),
    "config": CommandPlace(
        "broker.cli.config",
        "config",
        "Print the effective settings and where each is from, without secrets.",
    ),
    "console-url": CommandPlace(
        "broker.cli.console_url",
        "console_url",
        "Print a link that signs in to the console with your current credentials.",
    ),
}

EPILOG = (
    "Commands open the database themselves, with the broker's settings: run them where"
    " the broker runs, as the same user (`broker config` prints the settings)."
    " The documentation is at /docs of a running broker, and in docs/ of the source."
)

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    help="A federation identity broker that speaks AWS's sign-in, STS and IAM protocols.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version  # noqa: PLC0415  # rarely needed

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


def run() -> None:
    """Run the command line; expected errors are shown without a traceback."""
    try:
        app()
    except OperatorError as error:
        first, *more = error.lines
        say(f"broker: {first}", *more, err=True)
        sys.exit(1)
    except BrokerError as error:
        say(f"broker: {error}", err=True)
        sys.exit(1)
    except UnicodeEncodeError as error:
        say(f"broker: {_not_encoded(error)}", err=True)
        sys.exit(1)
    except OSError as error:
        # A disk that is full, on stdout too, or a path that no system call takes.
        where = f"{error.filename}: " if error.filename else ""
        what = error.strerror or str(error) or type(error).__name__
        say(f"broker: {where}{what}", err=True)
        sys.exit(1)


def _not_encoded(error: UnicodeEncodeError) -> str:
    """What cannot be encoded; not the text, which may be a secret."""
    if error.encoding == "utf-8":
        return "an argument, setting or file contains text that is not UTF-8"
    return f"the output cannot be written as {error.encoding}; set PYTHONUTF8=1"
