"""``broker instances``: machines, their join tokens and instance profiles."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import typer

from broker.cli.bearer_tokens import AddressOption, change_tokens
from broker.cli.operator import (
    JsonOption,
    read_account_id,
    record_change,
    require_known,
    with_services,
)
from broker.cli.terminal import say, say_entries, say_json
from broker.compose.services import Services
from broker.kinds import instances as rules
from broker.kinds.bearer_tokens import JOIN_TOKENS, Owner, owning_profile
from broker.kinds.instances import require_instance_profile
from broker.model.account import AccountId
from broker.model.machines import Instance
from broker.model.page import read_pages
from broker.sessions.revoke import revoke_for_good
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.reports import list_uses

app = typer.Typer(help="Machines and their instance profiles.", no_args_is_help=True)

_OPERATOR = "operator"
_HEADINGS = ("Instance", "Profile", "Registered", "Last used", "Registered with")
_PAGE = 500

IdArgument = Annotated[
    str, typer.Argument(metavar="INSTANCE", help="The instance, i-….")
]
AccountOption = Annotated[
    str, typer.Option("--account", parser=read_account_id, help="The account number.")
]


@app.command("list")
def list_instances(
    account: Annotated[
        str | None,
        typer.Option("--account", parser=read_account_id, help="Only this account's."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the machines."""

    async def work(services: Services) -> list[dict[str, Any]]:
        directory = services.stores.directory
        if account is None:
            accounts = [
                account.account_id for account in await list_accounts(directory)
            ]
        else:
            known = await require_known(directory, AccountId(account))
            accounts = [known.account_id]
        return [
            row
            for account_id in accounts
            async for row in _rows(services, AccountId(account_id))
        ]

    say_entries(
        with_services(work),
        _HEADINGS,
        lambda item: (
            item["Arn"],
            item["InstanceProfileName"] or "-",
            item["Registered"],
            item["LastUsed"] or "never",
            item["RegisteredBy"],
        ),
        as_json=as_json,
    )


@app.command("join-token")
def join_token(
    profile: Annotated[
        str, typer.Argument(metavar="PROFILE", help="The instance profile's name.")
    ],
    account: AccountOption,
    seconds: Annotated[
        int, typer.Option(help="How long it is valid.")
    ] = JOIN_TOKENS.default,
    address: AddressOption = None,
) -> None:
    """Create a token with which one machine can register, and print it once."""

    async def get_owner(change: DirectoryChange) -> Owner:
        instance_profile = await require_instance_profile(
            change, AccountId(account), profile
        )
        return owning_profile(instance_profile, created_by=_OPERATOR)

    async def work(services: Services) -> dict[str, str]:
        return await change_tokens(
            JOIN_TOKENS, services, get_owner, account, seconds, address
        )

    say_json(with_services(work))


@app.command()
def associate(
    instance: IdArgument,
    account: AccountOption,
    profile: Annotated[
        str, typer.Argument(metavar="[PROFILE]", help="The instance profile.")
    ] = "",
    detach: Annotated[
        bool, typer.Option("--detach", help="Remove the current one.")
    ] = False,
) -> None:
    """Set a machine's instance profile, or remove it."""
    if bool(profile) == detach:
        raise typer.BadParameter("pass either PROFILE or --detach")

    async def apply(change: DirectoryChange, known: Instance, _: Services) -> str:
        instance_profile = None
        if profile:
            instance_profile = await require_instance_profile(
                change, known.account, profile
            )
        await rules.associate_profile(change, known, instance_profile)
        verb, named, has = "Disassociate", dict[str, str](), "no profile"
        if instance_profile:
            verb, named = "Associate", {"InstanceProfileName": instance_profile.name}
            has = instance_profile.arn
        await record_change(
            *(change, f"{verb}InstanceProfile", known.account, known.arn),
            InstanceId=known.instance_id,
            **named,
        )
        return f"{known.instance_id} has {has}."

    _change(instance, account, apply)


@app.command()
def end(instance: IdArgument, account: AccountOption) -> None:
    """End a machine: its credentials stop working, and it gets no new ones."""

    async def apply(change: DirectoryChange, known: Instance, made: Services) -> str:
        await change.remove(INSTANCE, known)
        await revoke_for_good(
            change,
            account=known.account,
            target=known.instance_id,
            now=made.clock.now(),
            reason="the instance was ended",
        )
        await record_change(
            *(change, "EndInstance", known.account, known.arn),
            InstanceId=known.instance_id,
        )
        return f"{known.instance_id} was ended."

    _change(instance, account, apply)


def _change(
    instance: str,
    account: str,
    apply: Callable[[DirectoryChange, Instance, Services], Awaitable[str]],
) -> None:
    async def work(services: Services) -> str:
        owner = AccountId(account)
        async with services.stores.directory.change(owner) as change:
            await require_known(change, owner)
            known = await rules.require_instance(change, owner, instance)
            return await apply(change, known, services)

    say(with_services(work))


async def _rows(
    services: Services, account: AccountId
) -> AsyncIterator[dict[str, Any]]:
    directory = services.stores.directory
    async for page in read_pages(partial(directory.page_of, INSTANCE, account), _PAGE):
        ids = [item.instance_id for item in page]
        uses = await list_uses(directory, account, ids) if ids else ()
        used = {use.subject: use.at for use in reversed(uses)}
        for instance in page:
            profile = None
            if instance.profile_id is not None:
                profile = await directory.find(
                    INSTANCE_PROFILE, account, instance.profile_id
                )
            at = used.get(instance.instance_id)
            yield {
                "InstanceId": instance.instance_id,
                "Arn": instance.arn,
                "InstanceProfileName": profile.name if profile else None,
                "Registered": instance.registered_at.isoformat(timespec="seconds"),
                "LastUsed": at.isoformat(timespec="seconds") if at else None,
                "RegisteredBy": instance.registered_by,
            }
