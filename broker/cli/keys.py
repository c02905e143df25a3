"""``broker keys``: the keys that seal session tokens and stored secrets."""

from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from broker.cli.commands import CommandApp
from broker.cli.operator import (
    JsonOption,
    OneJsonOption,
    YesOption,
    operator_entry,
    require_consent,
    say_written,
    with_installation,
)
from broker.cli.terminal import format_time, say, say_json, say_result, say_table
from broker.model.page import read_pages
from broker.model.sealing import KeyKind
from broker.sessions.keyring import encode_masters, new_master
from broker.sessions.keys import KeyListing
from broker.stores.directory.accounts import list_accounts

if TYPE_CHECKING:
    from broker.compose.installation import Installation

app = CommandApp(help="Sealing keys.", no_args_is_help=True)

_FOLLOWS_WITHIN = timedelta(seconds=1)
"""The time in which every process notices a change."""

_PAGE = 500
_HEADINGS = ("Key", "Kind", "State", "Use", "Created", "Seals from", "Refused from")


class RotatedKind(StrEnum):
    """The kinds of keys that ``rotate`` can rotate."""

    ALL = "all"
    SESSION = KeyKind.SESSION.value
    STORAGE = KeyKind.STORAGE.value


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the keys and their current use; shows no secrets."""

    async def work(opened: "Installation") -> None:
        listing = opened.keyring.list()
        if as_json:
            for key in listing:
                say_json(asdict(key), default=_plain)
            return
        say_table(_HEADINGS, map(_row, listing))

    with_installation(work)


@app.command()
def rotate(
    kind: Annotated[RotatedKind, typer.Option(help="Which keys.")] = RotatedKind.ALL,
    as_json: JsonOption = False,
) -> None:
    """Add new keys, which start sealing in five seconds, on every node.

    Nothing ends: an old session key is accepted for another 36 hours, and running
    brokers reseal what an old storage key sealed before they drop it.
    """
    kinds = list(KeyKind) if kind is RotatedKind.ALL else [KeyKind(kind.value)]

    async def work(opened: "Installation") -> None:
        for each in kinds:
            key = await opened.keyring.rotate(opened.stores.database, each)
            await _record(opened, "RotateKeys", Kind=each.value, Key=key.number)
            say_result(
                {"Number": key.number, "Kind": each.value},
                f"Key {key.number} ({each}) starts sealing in five seconds.",
                as_json=as_json,
            )

    with_installation(work)


@app.command()
def revoke(
    number: Annotated[int, typer.Argument(metavar="N", help="The key's number.")],
    yes: YesOption = False,
    as_json: OneJsonOption = False,
) -> None:
    """Revoke a key on every node within a second, and list what it protected.

    If it was the sealing key, a new one takes over. Sessions that it sealed end;
    secrets that it sealed must be replaced.
    """
    require_consent(f"What key {number} sealed will end on every node.", yes=yes)

    async def work(opened: "Installation") -> None:
        keyring = opened.keyring
        before = {key.number: key for key in keyring.list()}
        await keyring.revoke(opened.stores.database, number)
        kind = before[number].kind
        await _record(opened, "RevokeKey", Key=number, Kind=kind.value)
        sealed = (
            await _list_values(opened, number, as_json=as_json)
            if kind is KeyKind.STORAGE
            else await _list_sessions(opened, before[number])
        )
        say_result(
            {"Number": number, "Kind": kind.value, "Sealed": sealed},
            f"Key {number} ({kind}) was revoked, on every node within a second.",
            "It sealed these secrets, which must be replaced:"
            if kind is KeyKind.STORAGE
            else "It sealed these sessions, which have ended (as far as the cache"
            " knows):",
            *(f"  {entry}" for entry in sealed),
            as_json=as_json,
        )

    with_installation(work)


@app.command()
def rewrap(
    new: Annotated[
        bool,
        typer.Option(
            "--new",
            help="Change nothing; print a keyring with a new master key before the old.",
        ),
    ] = False,
    as_json: OneJsonOption = False,
) -> None:
    """Wrap all keys with the first master key of the keyring file.

    To replace the master key, put the output of `rewrap --new` in place of the file on
    every node: one without it cannot read the keys any more. Then run `rewrap` on one
    node, and take the old master key out of the files.
    """

    async def work(opened: "Installation") -> None:
        keyring = opened.keyring
        first, *others = keyring.masters
        if new:
            made = new_master()
            say(*encode_masters((made, first)).splitlines())
            say(
                f"Nothing has changed yet. Put this file in place of {keyring.path} on"
                " every node first, with mode 0600: a node whose file has no"
                f" {made.key_id} cannot start afterwards.",
                "Then run `broker keys rewrap` on one node.",
                err=True,
            )
            return
        await keyring.rewrap(opened.stores.database)
        await _record(opened, "RewrapKeys", MasterKey=first.key_id)
        say_result(
            {"MasterKey": first.key_id},
            f"All keys are wrapped with the master key {first.key_id}.",
            as_json=as_json,
        )
        if others:
            old = ", ".join(master.key_id for master in others)
            say(
                f"Every node must have {first.key_id} in its keyring, or it cannot start"
                f" again: `broker doctor` on each. Then take {old} out of all of them.",
                err=as_json,
            )

    with_installation(work)


async def _list_values(
    opened: "Installation", number: int, *, as_json: bool
) -> list[str]:
    from broker.compose.resealing import sealed_values  # noqa: PLC0415
    from broker.proofs.saml_request_key import RequestKeys, find_sealed_request_key  # noqa: PLC0415
    from broker.sessions.vault import key_number  # noqa: PLC0415

    values = [
        str(value)
        async for value in sealed_values(opened.stores.directory)
        if value.number == number
    ]
    database = opened.stores.database
    sealed = await find_sealed_request_key(database, opened.clock.now())
    if sealed is not None and key_number(sealed) == number:
        await RequestKeys(database, opened.vault, opened.clock).renew()
        await _record(opened, "RenewRequestKey")
        say(
            "The key that signs SAML requests was replaced. Give the new metadata to"
            " identity providers that verify requests.",
            err=as_json,
        )
    return values


async def _list_sessions(opened: "Installation", key: KeyListing) -> list[str]:
    """List the sessions in the cache that were issued while the key was sealing."""
    began = key.seals_from or key.created_at
    # A process that had not read the newer key yet used this one a little longer.
    ended = (key.seals_until or opened.clock.now()) + _FOLLOWS_WITHIN
    sessions = []
    for account in await list_accounts(opened.stores.directory):
        listed = partial(opened.stores.cache.list_sessions, account.account_id)
        async for page in read_pages(listed, _PAGE):
            for record in page:
                issued = record.issued_at_ms / 1000
                if began.timestamp() <= issued <= ended.timestamp():
                    sessions.append(f"{record.access_key_id} {record.principal_arn}")
    return sessions


async def _record(opened: "Installation", action: str, **parameters: object) -> None:
    entry = operator_entry(action, None, **parameters)
    await opened.stores.ledger.append(entry.complete())
    say_written(opened)


def _row(key: KeyListing) -> tuple[str, ...]:
    return (
        str(key.number),
        key.kind,
        key.state,
        key.use,
        format_time(key.created_at),
        format_time(key.seals_from) if key.seals_from else "",
        format_time(key.refused_from) if key.refused_from else "",
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
