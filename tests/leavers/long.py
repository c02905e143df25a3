"""The whole table, by the programs themselves, and what is sampled with two nodes."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from broker.cli.terminal import say
from tests.leavers import page
from tests.leavers.cells import find_faults
from tests.leavers.directories import running_directories
from tests.leavers.gateway import definition, running_gateway
from tests.leavers.keycloak import running_keycloak
from tests.leavers.table import Cells, Filled, fill
from tests.leavers.ways import PROMISE_SECONDS, WAYS, Way
from tests.leavers.world import (
    DIRECTORIES,
    Account,
    World,
    ldap_provider,
    number_of,
    running,
)
from tests.support.programs import installed
from tests.support.servers import find_free_port

BOUND = 5
"""Times the promise: then a cell counts as alive. What is accepted later than the promise
itself is a fault."""

SAMPLED = (
    *("user_deleted", "key_deactivated", "subject_revoked", "saml_provider_deleted"),
    *("scim_deactivated", "logged_out_by_sid", "console_signed_out"),
    *("portal_signed_out", "anchor_deleted", "instance_ended"),
)
"""Rows for two nodes on PostgreSQL and Redis."""

_ASKED_AT_ONCE = 8


def run(text: str) -> list[str]:
    """Fill the rows whose names contain a text; all of them go to the page.

    Returns what is not as it must be, in words.
    """
    ways = [way for way in WAYS.values() if text in way.name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # servers of other users have files in it
        told, faults = fill_by_programs(folder / "programs", ways)
        sampled = [way for way in ways if way.name in SAMPLED]
        faults += fill_two_nodes(folder / "nodes", sampled) if sampled else []
    rows = {way.name: told[way.name] for way in ways if way.name in told}
    faults += find_faults(rows)
    if text:
        say(*(f"{way}: {cells}" for way, cells in rows.items()))
    elif set(rows) == set(WAYS) and not faults:
        page.write(rows, _notes(rows, time.monotonic() - began))
    return faults


def fill_by_programs(
    folder: Path, ways: Sequence[Way]
) -> tuple[dict[str, Cells], list[str]]:
    """All rows on one broker, and whatever came back when it started again."""
    folder.mkdir()
    rows: dict[str, Cells] = {}
    faults: list[str] = []
    with _running_programs(folder, ways) as world:
        asked = [way for way in ways if way.asked_seconds]
        others = [way for way in ways if not way.asked_seconds]
        both = [
            fill(world, others, BOUND),
            fill(world, asked, BOUND, at_once=_ASKED_AT_ONCE),
        ]
        world.restart()
        for filled in both:
            rows |= filled.cells
            faults += filled.failures + _returned("a restart", filled)
    return rows, faults


def fill_two_nodes(folder: Path, ways: Sequence[Way]) -> list[str]:
    """What is alive at either of two nodes, or again without Redis, or once more."""
    folder.mkdir()
    with running(folder, nodes=2) as world:
        world.lay_out({way.name: (way.origin, way.options) for way in ways})
        world.settle()
        filled = fill(world, ways, BOUND)
        world.empty_cache()
        faults = filled.failures + _returned("Redis was emptied", filled)
        with world.lost_cache():
            faults += _returned("Redis was lost", filled)
        world.restart()
        faults += _returned("a restart of both nodes", filled)
    return faults + [f"two nodes: {fault}" for fault in find_faults(filled.cells)]


def _returned(after: str, filled: Filled) -> list[str]:
    return [f"{cell} came back after {after}" for cell in filled.find_returned()]


@contextmanager
def _running_programs(folder: Path, ways: Sequence[Way]) -> Iterator[World]:
    needed = {way.needs for way in ways}
    socket = folder / "private.sock"
    settings: dict[str, str] = {}
    reached: list[str] = []
    with ExitStack() as stack:
        keycloak = directories = None
        if "Keycloak" in needed:
            keycloak = stack.enter_context(running_keycloak(folder))
            reached.append(keycloak.url.removeprefix("http://"))
        if needed & {"slapd", "Samba"}:
            at_api = [
                ldap_provider(number_of(row))
                for row, way in enumerate(ways)
                if way.origin in DIRECTORIES
            ]
            directories = stack.enter_context(
                running_directories(folder, at_api, with_samba="Samba" in needed)
            )
            settings["directories_file"] = str(directories.file)
        world = stack.enter_context(
            running(
                folder,
                options=("--private-socket", str(socket)),
                reached=reached,
                **settings,
            )
        )
        world.keycloak, world.directories = keycloak, directories
        world.helper = installed("aws_signing_helper")
        world.homes = folder / "homes"

        def prepare(accounts: Mapping[str, Account]) -> None:
            for account in accounts.values():
                account.host = f"127.0.0.1:{find_free_port()}"
                account.services = [
                    {"ServiceName": "s3", "Definition": definition(account.host)}
                ]

        def gateway(account: Account) -> AbstractContextManager[object]:
            return running_gateway(account, socket, folder / account.number)

        world.beside = gateway
        layout = {way.name: (way.origin, way.options) for way in ways}
        world.lay_out(layout, prepare)
        world.settle()
        yield world


def _notes(rows: Mapping[str, Cells], seconds: float) -> list[str]:
    told, asked = (
        [
            seconds
            for way, cells in rows.items()
            for seconds in cells.values()
            if seconds is not None and bool(WAYS[way].asked_seconds) is is_asked
        ]
        for is_asked in (False, True)
    )
    return [
        f"{len(rows)} ways and {sum(map(len, rows.values())):,} things held,",
        f"in {seconds / 60:.0f} minutes. Where the broker is told, no use that began",
        f"more than {PROMISE_SECONDS:.0f} seconds later was accepted, of {len(told):,}",
        f"things; the last was refused after {max(told):.1f}. Where it must ask,",
        f"no use was accepted that began more than {PROMISE_SECONDS:.0f} seconds after",
        f"the end of the interval, of {len(asked):,} things; the last was refused",
        f"after {max(asked):.1f}.",
        "Nothing came back after a restart; nor, for",
        f"{len(SAMPLED)} ways with two nodes on PostgreSQL and Redis, at the other node,",
        "when Redis was emptied or lost, or after a restart of both.",
    ]
