"""``broker console-url``: a sign-in link made from temporary credentials.

It uses the federation endpoint of this broker or of AWS, in the same two steps.

Source: IAM User Guide, id_roles_providers_enable-console-custom-url.
"""

import json
import os
import webbrowser
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import typer

from broker.cli.listening import is_loopback
from broker.cli.operator import OneJsonOption
from broker.cli.terminal import say_result
from broker.errors import ValidationError
from broker.model.secret import Confidential, Hidden

_PATH = "/federation"
_AWS_DOMAINS = {
    "aws.amazon.com": "https://console.aws.amazon.com/",
    "amazonaws.cn": "https://console.amazonaws.cn/",
    "amazonaws-us-gov.com": "https://console.amazonaws-us-gov.com/",
}
_ENDPOINT_VARIABLES = ("BROKER_PUBLIC_URL", "AWS_ENDPOINT_URL")
_SHORTEST, _LONGEST = 900, 43_200
_SECONDS = 20
_OK = 200


class TemporaryKey(Confidential, frozen=True):
    """Temporary credentials for the federation endpoint."""

    access_key_id: str
    secret_access_key: Hidden[str]
    session_token: Hidden[str]


def console_url(
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The broker, or AWS: https://signin.aws.amazon.com."
            " Default: BROKER_PUBLIC_URL, or the endpoint that AWS's tools use.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Use the credentials of this AWS profile."),
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The console page to open. Default: its home page."
        ),
    ] = None,
    issuer: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Where users sign in again when the session ends."
        ),
    ] = "",
    duration: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            min=_SHORTEST,
            max=_LONGEST,
            help="Console session duration in seconds, for credentials that allow it.",
        ),
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open it in the browser as well.")
    ] = False,
    as_json: OneJsonOption = False,
) -> None:
    """Print a link that signs in to the console with your current credentials.

    They are found as AWS's tools find them: environment, profile, process. The link is
    a secret: it works once, within 15 minutes, for anyone who opens it.
    """
    broker = endpoint or os.environ.get("BROKER_PUBLIC_URL")
    base = find_endpoint(broker or configured_endpoint(profile), os.environ)
    token = fetch_signin_token(base, get_key(profile), duration)
    link = login_link(base, token, destination or default_destination(base), issuer)
    say_result({"Url": link}, link, as_json=as_json)
    if open_it:
        webbrowser.open(link)


def find_endpoint(text: str | None, environment: Mapping[str, str]) -> str:
    """Find the endpoint's URL, without its path.

    Raises:
        ValidationError: None is configured, or it would send the secret unencrypted.
    """
    url = text or next(
        (environment[name] for name in _ENDPOINT_VARIABLES if environment.get(name)), ""
    )
    if not url:
        raise ValidationError(
            "No broker is configured: pass --endpoint URL, or set AWS_ENDPOINT_URL."
        )
    return require_safe_url(url.rstrip("/").removesuffix(_PATH))


def configured_endpoint(profile: str | None) -> str | None:
    """Find the STS endpoint that the environment or profile sets for AWS's tools.

    Raises:
        ValidationError: There is no such profile.
    """
    # Imported here so that other commands start faster.
    from botocore.configprovider import ConfiguredEndpointProvider  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    session = Session(profile=profile)
    try:
        provider = ConfiguredEndpointProvider(
            full_config=session.full_config,
            scoped_config=session.get_scoped_config(),
            client_name="sts",
            environ=os.environ,
        )
        text: str | None = provider.provide()
    except BotoCoreError as error:
        raise ValidationError(str(error)) from error
    return text


def require_safe_url(url: str) -> str:
    """Return the URL without a trailing slash.

    Raises:
        ValidationError: It is not a URL, or is http to another machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host:
        raise ValidationError(f"{url!r} is not a broker's URL.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValidationError(f"{url} is not https, so no credentials are sent to it.")
    return url.rstrip("/")


def default_destination(base: str) -> str:
    """The console of an endpoint."""
    host = urlsplit(base).hostname or ""
    for domain, console in _AWS_DOMAINS.items():
        if host.endswith(f"signin.{domain}"):
            return console
    return f"{base}/console/"


def get_key(profile: str | None) -> TemporaryKey:
    """Find the credentials that AWS's tools would use.

    Raises:
        ValidationError: There are none, or they are not temporary.
    """
    # Imported here so that other commands start faster.
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        credentials = Session(profile=profile).get_credentials()
        frozen = credentials and credentials.get_frozen_credentials()
    except BotoCoreError as error:
        raise ValidationError(str(error)) from error
    if not frozen:
        raise ValidationError("No AWS credentials were found.")
    if not frozen.token:
        raise ValidationError(
            "These are long-term keys, which cannot open a console. Get temporary"
            " credentials: aws sts assume-role, or aws sts get-federation-token."
        )
    return TemporaryKey(frozen.access_key, frozen.secret_key, frozen.token)


def fetch_signin_token(base: str, key: TemporaryKey, duration: int | None) -> str:
    """Get a sign-in token; the credentials are sent in the body, not in a URL.

    Raises:
        ValidationError: The endpoint refuses them or does not answer.
    """
    import httpx2  # noqa: PLC0415  # so that other commands start faster

    form = {
        "Action": "getSigninToken",
        "SessionType": "json",
        "Session": json.dumps(
            {
                "sessionId": key.access_key_id,
                "sessionKey": key.secret_access_key,
                "sessionToken": key.session_token,
            }
        ),
    }
    if duration is not None:
        form["SessionDuration"] = str(duration)
    try:
        answer = httpx2.post(f"{base}{_PATH}", data=form, timeout=_SECONDS)
    except httpx2.HTTPError as error:
        raise ValidationError(f"{base} does not answer: {error}") from error
    if answer.status_code != _OK:
        hint = " Chained roles and federation tokens do not allow --duration."
        raise ValidationError(
            f"{base} refused these credentials (status {answer.status_code})."
            f"{hint if duration is not None else ''}"
        )
    try:
        return str(answer.json()["SigninToken"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValidationError(f"{base} returned no sign-in token.") from error


def login_link(base: str, token: str, destination: str, issuer: str) -> str:
    """The login URL."""
    params = {
        "Action": "login",
        **({"Issuer": issuer} if issuer else {}),
        "Destination": destination,
        "SigninToken": token,
    }
    return f"{base}{_PATH}?{urlencode(params)}"
