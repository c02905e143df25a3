"""``broker login``: sign in with the browser and get credentials in the terminal.

Source: botocore's signin model; RFC 8252; RFC 9449.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.console_url import find_endpoint
from broker.cli.login_store import LoginStore, write_profile
from broker.cli.terminal import say, say_json
from broker.errors import ValidationError


def login(
    *,
    profile: Annotated[
        str, typer.Option(help="The AWS profile that gets the credentials.")
    ] = "default",
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="The broker's URL. Default: that of the last login,"
            " BROKER_PUBLIC_URL or AWS_ENDPOINT_URL."
        ),
    ] = None,
    region: Annotated[
        str, typer.Option(help="The profile's region.", envvar="AWS_DEFAULT_REGION")
    ] = "us-east-1",
    remote: Annotated[
        bool,
        typer.Option(
            "--remote", help="Use a browser on another machine: print a link."
        ),
    ] = False,
    native: Annotated[
        bool,
        typer.Option(
            "--login-session",
            help="Let AWS's login provider renew the credentials (needs botocore[crt])"
            " instead of this command.",
        ),
    ] = False,
    process: Annotated[
        bool,
        typer.Option("--process", help="Act as the profile's credential_process."),
    ] = False,
) -> None:
    """Sign in with the browser and use the chosen role in this terminal.

    The profile's credentials are renewed automatically until the session ends.
    """
    store = LoginStore(profile, os.environ)
    if process:
        say_json(store.serve())
        return
    # Imported here: a credential_process runs often and needs none of it.
    from broker.cli.login_flow import log_in  # noqa: PLC0415

    base = find_endpoint(endpoint or store.find_endpoint(), os.environ)
    client, token = log_in(base, remote=remote)
    session = store.save(client, token, region)
    written = write_profile(
        profile,
        os.environ,
        {
            "region": region,
            "endpoint_url": base,
            **(
                {"login_session": session}
                if native
                else {"credential_process": _process_command(profile)}
            ),
        },
    )
    say(f"Logged in as {session}.", err=True)
    say(f"Profile {profile} was written to {written}. Try:", err=True)
    say(f"  aws sts get-caller-identity --profile {profile}", err=True)


def _process_command(profile: str) -> str:
    if any(not (letter.isalnum() or letter in "-_.@") for letter in profile):
        raise ValidationError(
            "A profile name may have letters, digits, '-', '_', '.' and '@'."
        )
    program = Path(sys.executable)
    return f'"{program}" -m broker login --process --profile {profile}'
