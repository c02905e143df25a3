"""What commands that act on the installation share."""

import asyncio
import logging
import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from broker.audit.entry import AuditEntry
from broker.cli.terminal import ask, say
from broker.errors import NoSuchEntity
from broker.model.account import Account, AccountId, parse_account_id
from broker.runtime.clock import SystemClock
from broker.runtime.entropy import new_request_id

if TYPE_CHECKING:
    from broker.compose.installation import Installation
    from broker.compose.services import Services
    from broker.stores.directory.changed_rows import ChangedRows
    from broker.stores.directory.port import DirectoryChange, DirectoryReader

Outcome = TypeVar("Outcome")

ACCOUNT_VARIABLE = "BROKER_ACCOUNT"
_ANSWER_MAX = 16

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
OneJsonOption = Annotated[bool, typer.Option("--json", help="As one JSON object.")]
AlwaysJsonOption = Annotated[
    bool, typer.Option("--json", help="Accepted everywhere; this prints JSON anyway.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def read_account_id(text: str) -> AccountId:
    """Parse an account number in an argument or option.

    Raises:
        typer.BadParameter: It is not an account number.
    """
    try:
        return parse_account_id(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def read_account(text: str) -> AccountId:
    """The number of the account that an option names by its number or alias.

    An alias is looked up in the installation's database.

    Raises:
        NoInstallationError: there is none.
        typer.BadParameter: no account has the alias.
    """
    try:
        return parse_account_id(text)
    except ValueError:
        return with_installation(
            lambda installation: _require_alias(installation, text)
        )


async def _require_alias(installation: "Installation", alias: str) -> AccountId:
    from broker.stores.directory.accounts import find_account_by_alias  # noqa: PLC0415

    known = await find_account_by_alias(installation.stores.directory, alias)
    if known is None:
        raise typer.BadParameter(
            f"no account has the alias {alias!r}; `broker account list` shows all"
        )
    return known.account_id


def read_definition_file(file: Path) -> str:
    """The JSON text of a registered service's or an upstream's definition.

    Raises:
        typer.BadParameter: The file cannot be read, is too long, or is not YAML.
    """
    from broker.kinds.yaml_text import TemplateError, read_definition  # noqa: PLC0415  # see below
    from broker.protocols.enforcement.definition import DEFINITION_CHARACTERS_MAX  # noqa: PLC0415

    try:
        with file.open(encoding="utf-8") as stream:
            return read_definition(stream.read(DEFINITION_CHARACTERS_MAX + 1))
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise typer.BadParameter(f"{file}: {error}") from error


OwnerOption = Annotated[
    AccountId,
    typer.Option(
        "--account",
        metavar="ACCOUNT",
        parser=read_account,
        envvar=ACCOUNT_VARIABLE,
        help="The account, by its ID or alias.",
    ),
]

AccountOption = Annotated[
    AccountId | None,
    typer.Option(
        "--account",
        metavar="ACCOUNT",
        parser=read_account,
        envvar=ACCOUNT_VARIABLE,
        help="Only this account, by its ID or alias.",
    ),
]


def may_ask(*, yes: bool) -> bool:
    """Whether there is a person at a terminal who did not say yes to all."""
    return not yes and sys.stdin.isatty()


def require_consent(ending: str, *, yes: bool) -> None:
    """Ask at a terminal before something ends; elsewhere only say what does.

    Raises:
        typer.Exit: the answer is not yes.
    """
    if yes:
        return
    if not may_ask(yes=yes):
        say(ending, err=True)
        return
    ask(f"{ending} Go on? [y/N] ")
    if sys.stdin.readline(_ANSWER_MAX).strip().lower() not in {"y", "yes"}:
        say("Nothing was changed.", err=True)
        raise typer.Exit(1)


# Imported inside: a command's help, and most mistakes in its arguments, need none of it.


def with_installation(
    work: Callable[["Installation"], Awaitable[Outcome]], *, may_make: bool = False
) -> Outcome:
    """Run a command's work with the installation's stores and keys.

    Says on stderr where something was written, and where an installation was made,
    which ``may_make`` allows.

    Raises:
        NoInstallationError: there is none, and none was made.
    """
    from broker.compose.installation import open_installation  # noqa: PLC0415
    from broker.settings import load_settings  # noqa: PLC0415

    async def run() -> Outcome:
        settings = load_settings()
        async with open_installation(settings, may_make=may_make) as installation:
            if installation.is_new:
                say_made(installation)
            with _saying_where(installation):
                return await work(installation)

    return asyncio.run(run())


def say_made(installation: "Installation") -> None:
    """Say on stderr that an installation was made, and where."""
    say(
        f"A new installation was made: {installation.place}, with its master key in"
        f" {installation.keyring.path}.",
        err=True,
    )


@contextmanager
def _saying_where(installation: "Installation") -> Iterator[None]:
    """Say on stderr which database something was written to, if it was."""
    changes: list[ChangedRows] = []
    installation.stores.directory.on_commit(
        lambda _account, _generation, changed: changes.append(changed)
    )
    try:
        yield
    finally:
        if any(not changed.is_empty for changed in changes):
            say_written(installation)


def say_written(installation: "Installation") -> None:
    """Say on stderr which database a command wrote to."""
    say(f"Written to {installation.place}.", err=True)


def with_services(work: Callable[["Services"], Awaitable[Outcome]]) -> Outcome:
    """Run a command's work with all services, which take a second to import.

    Raises:
        NoInstallationError: there is none.
    """
    from broker.compose.services import open_services  # noqa: PLC0415
    from broker.settings import load_settings  # noqa: PLC0415

    async def run() -> Outcome:
        async with open_services(load_settings(), may_make=False) as services:
            with _saying_where(services):
                return await work(services)

    log_warnings()
    return asyncio.run(run())


def log_warnings() -> None:
    """Log warnings and errors only, to stderr: results go to stdout."""
    from broker.cli.logs import configure_logs  # noqa: PLC0415

    configure_logs(level=logging.WARNING)


async def require_known(directory: "DirectoryReader", account: AccountId) -> Account:
    """Find the account that a command acts on.

    Raises:
        NoSuchEntity: There is none.
    """
    from broker.stores.directory.kinds import ACCOUNT  # noqa: PLC0415

    known = await directory.find(ACCOUNT, account)
    if known is None:
        raise NoSuchEntity(f"There is no account {account}.")
    return known


def operator_entry(
    action: str, account: AccountId | None, **parameters: object
) -> AuditEntry:
    """The audit entry of a command run by the current system user."""
    return AuditEntry(
        event_id=new_request_id(),
        at=SystemClock().now(),
        door="operator",
        action=f"broker:{action}",
        source_ip="",
        user_agent="broker command line",
        account=account,
        caller_arn=f"operator:{system_user()}",
        parameters=parameters,
        decision="allowed",
        reason="the operator's command line",
    )


async def record_change(
    change: "DirectoryChange",
    action: str,
    account: AccountId,
    /,
    *resources: str,
    **view: object,
) -> None:
    """Record a change of the current system user, in its transaction."""
    entry = operator_entry(action, account, **view)
    entry.resources = resources
    await change.record(entry.complete())


def system_user() -> str:
    """The name of the user who runs the command."""
    # From the kernel, not from the environment, which the user can set.
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user often has no entry
        return f"uid {uid}"
