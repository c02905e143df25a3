"""``broker apply`` and ``broker export``: accounts as a YAML file."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.findings import Finding, Level
from broker.cli.operator import AccountArgument, system_user, with_installation
from broker.cli.template_warnings import find_template_warnings
from broker.cli.terminal import Progress, say
from broker.errors import NoSuchEntity
from broker.kinds.template.apply import Change, ChangeKind, apply_template
from broker.kinds.template.reader import export_account
from broker.kinds.template.section import TemplateContext
from broker.kinds.template.yaml_text import TemplateError, with_line
from broker.model.account import AccountId
from broker.proofs.addresses import AddressRules
from broker.proofs.provider_options import check_template_options
from broker.runtime.spelling import suggest
from broker.settings import Settings
from broker.stores.directory.kinds import ACCOUNT

if TYPE_CHECKING:
    from broker.compose.installation import Installation

_STDIN = "-"
_BYTES_MAX = 20_000_000
_COLOURS = {
    ChangeKind.CREATE: typer.colors.GREEN,
    ChangeKind.UPDATE: typer.colors.YELLOW,
    ChangeKind.DELETE: typer.colors.RED,
}


def template_context(settings: Settings) -> TemplateContext:
    """The installation's rules on issuers and on providers' options."""
    named = [entry for entry in settings.internal_issuers if entry.network is None]
    return TemplateContext(
        is_internal=AddressRules(settings.internal_issuers).names,
        home_region=settings.home_region,
        http_hosts=tuple(f"{entry.host}:{entry.port}" for entry in named),
        check_options=check_template_options,
        check_directory=partial(_check_directory, settings),
    )


def _check_directory(settings: Settings, directory: str) -> None:
    known = settings.directories.directories
    if directory not in known:
        raise ValueError(
            f"BROKER_DIRECTORIES_FILE has no directory {directory!r}; "
            + (suggest(directory, known) if known else "it is not set")
        )


def apply(
    file: Annotated[str, typer.Argument(help="The YAML file; - reads it from stdin.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the changes without making them.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is not in the file.")
    ] = False,
) -> None:
    """Make accounts match a file; applying it again changes nothing."""
    text = _read(file)
    progress = Progress("Comparing" if dry_run else "Applying")

    async def work(
        installation: "Installation",
    ) -> tuple[list[str], list[Change], list[Finding]]:
        settings = installation.settings
        context = replace(template_context(settings), sealer=installation.vault)
        now = installation.clock.now().replace(microsecond=0)
        warnings = await find_template_warnings(
            text, context, now, installation.stores.directory
        )
        changes = await apply_template(
            text,
            directory=installation.stores.directory,
            context=context,
            operator=system_user(),
            now=now,
            dry_run=dry_run,
            prune=prune,
            tell=progress.tell,
        )
        probed: list[Finding] = []
        if not dry_run and any(_adds_provider(change) for change in changes):
            # Imported here: it brings an HTTP client.
            from broker.cli.provider_checks import probe_new_providers  # noqa: PLC0415

            probed = await probe_new_providers(
                installation.settings, installation.stores, installation.clock, now
            )
        return warnings, changes, probed

    try:
        warnings, changes, probed = with_installation(work)
    except TemplateError as error:
        progress.end()
        say(f"broker: {file}: {with_line(text, error)}", err=True)
        raise typer.Exit(1) from error
    took = f"{progress.end():.1f} s"
    for warning in warnings:
        say(f"? {warning}", colour=typer.colors.YELLOW, err=True)
    for change in changes:
        say(*change.lines, colour=_COLOURS.get(change.kind))
    for finding in probed:
        mark = "✓" if finding.level is Level.GOOD else "!"
        say(f"{mark} {finding.subject}: {finding.text}", err=True)
        if finding.remedy:
            say(f"  → {finding.remedy}", err=True)
    done = [change for change in changes if change.kind.is_done]
    if not done:
        say(f"No changes ({took}).", err=True)
    elif dry_run:
        say(
            f"Dry run ({took}): nothing was changed. Applying takes up to twice as long.",
            err=True,
        )
    else:
        say(f"Done: {len(done):,} changes ({took}).", err=True)


def _adds_provider(change: Change) -> bool:
    return change.kind is ChangeKind.CREATE and "provider" in change.entity.lower()


def export(account_id: AccountArgument) -> None:
    """Print an account as YAML for `broker apply`, without secrets."""
    account = AccountId(account_id)

    async def work(installation: "Installation") -> None:
        directory = installation.stores.directory
        exported = await directory.find(ACCOUNT, account)
        if exported is None:
            raise NoSuchEntity(f"There is no account {account}.")
        count = 0
        async for text in export_account(directory, exported):
            lines = text.removesuffix("\n").split("\n")
            say(*lines)
            count += len(lines)
            progress.tell(count)

    progress = Progress("Lines")
    try:
        with_installation(work)
    finally:
        progress.end()


def _read(file: str) -> str:
    try:
        if file == _STDIN:
            data = sys.stdin.buffer.read(_BYTES_MAX + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise typer.BadParameter(f"{file} is longer than {_BYTES_MAX} bytes")
        return data.decode("utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8") from error
