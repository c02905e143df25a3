"""``broker login``: from the browser's sign-in to credentials in a terminal.

Source: botocore's signin model; RFC 8252; RFC 9449.
"""

import os
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.console_url import find_endpoint
from broker.cli.login_browser import answer_of_browser, answer_of_person
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
            help="The broker. Without it, that of the last login, or"
            " BROKER_PUBLIC_URL or AWS_ENDPOINT_URL."
        ),
    ] = None,
    region: Annotated[
        str, typer.Option(help="The profile's region.", envvar="AWS_DEFAULT_REGION")
    ] = "us-east-1",
    remote: Annotated[
        bool,
        typer.Option(
            "--remote", help="The browser is on another machine: print link and code."
        ),
    ] = False,
    native: Annotated[
        bool,
        typer.Option(
            "--login-session",
            help="Let AWS's own login provider renew (needs botocore[crt]),"
            " instead of this command.",
        ),
    ] = False,
    process: Annotated[
        bool,
        typer.Option(
            "--process", help="Answer as a credential_process; for the profile itself."
        ),
    ] = False,
) -> None:
    """Sign in with the browser, choose a role, and use it in this terminal.

    The profile then has credentials that renew themselves until the session ends.
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
    say(f"You are {session}.", err=True)
    say(f"Profile {profile} is in {written}. Try:", err=True)
    say(f"  aws sts get-caller-identity --profile {profile}", err=True)


def _log_in_here(client: LoginClient, verifier: str) -> dict[str, object]:
    challenge = challenge_of(verifier)
    with answer_of_browser() as waiting:
        link = client.link(SAME_DEVICE, waiting.redirect_uri, challenge, waiting.state)
        say("Your browser opens; if it does not, open", "", f"  {link}", "", err=True)
        say(f"Check code: {user_code(challenge)}", err=True)
        webbrowser.open(link)
        code = waiting.wait()
    return client.redeem(SAME_DEVICE, code, verifier, waiting.redirect_uri)


def _log_in_remotely(client: LoginClient, verifier: str) -> dict[str, object]:
    challenge = challenge_of(verifier)
    state = secrets.token_urlsafe()
    link = client.push(CROSS_DEVICE, client.confirmation, challenge, state)
    say("On any machine with a browser, open", "", f"  {link}", "", err=True)
    say(f"It must show this check code: {user_code(challenge)}", err=True)
    code = answer_of_person(input_of_person(), state)
    return client.redeem(CROSS_DEVICE, code, verifier, client.confirmation)


def input_of_person() -> str:
    """The code that the page shows."""
    ask("Paste the code that it shows in the end: ")
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
        raise ValidationError("A profile's name has letters, digits, '-', '_', '.'.")
    program = Path(sys.executable)
    return f'"{program}" -m broker login --process --profile {profile}'
