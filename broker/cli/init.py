"""``broker init``: an account and its first administrator, ready to sign in.

It makes what is missing, so it may be run again: that gives the administrator a new
link, as long as they have no password. Without the account's number it goes on with the
account whose administrator has none yet.
"""

import os
import re
import secrets
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from broker.cli.operator import operator_entry, read_account_id, with_installation
from broker.cli.terminal import ask, say, say_json
from broker.model.account import AccountId
from broker.settings import DEFAULT_PORT, load_settings
from broker.stores.directory.accounts import list_accounts

if TYPE_CHECKING:
    from broker.compose.installation import Installation
    from broker.kinds.first_administrator import FirstAdministrator
    from broker.model.account import Account
    from broker.model.secret import Secret

_USER_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_ANSWER_MAX = 256
_HTTP_PORT = 80
OPEN = "Open this link within {} hours and choose a password. It works once."
"""What to do with a sign-in link, by the hours that it is good for."""


def init(
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The account's number. Default: that of the account whose administrator"
            " has no password yet, or else a random one.",
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(metavar="ALIAS", help="A sign-in name for the account."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The administrator's user name. Default: admin."
        ),
    ] = None,
    access_key: Annotated[
        bool,
        typer.Option(
            "--access-key",
            help="Create an access key for the administrator, too, and print it once.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="As one JSON object; asks nothing.")
    ] = False,
) -> None:
    """Create an account and its first administrator, with a link to sign in.

    Asks for what is not passed, if it is run on a terminal. Run it again for a new link,
    as long as the administrator has not chosen a password.
    """
    asks = sys.stdin.isatty() and not as_json
    number = read_account_id(account) if account else None
    waiting = with_installation(
        lambda installation: _find_waiting(
            installation, number, alias, user, asks=asks
        ),
        may_make=True,
    )
    known, name = waiting or (None, "admin")
    default = known.account_id if known else AccountId(_new_number())
    if number is None:
        number = default
        if asks:
            number = read_account_id(_ask("Account number", default))
    if number != default:
        known, name = None, "admin"
    if alias is None and asks:
        suggested = (known.alias if known else None) or ""
        alias = _ask("Alias for the sign-in address, such as your company", suggested)
    name = user or (_ask("Administrator's user name", name) if asks else name)
    if not _USER_NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} is not a user name; use 1 to 64 letters, digits and _+=,.@-"
        )
    made, link, life, key = with_installation(
        lambda installation: _make(
            installation, number, alias or None, name, access_key=access_key
        )
    )
    if as_json:
        say_json(
            {
                "AccountId": made.account.account_id,
                "UserName": made.user.name,
                "SignInLink": link,
                "ValidSeconds": int(life.total_seconds()),
                **key,
            }
        )
    else:
        _tell(made, link, life, key)


async def _find_waiting(
    installation: "Installation",
    number: AccountId | None,
    alias: str | None,
    user: str | None,
    *,
    asks: bool,
) -> tuple["Account", str] | None:
    """The account to go on with, and its administrator; the newest one if asked for.

    Raises:
        EntityAlreadyExists: several accounts wait, and there is no terminal to ask at.
    """
    from broker.errors import EntityAlreadyExists  # noqa: PLC0415
    from broker.kinds.first_administrator import list_waiting  # noqa: PLC0415

    directory = installation.stores.directory
    results = [
        (account, entry.name)
        for account in await list_accounts(directory)
        if number in {None, account.account_id}
        and (alias is None or account.alias in {None, alias})
        for entry in await list_waiting(directory, account)
        if user in {None, entry.name}
    ]
    if number is None and len(results) > 1 and not asks:
        named = ", ".join(f"{account.account_id} ({name})" for account, name in results)
        raise EntityAlreadyExists(
            f"The administrators of several accounts have no password yet: {named}. Pass"
            " --account with one of the numbers, or with a new one for another account."
        )
    return max(results, key=lambda entry: entry[0].created_at, default=None)


async def _make(
    installation: "Installation",
    account: AccountId,
    alias: str | None,
    user: str,
    *,
    access_key: bool,
) -> tuple["FirstAdministrator", str, timedelta, dict[str, str]]:
    from broker.kinds.access_keys import create_access_key  # noqa: PLC0415
    from broker.kinds.first_administrator import make_administrator  # noqa: PLC0415
    from broker.kinds.sign_in_links import LIFE  # noqa: PLC0415

    now, key = installation.clock.now(), {}
    directory = installation.stores.directory
    async with directory.change(account, is_above=True) as change:
        made = await make_administrator(
            change, account, alias=alias, user_name=user, now=now
        )
        entry = operator_entry(
            "InitAccount", account, Alias=made.account.alias, UserName=made.user.name
        )
        if access_key:
            created, secret = await create_access_key(
                *(change, made.account, made.user.user_id),
                sealer=installation.vault,
                now=now,
            )
            key["AccessKeyId"] = created.access_key_id
            entry.parameters = {**entry.parameters, **key}
            key["SecretAccessKey"] = secret.reveal()
        entry.resources = (made.user.arn,)
        await change.record(entry.complete())
    link = link_address(installation, account, made.token)
    return made, link, LIFE, key


def link_address(
    installation: "Installation", account: AccountId, token: "Secret"
) -> str:
    """Where a sign-in link leads."""
    # By the number: an alias may be changed while the link is on its way.
    return (
        f"{installation.settings.public_origin}/signin/{account}/first-password"
        f"?token={token.reveal()}"
    )


async def begin(opened: "Installation") -> None:
    """What ``broker serve --init`` does: in a database that it made, make an account.

    In any other it says how to get a link for an administrator without a password;
    one that is under way to them stays valid.
    """
    if opened.is_new:
        number = AccountId(_new_number())
        made, link, life, _ = await _make(
            opened, number, None, "admin", access_key=False
        )
        say(_which(made), OPEN.format(life // timedelta(hours=1)), link)
        return
    waiting = await _find_waiting(opened, None, None, None, asks=True)
    if waiting is not None:
        account, user = waiting
        say(
            f"{user} of account {account.account_id} has no password yet. For a new"
            " sign-in link, run:",
            f"broker init --account {account.account_id} --user {user}",
        )


def _which(made: "FirstAdministrator") -> str:
    account = made.account
    named = f"{account.account_id}" + (f" ({account.alias})" if account.alias else "")
    done = "was created" if made.is_new_account else "already exists"
    ended = " Their earlier link no longer works." if made.had_link else ""
    return f"Account {named} {done}; its administrator is {made.user.name}.{ended}"


def _tell(
    made: "FirstAdministrator", link: str, life: timedelta, key: dict[str, str]
) -> None:
    say(
        _which(made),
        "",
        "Next:",
        "  1. Start the broker, and leave it running:",
        "",
        f"       {_serve_command()}",
        "",
        f"  2. {OPEN.format(life // timedelta(hours=1))}",
        "",
        f"       {link}",
        "",
        "  3. Add your identity provider and a first role, in the console under Identity"
        " providers,",
        "     or from a file (the documentation has a recipe for Keycloak and others):",
        "",
        "       broker apply FILE",
    )
    if key:
        say("", "The administrator's access key, which is not shown again:", "")
        say(*(f"       {name}: {value}" for name, value in key.items()))
    if not os.environ.get("BROKER_PUBLIC_URL"):
        say(
            "",
            "If browsers reach the broker at another address, set BROKER_PUBLIC_URL to"
            " it, and run this again.",
        )


def _serve_command() -> str:
    """With the port of the public URL where browsers reach the broker itself."""
    url = urlsplit(load_settings().public_url)
    port = (url.port or _HTTP_PORT) if url.scheme == "http" else DEFAULT_PORT
    return "broker serve" if port == DEFAULT_PORT else f"broker serve --port {port}"


def _ask(question: str, default: str) -> str:
    ask(f"{question}{f' [{default}]' if default else ' (optional)'}: ")
    return sys.stdin.readline(_ANSWER_MAX).strip() or default


def _new_number() -> str:
    return str(secrets.randbelow(9 * 10**11) + 10**11)
