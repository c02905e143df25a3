"""``broker services``: registered services, their definitions and tokens."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli import bearer_tokens as tokens
from broker.cli.operator import (
    JsonOption,
    read_account_id,
    read_definition_file,
    record_change,
    require_known,
    with_services,
)
from broker.cli.terminal import say, say_entries, say_json
from broker.compose.services import Services
from broker.kinds import registered_services as rules
from broker.kinds.bearer_tokens import SERVICE_TOKENS, Owner, owning_service
from broker.model.account import AccountId
from broker.model.registered import RegisteredService
from broker.stores.directory.accounts import read_everywhere
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryChange

app = typer.Typer(
    help="Services that ask the broker for decisions.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The service.")]
AccountOption = Annotated[
    str, typer.Option("--account", parser=read_account_id, help="The account number.")
]
_HEADINGS = ("Service", "Counts as", "Tokens")


@app.command("list")
def list_services(as_json: JsonOption = False) -> None:
    """List the services of all accounts."""

    async def work(services: Services) -> list[dict[str, Any]]:
        directory = services.stores.directory
        matches = []
        async for service in read_everywhere(directory, SERVICE):
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
def show(name: NameArgument, account: AccountOption) -> None:
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
    account: AccountOption,
    file: Annotated[
        Path | None,
        typer.Argument(help="The definition, YAML or JSON. Default: Hosts alone."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="A value of the Host header at which clients reach the service,"
            " in place of a file; repeatable."
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the service and its tokens.")
    ] = False,
) -> None:
    """Register a service or change its definition."""
    if (file is not None) + bool(host) + delete > 1:
        raise typer.BadParameter("pass one of FILE, --host and --delete")
    text = json.dumps({"Hosts": host} if host else {})
    if file is not None:
        text = read_definition_file(file)

    async def work(services: Services) -> str:
        owner = AccountId(account)
        async with services.stores.directory.change(owner) as change:
            known = await require_known(change, owner)
            view = {"ServiceName": name}
            if delete:
                service = await rules.require_service(change, owner, name)
                await change.remove(SERVICE, service)
                action, said = "DeleteService", f"{service.arn} was deleted."
            else:
                now = services.clock.now().replace(microsecond=0)
                service = await rules.put_service(change, known, name, text, now)
                action, said = "PutService", service.arn
                view["Definition"] = service.definition
            await record_change(change, action, owner, service.arn, **view)
        return said

    say(with_services(work))


@app.command()
def token(
    name: NameArgument,
    account: AccountOption,
    days: tokens.DaysOption = SERVICE_TOKENS.default,
    address: tokens.AddressOption = None,
    revoke: tokens.RevokeOption = "",
) -> None:
    """Create a token for a service or its proxy, and print it once."""

    async def get_owner(change: DirectoryChange) -> Owner:
        service = await rules.require_service(change, AccountId(account), name)
        return owning_service(service)

    async def work(services: Services) -> dict[str, str]:
        return await tokens.change_tokens(
            SERVICE_TOKENS, services, get_owner, account, days, address, revoke
        )

    say_json(with_services(work))


def _described(service: RegisteredService) -> dict[str, Any]:
    return {
        "Arn": service.arn,
        "ServiceName": service.name,
        "Definition": json.loads(service.definition),
    }
