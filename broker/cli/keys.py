"""``broker keys``: the keys that seal session tokens and stored secrets."""

import asyncio
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.operator import operator_entry, with_services
from broker.cli.terminal import say, say_json, say_table
from broker.cli.times import format_time
from broker.clock import SystemClock
from broker.model.page import read_pages
from broker.sessions.keyring import (
    CHECK_EVERY_SECONDS,
    drop_key,
    list_keys,
    revoke_key,
    rotate_keys,
)
from broker.sessions.keys import (
    SEALS_AFTER,
    KeyKind,
    KeyListing,
    KeyState,
    KeyUse,
)
from broker.sessions.vault import SealBrokenError, key_number
from broker.settings import load_settings

if TYPE_CHECKING:
    from broker.services import Services

app = typer.Typer(help="Sealing keys.", no_args_is_help=True)

_FOLLOWS_WITHIN = timedelta(seconds=2 * CHECK_EVERY_SECONDS)
"""The time in which every process notices a change of the keyring or directory."""

_PAGE = 500
_HEADINGS = ("Key", "Kind", "State", "Use", "Created", "Seals from", "Refused from")


class RotatedKind(StrEnum):
    """The kinds of keys that ``rotate`` can rotate."""

    ALL = "all"
    SESSION = KeyKind.SESSION.value
    STORAGE = KeyKind.STORAGE.value


@app.command("list")
def list_all(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line.")
    ] = False,
) -> None:
    """List the keys and their current use; shows no secrets."""
    settings = load_settings()
    listing = list_keys(settings.keyring, SystemClock(), settings.skew)
    if as_json:
        for key in listing:
            say_json(asdict(key), default=_plain)
        return
    say_table(
        _HEADINGS,
        (
            (
                str(key.number),
                key.kind,
                key.state,
                key.use,
                format_time(key.created_at),
                format_time(key.seals_from) if key.seals_from else "",
                format_time(key.refused_from) if key.refused_from else "",
            )
            for key in listing
        ),
    )


@app.command()
def rotate(
    kind: Annotated[RotatedKind, typer.Option(help="Which keys.")] = RotatedKind.ALL,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait", help="Wait until stored secrets are resealed."
        ),
    ] = True,
) -> None:
    """Add new keys, which start sealing after a minute.

    Sessions continue: an old session key is accepted for another 36 hours. Stored
    secrets are resealed and the old storage key is dropped; with --no-wait, run
    `broker keys reseal` for that. Console users must then sign in again.
    """
    kinds = list(KeyKind) if kind is RotatedKind.ALL else [KeyKind(kind.value)]

    async def work(services: "Services") -> None:
        path, clock = services.keyring.path, services.clock
        for each in kinds:
            key = rotate_keys(path, clock, each, services.settings.skew)
            say(f"Key {key.number} ({each}) starts sealing in a minute.")
            await _record(services, "RotateKeys", Kind=each.value, Key=key.number)
        if KeyKind.STORAGE not in kinds:
            return
        if not wait:
            say("Run `broker keys reseal` after a minute.")
            return
        say("Waiting until every process has the new key…", err=True)
        await asyncio.sleep((SEALS_AFTER + _FOLLOWS_WITHIN).total_seconds())
        await _reseal(services)

    with_services(work)


@app.command()
def reseal() -> None:
    """Reseal stored secrets with the newest key, and drop the keys it replaces."""
    with_services(_reseal)


@app.command()
def revoke(
    number: Annotated[int, typer.Argument(metavar="N", help="The key's number.")],
) -> None:
    """Revoke a key at once, and list what it protected.

    If it was the sealing key, a new one takes over. Sessions that it sealed end;
    secrets that it sealed must be replaced.
    """

    async def work(services: "Services") -> None:
        path, clock = services.keyring.path, services.clock
        skew = services.settings.skew
        before = {key.number: key for key in list_keys(path, clock, skew)}
        revoked = revoke_key(path, clock, number)
        await _record(services, "RevokeKey", Key=number, Kind=revoked.kind.value)
        say(f"Key {number} ({revoked.kind}) was revoked.")
        if revoked.kind is KeyKind.STORAGE:
            await _list_values(services, number)
        else:
            await _list_sessions(services, before[number])

    with_services(work)


async def _reseal(services: "Services") -> None:
    from broker.cli.resealing import reseal_all, sealed_values  # noqa: PLC0415

    keyring, clock, skew = services.keyring, services.clock, services.settings.skew
    listing = list_keys(keyring.path, clock, skew)
    if any(_is_storage(key, KeyUse.WAITING) for key in listing):
        say(
            "The newest storage key is not in use yet; try again in a minute.", err=True
        )
        raise typer.Exit(1)
    sealing, _ = keyring.sealing_key(KeyKind.STORAGE, clock.now())
    directory = services.stores.directory
    result = await reseal_all(directory, services.vault, sealing)
    await _reseal_request_key(services)
    say(f"Resealed: {result.changed}")
    for value in result.broken:
        say(f"Cannot be opened, replace it: {value}", err=True)
    # Other workers may still use values that they read a moment ago.
    await asyncio.sleep(_FOLLOWS_WITHIN.total_seconds())
    used = {value.number async for value in sealed_values(directory)}
    for key in listing:
        if _is_storage(key, KeyUse.OPENING) and key.number not in used:
            drop_key(keyring.path, clock, key.number)
            await _record(services, "DropKey", Key=key.number, Kind=key.kind.value)
            say(f"Dropped storage key {key.number}.")


async def _reseal_request_key(services: "Services") -> None:
    try:
        await services.request_keys.reseal()
    except SealBrokenError:
        await services.request_keys.renew()
        await _record(services, "RenewRequestKey")
        say(
            "The key that signs SAML requests could not be opened, so it was replaced."
            " Give the new metadata to identity providers that verify requests.",
            err=True,
        )


def _is_storage(key: KeyListing, use: KeyUse) -> bool:
    return (
        key.kind is KeyKind.STORAGE and key.state is KeyState.ACTIVE and key.use is use
    )


async def _list_values(services: "Services", number: int) -> None:
    from broker.cli.resealing import sealed_values  # noqa: PLC0415
    from broker.federation.saml_request_key import (  # noqa: PLC0415
        find_sealed_request_key,
    )

    say("It sealed these secrets, which must be replaced:")
    async for value in sealed_values(services.stores.directory):
        if value.number == number:
            say(f"  {value}")
    sealed = await find_sealed_request_key(
        services.stores.database, services.clock.now()
    )
    if sealed is not None and key_number(sealed) == number:
        say("  the key that signs SAML requests (`broker keys reseal`)")


async def _list_sessions(services: "Services", key: KeyListing) -> None:
    """List the sessions in the cache that were issued while the key was sealing."""
    began = key.seals_from or key.created_at
    # A process that had not reread the keyring yet used the key a little longer.
    ended = (key.seals_until or services.clock.now()) + _FOLLOWS_WITHIN
    say("It sealed these sessions, which have ended (as far as the cache knows):")
    for account in await services.stores.directory.list_accounts():
        listed = partial(services.stores.cache.list_sessions, account.account_id)
        async for page in read_pages(listed, _PAGE):
            for record in page:
                issued = record.issued_at_ms / 1000
                if began.timestamp() <= issued <= ended.timestamp():
                    say(f"  {record.access_key_id} {record.principal_arn}")


async def _record(services: "Services", action: str, **parameters: object) -> None:
    entry = operator_entry(action, None, **parameters)
    await services.stores.ledger.append(entry.complete())


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
