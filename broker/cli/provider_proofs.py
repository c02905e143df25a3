"""``broker providers test``: test a proof and show the result of each check."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.operator import with_services
from broker.cli.providers import ArnArgument, read_account, require_provider
from broker.cli.terminal import say, say_json
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.model.secret import Secret
from broker.proofs.diagnosis import State, is_good
from broker.proofs.ldap.dry_run import LdapDryRun
from broker.proofs.proof_dry_run import DryRunResult, ProofDryRun

if TYPE_CHECKING:
    from broker.compose.services import Services

_MARKS = {
    State.HELD: ("ok", typer.colors.GREEN),
    State.FAILED: ("FAIL", typer.colors.RED),
    State.UNFINISHED: ("…", None),
    State.NOT_REACHED: ("-", None),
}


def try_proof(  # noqa: PLR0917  # options, which the command line names
    arn: ArnArgument,
    saml_response: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A SAMLResponse form field or its XML; - for stdin."
        ),
    ] = None,
    token: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An ID token; - for stdin.")
    ] = None,
    user: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="A person's name in the provider's directory."
        ),
    ] = "",
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file with that person's password; - for stdin."
        ),
    ] = None,
    at: Annotated[
        str, typer.Option(metavar="TIME", help="Evaluate at this time (ISO 8601, UTC).")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="As one JSON object.")
    ] = False,
) -> None:
    """Test a proof: show what was found, what was expected and what to change.

    No credentials are issued, and the proof is not used up. For a directory: try each
    of its servers, and look a person up (--user, and --password-file if the password
    is to be tried, too).
    """
    path = saml_response or token
    is_ldap = ":ldap-provider/" in arn
    if not is_ldap and (path is None or (saml_response and token)):
        raise typer.BadParameter("pass either --saml-response or --token")
    text = _read(path) if path else ""
    password = Secret(_read(password_file).rstrip("\r\n")) if password_file else None
    when = _read_time(at)

    async def work(services: "Services") -> DryRunResult:
        provider = await require_provider(
            services.stores.directory, read_account(arn), arn
        )
        if isinstance(provider, LdapProvider):
            return await _try_directory(services, provider, user, password)
        dry_run = ProofDryRun(services.federated, services.web_identity)
        now = when or services.clock.now()
        if isinstance(provider, SamlProvider) and saml_response:
            return await dry_run.try_response(provider, text, now)
        if isinstance(provider, OidcProvider) and token:
            return await dry_run.try_token(provider, text, now)
        raise typer.BadParameter(f"{arn} takes the other kind of proof")

    outcome = with_services(work)
    if as_json:
        say_json(_describe(outcome))
    else:
        _show(outcome)
    if not is_good(outcome.checks):
        raise typer.Exit(1)


async def _try_directory(
    services: "Services", provider: LdapProvider, user: str, password: Secret | None
) -> DryRunResult:
    dry_run = LdapDryRun(services.ldap.people_of(provider))
    await dry_run.try_servers()
    if user:
        await dry_run.try_person(provider, user, password, services.clock.now())
    proof = dry_run.proof
    return DryRunResult(
        tuple(dry_run.checks),
        proof.identity if proof else None,
        proof.roles if proof else (),
    )


def _show(outcome: DryRunResult) -> None:
    for check in outcome.checks:
        mark, colour = _MARKS[check.state]
        say(f"{mark:<4} {check.title}", colour=colour)
        if check.state is State.FAILED:
            say(f"       found:  {check.found}", f"       change: {check.advice}")
    identity = outcome.identity
    if identity is not None:
        say("", f"subject: {identity.subject}")
        for name, values in sorted(identity.context.items()):
            say(f"  {name} = {', '.join(values)}")
        for key, value in sorted(identity.tags.items()):
            say(f"  tag {key} = {value}")
        for role in outcome.role_arns:
            say(f"  may assume {role}")
        if not outcome.role_arns:
            say("  names no role; check the roles attribute, or GroupRoles")


def _describe(outcome: DryRunResult) -> dict[str, object]:
    identity = outcome.identity
    return {
        "Checks": [
            {
                "Check": check.title,
                "State": check.state.value,
                "Found": check.found,
                "Change": check.advice,
            }
            for check in outcome.checks
        ],
        "Subject": identity.subject if identity else None,
        "Roles": list(outcome.role_arns),
    }


def _read(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read") from error


def _read_time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a time such as 2026-01-31T12:00Z"
        ) from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
