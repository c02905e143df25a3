"""``broker login``: sign in with the browser and get credentials in the terminal.

Source: botocore's signin model; RFC 8252; RFC 9449.
"""

import os
import secrets
import sys
import webbrowser
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.console_url import find_endpoint
from broker.cli.login_browser import CallbackServer, parse_pasted_code
from broker.cli.login_client import (
    CROSS_DEVICE,
    SAME_DEVICE,
    LoginClient,
    challenge_of,
)
from broker.cli.login_store import LoginStore, write_profile
from broker.cli.terminal import ask, say, say_json
from broker.console.terminals.login_requests import user_code
from broker.errors import ValidationError

_VERIFIER_BYTES = 48


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
    base = find_endpoint(endpoint or store.find_endpoint(), os.environ)
    client = LoginClient(base)
    headless = remote or not _has_browser()
    verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
    token = (_log_in_remotely if headless else _log_in_here)(client, verifier)
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


def _log_in_here(client: LoginClient, verifier: str) -> dict[str, object]:
    challenge = challenge_of(verifier)
    with closing(CallbackServer()) as callback:
        link = client.link(
            SAME_DEVICE, callback.redirect_uri, challenge, callback.state
        )
        say("Opening your browser. If it does not open, visit", err=True)
        say("", f"  {link}", "", err=True)
        say(f"Check code: {user_code(challenge)}", err=True)
        webbrowser.open(link)
        code = callback.wait()
    return client.redeem(SAME_DEVICE, code, verifier, callback.redirect_uri)


def _log_in_remotely(client: LoginClient, verifier: str) -> dict[str, object]:
    challenge = challenge_of(verifier)
    state = secrets.token_urlsafe()
    link = client.push(CROSS_DEVICE, client.confirmation, challenge, state)
    say("On any machine with a browser, visit", "", f"  {link}", "", err=True)
    say(f"The page must show this check code: {user_code(challenge)}", err=True)
    code = parse_pasted_code(read_pasted_code(), state)
    return client.redeem(CROSS_DEVICE, code, verifier, client.confirmation)


def read_pasted_code() -> str:
    """Ask the user for the code that the page shows."""
    ask("Paste the code that the page shows: ")
    return sys.stdin.readline(4096)


def _has_browser() -> bool:
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
        or os.environ.get("BROWSER")
    ):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _process_command(profile: str) -> str:
    if any(not (letter.isalnum() or letter in "-_.@") for letter in profile):
        raise ValidationError(
            "A profile name may have letters, digits, '-', '_', '.' and '@'."
        )
    program = Path(sys.executable)
    return f'"{program}" -m broker login --process --profile {profile}'
