"""``broker policy``: what is wrong with policies, what a change adds, what is never granted.

The files are read where the command runs; there is no installation behind it. It exits
with 0 if there is nothing to tell, with 1 if there is, and with 2 if it cannot be told.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import CommandApp
from broker.cli.policy_files import (
    TextFile,
    TextType,
    get_kind,
    read_policy_file,
)
from broker.cli.policy_reports import (
    PolicyReport,
    report_finding,
    report_reason,
    say_reports,
    say_sarif,
)
from broker.cli.terminal import say, say_json
from broker.model.account import AccountId
from broker.policy import (
    PolicyKind,
    PolicyRejected,
    PolicySet,
    compile_policies,
    parse_policy,
)
from broker.policy.findings import FindingKind, Subject, validate
from broker.policy.grammar import has_arn_format
from broker.policy.places import find_place
from broker.policy.proofs import (
    Reasons,
    access_not_granted,
    no_new_access,
    no_public_access,
)
from broker.runtime.offload import run_steps

if TYPE_CHECKING:
    from broker.policy.catalogue import ServiceEntry

app = CommandApp(help="Checks of policies in files.", no_args_is_help=True)

FilesArgument = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="Files with a policy each; - for stdin."),
]
TypeOption = Annotated[
    TextType,
    typer.Option("--type", help="The kind of policy; auto looks at the text."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
SarifOption = Annotated[
    bool, typer.Option("--sarif", help="One log of SARIF 2.1.0, for code scanning.")
]
_ACCOUNT = AccountId("123456789012")
_REGION = "us-east-1"
"""Of ARNs that a definition leaves open."""


@app.command()
def check(
    files: FilesArgument,
    *,
    policy_type: TypeOption = TextType.AUTO,
    definitions: Annotated[
        list[str] | None,
        typer.Option(
            "--service",
            metavar="NAME=FILE",
            help="A registered service that policies name, and its definition.",
        ),
    ] = None,
    fail_on: Annotated[
        FindingKind,
        typer.Option(
            case_sensitive=False, help="Exit with 1 for findings as bad as this."
        ),
    ] = FindingKind.SECURITY_WARNING,
    as_json: JsonOption = False,
    sarif: SarifOption = False,
) -> None:
    """List what is wrong with policies, what they let in, and what could be better."""
    _check_formats(as_json=as_json, sarif=sarif)
    own = _read_services(definitions or [])
    reports = []
    for file in map(read_policy_file, files):
        kind = get_kind(policy_type, [file.text])
        findings = run_steps(validate(Subject(file.text, kind, own)))
        reports += [report_finding(file.name, file.text, f) for f in findings]
    bad = list(FindingKind)[: list(FindingKind).index(fail_on) + 1]
    _say(reports, as_json=as_json, sarif=sarif)
    if any(report.kind in bad for report in reports):
        raise typer.Exit(1)


@app.command()
def diff(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD", help="The policy before; an empty file if there was none."
        ),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The policy after.")],
    *,
    policy_type: TypeOption = TextType.AUTO,
    as_json: JsonOption = False,
    sarif: SarifOption = False,
) -> None:
    """Say what a policy grants that another does not, with a request for each Allow."""
    _check_formats(as_json=as_json, sarif=sarif)
    before, after = read_policy_file(old), read_policy_file(new)
    kind = get_kind(policy_type, [before.text, after.text])
    nothing = compile_policies([])
    existing = _parse(before, kind) if before.text.strip() else nothing
    changed = _parse(after, kind)
    reports = _answers(after, "NEW_ACCESS", no_new_access(changed, existing))
    _say(reports, as_json=as_json, sarif=sarif)
    _end(reports, "Grants nothing new.", quiet=as_json or sarif)


@app.command()
def prove(
    files: FilesArgument,
    *,
    actions: Annotated[
        list[str] | None,
        typer.Option(
            "--action", metavar="ACTION", help="No Allow may grant it; iam:* for all."
        ),
    ] = None,
    resources: Annotated[
        list[str] | None,
        typer.Option("--resource", metavar="ARN", help="No Allow may reach it."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--no-public", help="No Allow may be for the public.")
    ] = False,
    policy_type: TypeOption = TextType.AUTO,
    as_json: JsonOption = False,
    sarif: SarifOption = False,
) -> None:
    """Prove that policies never grant something, or show a request that they allow."""
    _check_formats(as_json=as_json, sarif=sarif)
    asked = _read_access(actions or [], resources or [])
    if not asked and not public:
        raise typer.BadParameter("Name an --action or --resource, or say --no-public.")
    questions: list[tuple[str, Callable[[PolicySet], Reasons]]] = []
    if asked:
        questions.append(("ACCESS_GRANTED", lambda of: access_not_granted(of, asked)))
    if public:
        questions.append(("PUBLIC_ACCESS", no_public_access))
    reports: list[PolicyReport] = []
    for file in map(read_policy_file, files):
        kind = get_kind(policy_type, [file.text])
        if public and kind in {PolicyKind.IDENTITY, PolicyKind.CONTROL}:
            raise typer.BadParameter(
                f"{file.name}: --no-public is for policies with a Principal."
            )
        policies = _parse(file, kind)
        for code, ask in questions:
            reports += _answers(file, code, ask(policies))
    _say(reports, as_json=as_json, sarif=sarif)
    _end(reports, "Proved: no such request is granted.", quiet=as_json or sarif)


def _read_services(definitions: Sequence[str]) -> "dict[str, ServiceEntry]":
    """The services of ``NAME=FILE``.

    Raises:
        typer.BadParameter: a definition breaks the rules.
    """
    if not definitions:
        return {}
    # Imported here: few policies are about services of one's own.
    from pathlib import Path  # noqa: PLC0415

    from broker.cli.operator import read_definition_file  # noqa: PLC0415
    from broker.kinds.service_catalogue import service_entries  # noqa: PLC0415

    results: dict[str, ServiceEntry] = {}
    for words in definitions:
        name, equals, file = words.partition("=")
        if not equals:
            raise typer.BadParameter(f"{words}: write NAME=FILE.")
        text = read_definition_file(Path(file))
        entries = service_entries([(name, text)], account=_ACCOUNT, region=_REGION)
        if not entries:
            raise typer.BadParameter(
                f"{file}: it declares no actions, or breaks rules."
            )
        results.update(entries)
    return results


def _read_access(
    actions: Sequence[str], resources: Sequence[str]
) -> list[tuple[Sequence[str], Sequence[str]]]:
    for action in actions:
        if action != "*" and not all(action.partition(":")):
            raise typer.BadParameter(f"{action}: write an action as service:Name.")
    for resource in resources:
        if resource != "*" and not has_arn_format(resource):
            raise typer.BadParameter(f"{resource} is not an ARN.")
    return [(actions, resources)] if actions or resources else []


def _parse(file: TextFile, kind: PolicyKind) -> PolicySet:
    """The policy of a file.

    Raises:
        typer.BadParameter: it breaks the grammar.
    """
    try:
        return compile_policies([("", parse_policy(file.text, kind))])
    except PolicyRejected as error:
        span = find_place(file.text, error)
        place = "" if span is None else f":{span.start.line}:{span.start.column}"
        raise typer.BadParameter(
            f"{file.name}{place}: {error.message} `broker policy check` lists all of it."
        ) from error


def _answers(file: TextFile, code: str, question: Reasons) -> list[PolicyReport]:
    reasons = run_steps(question)
    return [report_reason(file.name, file.text, code, reason) for reason in reasons]


def _check_formats(*, as_json: bool, sarif: bool) -> None:
    if sarif and as_json:
        raise typer.BadParameter("Say --json or --sarif, not both.")


def _say(reports: Sequence[PolicyReport], *, as_json: bool, sarif: bool) -> None:
    if sarif:
        say_sarif(reports)
    elif as_json:
        for report in reports:
            say_json(report.entry)
    else:
        say_reports(reports)


def _end(reports: Iterable[PolicyReport], words: str, *, quiet: bool) -> None:
    if any(True for _ in reports):
        raise typer.Exit(1)
    if not quiet:
        say(words)
