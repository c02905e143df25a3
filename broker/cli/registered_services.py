"""``broker services``: registered services, their definitions and tokens."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli import bearer_tokens as tokens
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
from broker.cli.terminal import say_entries, say_json, say_result
from broker.compose.services import Services
from broker.kinds import registered_services as rules
from broker.kinds.bearer_tokens import SERVICE_TOKENS, Owner, owning_service
from broker.model.account import AccountId
from broker.model.registered import RegisteredService
from broker.stores.directory.accounts import read_everywhere
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryChange

app = CommandApp(
    help="Services that ask the broker for decisions.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The service.")]
_HEADINGS = ("Service", "Counts as", "Tokens")


@app.command("list")
def list_services(account: AccountOption = None, as_json: JsonOption = False) -> None:
    """List the services."""

    async def work(services: Services) -> list[dict[str, Any]]:
        directory = services.stores.directory
        matches = []
        async for service in read_everywhere(directory, SERVICE):
            if account not in {None, service.account}:
                continue
            tokens = await SERVICE_TOKENS.tokens_of(directory, owning_service(service))
            matches.append(_described(service) | {"Tokens": len(tokens)})
        return matches

    say_entries(
        with_services(work),
        _HEADINGS,
        lambda item: (
            item["Arn"],
            item["ServiceName"] if item["Definition"].get("Actions") else "execute-api",
            str(item["Tokens"]),
        ),
        as_json=as_json,
    )


@app.command()
def show(
    name: NameArgument, account: OwnerOption, _as_json: AlwaysJsonOption = False
) -> None:
    """Print a service's definition and its tokens, without the secrets."""

    async def work(services: Services) -> dict[str, Any]:
        directory = services.stores.directory
        service = await rules.require_service(directory, AccountId(account), name)
        owner = owning_service(service)
        results = await tokens.described_tokens(SERVICE_TOKENS, directory, owner)
        return _described(service) | {"Tokens": results}

    say_json(with_services(work), indent=2)


@app.command("set")
def set_definition(
    name: NameArgument,
    account: OwnerOption,
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The definition, YAML or JSON. Default: Hosts alone."
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="A value of the Host header at which clients reach the service,"
            " in place of a file; repeatable.",
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", hidden=True, help="`broker services delete`.")
    ] = False,
    as_json: OneJsonOption = False,
) -> None:
    """Register a service or change its definition."""
    if (file is not None) + bool(host) + delete > 1:
        raise typer.BadParameter("pass either FILE or --host")
    if delete:
        say_renamed("services set --delete", "services delete")
        delete_service(name, account, yes=False, as_json=as_json)
        return
    text = json.dumps({"Hosts": host} if host else {})
    if file is not None:
        text = read_definition_file(file)

    async def work(services: Services) -> str:
        owner = AccountId(account)
        async with services.stores.directory.change(owner) as change:
            known = await require_known(change, owner)
            now = services.clock.now().replace(microsecond=0)
            service = await rules.put_service(change, known, name, text, now)
            await record_change(
                *(change, "PutService", owner, service.arn),
                ServiceName=name,
                Definition=service.definition,
            )
        return service.arn

    arn = with_services(work)
    say_result({"Arn": arn, "ServiceName": name}, arn, as_json=as_json)


@app.command("delete")
def delete_service(
    name: NameArgument,
    account: OwnerOption,
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """Remove a service and its tokens."""
    require_consent(
        f"The service {name} of {account} and its tokens will end.", yes=yes
    )

    async def work(services: Services) -> str:
        async with services.stores.directory.change(account) as change:
            await require_known(change, account)
            service = await rules.require_service(change, account, name)
            await change.remove(SERVICE, service)
            await record_change(
                *(change, "DeleteService", account, service.arn), ServiceName=name
            )
        return service.arn

    arn = with_services(work)
    say_result(
        {"Arn": arn, "ServiceName": name}, f"{arn} was deleted.", as_json=as_json
    )


@app.command()
def token(
    name: NameArgument,
    account: OwnerOption,
    days: tokens.DaysOption = SERVICE_TOKENS.default,
    address: tokens.AddressOption = None,
    revoke: tokens.RevokeOption = "",
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Create a token for a service or its proxy, and print it once."""
    if revoke:
        say_renamed("services token --revoke", "services revoke-token")
        revoke_token(name, revoke, account)
        return
    get_owner = partial(_get_owner, account, name)
    say_json(
        with_services(
            lambda services: tokens.create_token(
                SERVICE_TOKENS, services, get_owner, account, days, address
            )
        )
    )


@app.command("revoke-token")
def revoke_token(
    name: NameArgument,
    token_id: tokens.TokenArgument,
    account: OwnerOption,
    yes: YesOption = False,
    _as_json: AlwaysJsonOption = False,
) -> None:
    """End a token of a service; `services show` lists them."""
    require_consent(f"The token {token_id} of {name} will end.", yes=yes)
    get_owner = partial(_get_owner, account, name)
    say_json(
        with_services(
            lambda services: tokens.revoke_token(
                SERVICE_TOKENS, services, get_owner, account, token_id
            )
        )
    )


async def _get_owner(account: AccountId, name: str, change: DirectoryChange) -> Owner:
    return owning_service(await rules.require_service(change, account, name))


def _described(service: RegisteredService) -> dict[str, Any]:
    return {
        "Arn": service.arn,
        "ServiceName": service.name,
        "Definition": json.loads(service.definition),
    }
