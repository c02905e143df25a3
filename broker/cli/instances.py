"""``broker instances``: machines, their join tokens and instance profiles."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import typer

from broker.cli.bearer_tokens import AddressOption, create_token
from broker.cli.commands import CommandApp, say_renamed
from broker.cli.operator import (
    AccountOption,
    AlwaysJsonOption,
    JsonOption,
    OneJsonOption,
    OwnerOption,
    YesOption,
    record_change,
    require_consent,
    require_known,
    with_services,
)
from broker.cli.terminal import say_entries, say_json, say_result
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

app = CommandApp(help="Machines and their instance profiles.", no_args_is_help=True)

_OPERATOR = "operator"
_HEADINGS = ("Instance", "Profile", "Registered", "Last used", "Registered with")
_PAGE = 500

IdArgument = Annotated[
    str, typer.Argument(metavar="INSTANCE", help="The instance, i-….")
]


@app.command("list")
def list_instances(
    account: AccountOption = None,
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
    account: OwnerOption,
    seconds: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long it is valid.")
    ] = JOIN_TOKENS.default,
    address: AddressOption = None,
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Create a token with which one machine can register, and print it once."""

    async def get_owner(change: DirectoryChange) -> Owner:
        instance_profile = await require_instance_profile(
            change, AccountId(account), profile
        )
        return owning_profile(instance_profile, created_by=_OPERATOR)

    async def work(services: Services) -> dict[str, str]:
        return await create_token(
            JOIN_TOKENS, services, get_owner, account, seconds, address
        )

    say_json(with_services(work))


@app.command()
def associate(
    instance: IdArgument,
    account: OwnerOption,
    profile: Annotated[
        str, typer.Argument(metavar="[PROFILE]", help="The instance profile.")
    ] = "",
    detach: Annotated[
        bool, typer.Option("--detach", help="Remove the current one.")
    ] = False,
    as_json: OneJsonOption = False,
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

    _change(instance, account, apply, as_json=as_json)


@app.command("show")
def show_instance(
    instance: IdArgument, account: OwnerOption, _as_json: AlwaysJsonOption = False
) -> None:
    """Print what is known of a machine."""

    async def work(services: Services) -> dict[str, Any]:
        await rules.require_instance(services.stores.directory, account, instance)
        rows = [row async for row in _rows(services, account)]
        return next(row for row in rows if row["InstanceId"] == instance)

    say_json(with_services(work), indent=2)


@app.command("delete")
def delete_instance(
    instance: IdArgument,
    account: OwnerOption,
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """End a machine: its credentials stop working, and it gets no new ones."""
    require_consent(f"The machine {instance} and its credentials will end.", yes=yes)

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

    _change(instance, account, apply, as_json=as_json)


@app.command(hidden=True)
def end(
    instance: IdArgument,
    account: OwnerOption,
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """End a machine: its credentials stop working, and it gets no new ones."""
    say_renamed("instances end", "instances delete")
    delete_instance(instance, account, yes=yes, as_json=as_json)


def _change(
    instance: str,
    account: str,
    apply: Callable[[DirectoryChange, Instance, Services], Awaitable[str]],
    *,
    as_json: bool,
) -> None:
    async def work(services: Services) -> str:
        owner = AccountId(account)
        async with services.stores.directory.change(owner) as change:
            await require_known(change, owner)
            known = await rules.require_instance(change, owner, instance)
            return await apply(change, known, services)

    sentence = with_services(work)
    say_result(
        {"AccountId": account, "InstanceId": instance}, sentence, as_json=as_json
    )


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
