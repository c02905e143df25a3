"""Logging in with a browser, on this machine or another.

Source: botocore's signin model; RFC 8252; RFC 8628.
"""

import os
import secrets
import sys
import webbrowser
from contextlib import closing
from typing import Any

from broker.cli.login_browser import CallbackServer, parse_pasted_code
from broker.cli.login_client import LoginClient, challenge_of
from broker.cli.terminal import ask, say
from broker.console.terminals.clients import CROSS_DEVICE, SAME_DEVICE, user_code

_VERIFIER_BYTES = 48


def log_in(base: str, *, remote: bool) -> tuple[LoginClient, dict[str, Any]]:
    """Send the user to the broker's page and redeem the code that it gives.

    Raises:
        ValidationError: The login is denied, or the broker does not answer.
    """
    client = LoginClient(base)
    verifier = secrets.token_urlsafe(_VERIFIER_BYTES)
    if remote or not _has_browser():
        return client, _log_in_remotely(client, verifier)
    return client, _log_in_here(client, verifier)


def _log_in_here(client: LoginClient, verifier: str) -> dict[str, Any]:
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


def _log_in_remotely(client: LoginClient, verifier: str) -> dict[str, Any]:
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
