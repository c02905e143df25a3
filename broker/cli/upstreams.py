"""``broker upstreams``: other STS endpoints (AWS, Ceph, another broker) behind roles."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.commands import CommandApp, say_renamed
from broker.cli.operator import (
    AccountOption,
    AlwaysJsonOption,
    JsonOption,
    OneJsonOption,
    OwnerOption,
    YesOption,
    read_definition_file,
    record_change,
    require_consent,
    require_known,
    with_services,
)
from broker.cli.terminal import say_json, say_json_lines, say_result, say_table
from broker.cli.upstream_texts import UpstreamFailed
from broker.compose.services import Services
from broker.errors import BrokerError, NoSuchEntity
from broker.kinds import upstreams as rules
from broker.kinds.upstream_definition import UpstreamRejected, parse_upstream
from broker.model.account import AccountId
from broker.model.secret import Secret
from broker.model.upstream import Upstream
from broker.sessions.issue_upstream import NothingMintedError
from broker.stores.directory.accounts import read_everywhere
from broker.stores.directory.kinds import ROLE, UPSTREAM

app = CommandApp(
    help="Other STS endpoints that issue the credentials of roles.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The upstream.")]
_HEADINGS = ("Account", "Upstream", "Endpoint", "Method", "Roles")


@app.command("list")
def list_upstreams(account: AccountOption = None, as_json: JsonOption = False) -> None:
    """List the upstreams."""

    async def work(services: Services) -> list[Upstream]:
        every = read_everywhere(services.stores.directory, UPSTREAM)
        return [
            upstream async for upstream in every if account in {None, upstream.account}
        ]

    upstreams = with_services(work)
    if as_json:
        say_json_lines(map(_described, upstreams))
        return
    say_table(_HEADINGS, map(_row, upstreams))


@app.command("set")
def set_upstream(  # noqa: PLR0917  # a command's options
    name: NameArgument,
    account: OwnerOption,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The definition, YAML or JSON."),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", hidden=True, help="`broker upstreams delete`.")
    ] = False,
    access_key_id: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Give it this key pair; its secret is read from standard input.",
        ),
    ] = "",
    no_key: Annotated[
        bool, typer.Option("--no-key", help="Remove its key pair.")
    ] = False,
    as_json: OneJsonOption = False,
) -> None:
    """Create an upstream, change its definition, or set its key pair."""
    if sum(map(bool, (file, delete, access_key_id, no_key))) != 1:
        raise typer.BadParameter("pass one of FILE, --access-key-id and --no-key")
    if delete:
        say_renamed("upstreams set --delete", "upstreams delete")
        delete_upstream(name, account, yes=False, as_json=as_json)
        return
    text = "" if file is None else read_definition_file(file)
    secret = Secret(sys.stdin.readline().strip()) if access_key_id else None
    if secret is not None and not secret.reveal():
        raise typer.BadParameter("give the secret access key on standard input")

    async def work(services: Services) -> str:
        owner = AccountId(account)
        now = services.clock.now().replace(microsecond=0)
        async with services.stores.directory.change(owner) as change:
            known = await require_known(change, owner)
            if text:
                made = await rules.put_upstream(change, known, name, text, now)
                await record_change(
                    *(change, "PutUpstream", owner),
                    Upstream=name,
                    Definition=made.definition,
                )
                return f"The upstream {name} is set."
            upstream = await rules.require_upstream(change, owner, name)
            await rules.put_key_pair(
                change,
                upstream,
                access_key_id=access_key_id,
                secret=secret,
                sealer=services.vault,
                now=now,
            )
            await record_change(
                *(change, "PutUpstreamKeyPair", owner),
                Upstream=name,
                AccessKeyId=access_key_id,
            )
        return f"The upstream {name} has {access_key_id or 'no key pair'}."

    say_result(
        {"AccountId": account, "UpstreamName": name},
        with_services(work),
        as_json=as_json,
    )


@app.command("show")
def show_upstream(
    name: NameArgument, account: OwnerOption, _as_json: AlwaysJsonOption = False
) -> None:
    """Print an upstream's definition and key ID, without the secret."""

    async def work(services: Services) -> dict[str, Any]:
        directory = services.stores.directory
        return _described(await rules.require_upstream(directory, account, name))

    say_json(with_services(work), indent=2)


@app.command("delete")
def delete_upstream(
    name: NameArgument,
    account: OwnerOption,
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """Remove an upstream; what it issued stays valid there until it expires."""
    require_consent(f"The upstream {name} of {account} will be removed.", yes=yes)

    async def work(services: Services) -> None:
        async with services.stores.directory.change(account) as change:
            await require_known(change, account)
            upstream = await rules.require_upstream(change, account, name)
            await change.remove(UPSTREAM, upstream)
            await record_change(change, "DeleteUpstream", account, Upstream=name)

    with_services(work)
    say_result(
        {"AccountId": account, "UpstreamName": name},
        f"The upstream {name} was deleted.",
        as_json=as_json,
    )


@app.command("test")
def try_out(
    name: NameArgument,
    account: OwnerOption,
    role: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="A role of the account that uses this upstream."
        ),
    ],
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Get credentials for a role from an upstream, and show whose they are.

    ``Write`` is what its definition has to say of how it answers.
    """

    async def work(services: Services) -> dict[str, Any]:
        directory = services.stores.directory
        owner = AccountId(account)
        known = await require_known(directory, owner)
        covered = await directory.named(ROLE, owner, role)
        if covered is None:
            raise NoSuchEntity(f"The account {account} has no role {role}.")
        engine = await services.upstreams.find(covered)
        if engine is None or engine.upstream.name != name:
            raise NoSuchEntity(f"The upstream {name} does not cover the role {role}.")
        try:
            minted = await services.upstreams.try_out(
                engine, known, covered, services.clock.now()
            )
        except NothingMintedError as error:
            raise UpstreamFailed(error.error) from error
        except BrokerError as error:
            raise UpstreamFailed(error) from error
        names, is_named = engine.definition.names_sessions, minted.is_named
        return {
            "Arn": minted.arn,
            "AccessKeyId": minted.credentials.access_key_id,
            "Expiration": minted.credentials.expiration.isoformat(),
            "NamesSessions": is_named,
            **({} if names is is_named else {"Write": {"NamesSessions": is_named}}),
        }

    say_json(with_services(work))


def _row(upstream: Upstream) -> tuple[str, ...]:
    named = (upstream.account, upstream.name)
    try:
        definition = parse_upstream(upstream.definition)
    except UpstreamRejected as error:
        return *named, f"cannot be read: {error}", "", ""
    return *named, definition.endpoint, definition.method, ", ".join(definition.roles)


def _described(upstream: Upstream) -> dict[str, Any]:
    return {
        "Account": upstream.account,
        "UpstreamName": upstream.name,
        "Definition": json.loads(upstream.definition),
        "AccessKeyId": upstream.access_key_id,
    }
