"""``broker apply`` and ``broker export``: accounts as a YAML file."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from broker.cli.findings import Finding, Level
from broker.cli.operator import (
    JsonOption,
    OneJsonOption,
    OwnerOption,
    YesOption,
    may_ask,
    require_consent,
    system_user,
    with_installation,
)
from broker.cli.terminal import Progress, say, say_json
from broker.cli.trust_checks import find_open_roles
from broker.errors import NoSuchEntity
from broker.kinds.control_policies import ControlKind
from broker.kinds.service_catalogue import registered_services, service_entries
from broker.kinds.yaml_text import TemplateError, with_lines
from broker.model.arn import iam_arn
from broker.policy import PolicyKind, parse_policy
from broker.policy.catalogue import ServiceEntry, unknown_names
from broker.policy.subject_patterns import LOOSE_SUBJECT, find_loose_subjects
from broker.proofs.addresses import AddressRules
from broker.proofs.provider_options import check_template_options
from broker.runtime.clock import SystemClock
from broker.runtime.spelling import suggest
from broker.settings import Settings, load_settings
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.port import DirectoryReader
from broker.template.apply import Change, ChangeKind, apply_template
from broker.template.definitions import RESOURCE_POLICIES, SERVICES
from broker.template.managed_policies import MANAGED_POLICIES
from broker.template.owned import POLICIES
from broker.template.providers import OIDC_PROVIDERS
from broker.template.reader import (
    KINDS,
    AccountTemplate,
    account_data,
    export_account,
    parse_template,
)
from broker.template.roles import ROLES, TRUST
from broker.template.section import TemplateContext

if TYPE_CHECKING:
    from broker.compose.installation import Installation

_STDIN = "-"
_BYTES_MAX = 20_000_000
_COLOURS = {
    ChangeKind.CREATE: typer.colors.GREEN,
    ChangeKind.UPDATE: typer.colors.YELLOW,
    ChangeKind.DELETE: typer.colors.RED,
}


async def find_template_warnings(
    text: str,
    context: TemplateContext,
    now: datetime,
    directory: DirectoryReader | None,
) -> list[str]:
    """A line for each name that no service has, and each role that lets in too many.

    Services are AWS's, and those that the template's accounts have or get; without a
    ``directory``, those that they get.

    Raises:
        TemplateError: The template is invalid.
    """
    accounts = parse_template(text, context, now)
    registered: dict[str, ServiceEntry] = {}
    for account in accounts:
        stored = (
            await registered_services(directory, account.account) if directory else ()
        )
        declared = account.specs(SERVICES) or ()
        registered |= service_entries(
            [(service.name, service.definition) for service in stored]
            + [tuple(spec.properties.values()) for spec in declared],
            account=account.account,
            region=context.home_region,
        )
    return [
        f"{account.place}.{place}: {warning}"
        for account in accounts
        for place, document, kind in _documents(account)
        for warning in unknown_names(parse_policy(document, kind), registered)
    ] + [
        warning
        for account in accounts
        for warning in (*_open_roles(account), *_loose_subjects(account))
    ]


def _loose_subjects(account: AccountTemplate) -> Iterator[str]:
    for spec in account.specs(ROLES) or ():
        trust = parse_policy(spec.properties[TRUST], PolicyKind.TRUST)
        for statement in trust.statements:
            for pattern in find_loose_subjects(statement):
                place = f"{account.place}.{ROLES.section}.{ROLES.name_of(spec)}"
                yield f"{place}: {LOOSE_SUBJECT.format(pattern=pattern)}"


def _open_roles(account: AccountTemplate) -> Iterator[str]:
    trust = {
        iam_arn(
            account.account, "role{Path}{RoleName}".format(**role.properties)
        ): role.properties[TRUST]
        for role in account.specs(ROLES) or ()
    }
    for spec in account.specs(OIDC_PROVIDERS) or ():
        entry, named = spec.properties, OIDC_PROVIDERS.name_of(spec)
        said = (account.account, named, entry["ClientIdList"], entry["Broker"], trust)
        for text, remedy in find_open_roles(*said):
            yield f"{account.place}.OIDCProviders.{entry['Url']}: {text}; {remedy}"


def _documents(account: AccountTemplate) -> Iterator[tuple[str, str, PolicyKind]]:
    for kind in KINDS:
        for spec in account.specs(kind) or ():
            place, said = f"{kind.section}.{kind.name_of(spec)}", spec.properties
            if kind in {MANAGED_POLICIES, RESOURCE_POLICIES}:
                resource = kind is RESOURCE_POLICIES
                grammar = PolicyKind.RESOURCE if resource else PolicyKind.IDENTITY
                yield place, said["PolicyDocument"], grammar
            for name, document in said.get(POLICIES, {}).items():
                yield f"{place}.{name}", document, PolicyKind.IDENTITY
    for control in ControlKind:
        for policy in account.controls.get(control, ()):
            yield f"Broker.{control}.{policy.name}", policy.text, control.grammar


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


def apply(  # noqa: PLR0917  # options, which the command line names
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The YAML file; - reads it from stdin."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the changes without making them.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is not in the file.")
    ] = False,
    yes: YesOption = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only say what is wrong in the file, by the broker's settings; no"
            " database is opened.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make accounts match a file; applying it again changes nothing.

    Every fault of the file is told in one run, and then nothing is changed.
    """
    text = _read(file)
    if check:
        _check(file, text)
        return
    progress = Progress("Comparing" if dry_run else "Applying")

    async def work(
        installation: "Installation", *, dry_run: bool = dry_run
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
        if not dry_run and any(
            change.kind is ChangeKind.CREATE and "provider" in change.entity.lower()
            for change in changes
        ):
            # Imported here: it brings an HTTP client.
            from broker.cli.provider_checks import probe_new_providers  # noqa: PLC0415

            probed = await probe_new_providers(
                installation.settings, installation.stores, installation.clock, now
            )
        return warnings, changes, probed

    try:
        if prune and not dry_run and may_ask(yes=yes):
            _, changes, _ = with_installation(partial(work, dry_run=True))
            progress.end()
            _ask_to_delete(changes)
        warnings, changes, probed = with_installation(work)
    except TemplateError as error:
        progress.end()
        _say_faults(file, text, error)
        raise typer.Exit(1) from error
    took = f"{progress.end():.1f} s"
    _say_warnings(warnings)
    _say_changes(changes, as_json=as_json)
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


def _ask_to_delete(changes: list[Change]) -> None:
    deleted = [change for change in changes if change.kind is ChangeKind.DELETE]
    if deleted:
        for change in deleted:
            say(*change.lines, colour=_COLOURS[change.kind], err=True)
        require_consent(f"{len(deleted):,} will be deleted.", yes=False)


def _say_changes(changes: list[Change], *, as_json: bool) -> None:
    for change in changes:
        if as_json:
            say_json(_described(change))
        else:
            say(*change.lines, colour=_COLOURS.get(change.kind))


def _described(change: Change) -> dict[str, object]:
    return {
        "AccountId": change.account,
        "Change": change.kind.name.capitalize(),
        "Entity": change.entity,
        "Differences": list(change.details),
    }


def _check(file: str, text: str) -> None:
    now = SystemClock().now().replace(microsecond=0)
    context = template_context(load_settings())
    try:
        warnings = asyncio.run(find_template_warnings(text, context, now, None))
    except TemplateError as error:
        _say_faults(file, text, error)
        raise typer.Exit(1) from error
    _say_warnings(warnings)
    say(
        f"{file} is a template. Whether what it names exists is only known where it is"
        " applied: `broker apply --dry-run`.",
        err=True,
    )


def _say_faults(file: str, text: str, error: TemplateError) -> None:
    say(*(f"broker: {file}: {line}" for line in with_lines(text, error)), err=True)


def _say_warnings(warnings: list[str]) -> None:
    for warning in warnings:
        say(f"? {warning}", colour=typer.colors.YELLOW, err=True)


def export(account: OwnerOption, as_json: OneJsonOption = False) -> None:
    """Print an account as YAML for `broker apply`, without secrets."""

    async def work(installation: "Installation") -> None:
        directory = installation.stores.directory
        exported = await directory.find(ACCOUNT, account)
        if exported is None:
            raise NoSuchEntity(f"There is no account {account}.")
        if as_json:
            say_json(await account_data(directory, exported))
            return
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
