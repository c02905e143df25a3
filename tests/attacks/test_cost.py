"""Whatever a caller makes larger, nobody else waits for it.

What strangers send grows as `docs/bounds.md` has it, with two workers, and what counts
is their processor time. Each axis of a signed request grows until it is refused or is
as large as it can be, and what counts is the longest callback of the event loop, for as
long nobody else is served: in units of work that are the same on every machine
(`tests.support.watched`).
"""

import importlib
import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

from broker.compose import app as composition
from broker.edges.doors import DOORS
from broker.proofs import upstream_client
from broker.protocols.oidc.discovery import parse_discovery
from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.x509.chain import verify_chain
from tests.scenarios.installation import CLIENT_ID, Installation
from tests.support import evidence
from tests.support.axes import (
    AXES,
    STRANGERS,
    Axis,
    Request,
    World,
    grow,
    narrow_session,
)
from tests.support.broker import ACCOUNT, Key, running_broker
from tests.support.doors import open_doors
from tests.support.effort import in_references
from tests.support.oidc_issuer import serving
from tests.support.servers import find_workers
from tests.support.signin import open_world
from tests.support.watched import Watch, WatchedBroker
from tests.support.worst import INPUTS

MOST_UNITS = 150_000
"""About 30 ms of an idle core; `make bench` has the milliseconds."""

MOST_REFERENCES = 20
"""Of processor time, for what is computed below Python, where no units are seen.

A reference is a millisecond of an idle core (`tests.support.effort`).
"""

WATCH = Watch(counts_units=True)


BOUNDS = (Path(__file__).parents[2] / "docs" / "bounds.md").read_text("utf-8")
NAMES = {"{account}": ACCOUNT, "{uuid}": f"SAMLSP{ACCOUNT}AAAA", "…": "sign-out"}
UNREAD = 1_000_000
"""Bytes that are sent to an address that reads none."""


def table(title: str) -> list[list[str]]:
    """The rows of a table of `docs/bounds.md`."""
    text = BOUNDS.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[1:]]


def number(cell: str) -> int:
    return int(cell.partition(",* ")[0].replace(",", "").partition(" ")[0])


ADDRESSES = [
    (address, row[1:])
    for row in table("Addresses")
    for address in re.findall("`(.*?)`", row[0])
]
WORK = {row[0]: row[1:] for row in table("What is read before a proof")}
ANSWERS = table("Answers of others")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("two")
    with (
        serving("/idp") as issuer,
        running_broker(
            folder,
            workers=2,
            rate_limit="0",
            internal_issuers=f"127.0.0.1:{issuer.port}",
        ) as broker,
    ):
        world = World(Installation(broker, issuer), Key("none", "none"))
        open_doors(broker)
        provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer.host_and_path}"
        broker.command("providers", "set", provider, f"ClientId={CLIENT_ID}")
        yield world


def send_timed(world: World, make: Callable[[], Request]) -> tuple[int, float]:
    """The status of a request, and the workers' seconds for it, as the kernel counts."""
    process = world.installation.broker.process
    assert process is not None
    clocks = [(~worker << 3) | 2 for worker in find_workers(process.pid)]
    assert len(clocks) == 2
    requests = [make() for _ in range(4)]
    began = sum(map(time.clock_gettime, clocks))
    status = {world.send(request) for request in requests}.pop()
    assert status < 500
    return status, (sum(map(time.clock_gettime, clocks)) - began) / len(requests)


def status_of(world: World, make: Callable[[], Request]) -> int:
    """The status of a request that costs no more than it may."""
    taken = []
    for _ in range(4):
        status, seconds = send_timed(world, make)
        taken.append(in_references(seconds))
        if taken[-1] < MOST_REFERENCES:
            return status
    raise AssertionError(f"{min(taken):.0f} references, answered {status}")


def largest_inputs(address: str, row: list[str]) -> Iterator[tuple[Request, str]]:
    """The largest requests of an address, and larger ones with what refuses them."""
    body, beyond_body, query, beyond_query = row
    given, _, path = address.rpartition(" ")
    method = given or ("GET" if body == "unread" else "POST")
    for name, value in NAMES.items():
        path = path.replace(name, value)
    path = re.sub("{.*?}", "Corp", path)
    form, json_type = "application/x-www-form-urlencoded", "application/json"
    size = UNREAD if body == "unread" else number(body)
    for kind, text in ((form, b"a=%41" + b"=" * size), (json_type, _nested(size))):
        for longer, beyond in ((0, ""), (1, beyond_body)):
            content = text[:size].ljust(size + longer)
            yield Request(path, content, {"content-type": kind}, method), beyond
    size = 60_000 if query == "unread" else number(query)
    for length, beyond in ((size, ""), (size + 1, beyond_query)):
        more = ("a=%41&" * length)[:length]
        if "?" in path:  # which names the operation, and counts
            more = more[: length - len(path.partition("?")[2]) - 1]
        joint = "&" if "?" in path else "?"
        yield Request(f"{path}{joint}{more}", method=method), beyond


@pytest.mark.parametrize(("address", "row"), ADDRESSES, ids=[a for a, _ in ADDRESSES])
def test_an_address_costs_little(
    strangers: World, address: str, row: list[str]
) -> None:
    for request, beyond in largest_inputs(address, row):
        status = status_of(strangers, lambda request=request: request)
        assert beyond in {"", str(status or beyond)}


@pytest.mark.long
def test_what_the_largest_input_of_each_row_takes(strangers: World) -> None:
    """For `docs/bounds.md`: a row there is a row here, with its worst address."""
    rows = []
    for cells in table("Addresses"):
        worst = (0.0, "", 0, "")
        for address in re.findall("`(.*?)`", cells[0]):
            for request, _ in largest_inputs(address, cells[1:]):
                timed = [send_timed(strangers, lambda r=request: r) for _ in range(3)]
                seconds = min(each for _, each in timed)
                kind = request.headers.get("content-type", "query").rpartition("/")[2]
                worst = max(worst, (seconds, address, timed[0][0], kind))
        seconds, address, status, kind = worst
        rows.append((f"`{address}`", kind, status or "closed", seconds))
    for name, (_, most, _) in WORK.items():
        make = partial(STRANGERS[name], strangers, number(most))
        timed = [send_timed(strangers, make) for _ in range(3)]
        seconds = min(each for _, each in timed)
        rows.append((name, most.partition(",*")[0], timed[0][0] or "closed", seconds))
    assert all(in_references(seconds) < MOST_REFERENCES for *_, seconds in rows)
    evidence.keep(
        "largest", rows=[(*row, round(seconds * 1e3, 1)) for *row, seconds in rows]
    )


@pytest.mark.long
def test_what_the_largest_of_each_signed_input_takes(
    tmp_path: Path,
) -> None:
    """For `docs/bounds.md`: the longest callback of the event loop, and all CPU."""
    watch, rows = Watch(counts_units=False), []
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        with WatchedBroker(
            tmp_path, watch, internal_issuers=internal
        ).running() as made:
            installation = Installation(made, issuer)
            world = World(installation, narrow_session(installation))
            for axis in AXES:
                stalls, taken = [], []
                for _ in range(3):
                    request = axis.make(world, axis.largest)
                    watch.reset()
                    began = time.process_time() - time.thread_time()
                    status = world.try_out(request)
                    taken.append(time.process_time() - time.thread_time() - began)
                    stalls.append(watch.seconds)
                assert in_references(min(stalls)) < MOST_REFERENCES, axis.name
                milliseconds = [round(min(each) * 1e3, 1) for each in (stalls, taken)]
                rows.append((axis.name, f"{axis.largest:,}", status, *milliseconds))
    evidence.keep("stalls", rows=rows)


def _nested(size: int) -> bytes:
    return b'{"a":[' + b"{}," * ((size - 10) // 3) + b"{}]}"


@pytest.mark.parametrize("name", WORK)
def test_what_is_read_before_a_proof_costs_little(strangers: World, name: str) -> None:
    where, most, beyond = WORK[name]
    importlib.import_module(where.strip("`"))
    size = number(most)
    status_of(strangers, lambda: STRANGERS[name](strangers, size))
    status = status_of(strangers, lambda: STRANGERS[name](strangers, size * 2))
    assert str(status or beyond) == beyond


@pytest.mark.parametrize("name", ["headers", "chunks of a body"])
def test_what_is_counted_has_just_this_bound(strangers: World, name: str) -> None:
    _, most, beyond = WORK[name]
    size = number(most)
    assert str(strangers.send(STRANGERS[name](strangers, size))) != beyond
    assert str(strangers.send(STRANGERS[name](strangers, size + 1))) == beyond


def test_each_kind_of_work_has_a_row() -> None:
    assert set(WORK) == set(STRANGERS)


def test_each_costliest_input_has_a_row() -> None:
    rows = [row[0] for row in table("What another account notices")]
    assert rows == ["nothing", *INPUTS]


def _paths(routes: list[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if isinstance(route, Route):
            yield route.path
        elif isinstance(route, Mount):
            yield f"{route.path}/{{path:path}}"
        else:
            yield from _paths(vars(route)["original_router"].routes)


async def test_each_address_has_a_row(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        below = {*composition.addresses(world.services)}
        pages = set(_paths(composition._pages(world.services, ()).routes))
    below |= {path for door in DOORS for path in door.paths}
    named = (address.rpartition(" ")[2] for address, _ in ADDRESSES)
    known = {path.partition("?")[0] for path in named}
    inside = {path for path in pages if path.startswith("/console/")}
    assert known & pages == pages - inside
    firsts = {
        next((text for text in below if f"{path}/".startswith(f"{text}/")), path)
        for path in known - pages - {"/", "//", "/console/…"}
    }
    assert firsts == below


def _read_answers() -> Iterator[tuple[Callable[[bytes], object], int]]:
    """What reads the answers of others, and of how many bytes, on the event loop."""
    params = {
        "parse_discovery": lambda data: parse_discovery(data, "https://a"),
        "parse_jwks": parse_jwks,
        "loads": json.loads,
        "_parse": lambda data: upstream_client._parse(
            httpx.Response(200, content=data), "AssumeRole"
        ),
    }
    for _, where, size in ANSWERS:
        module, _, name = where.strip("`").rpartition(".")
        assert hasattr(importlib.import_module(module), name)
        if name in params:
            yield params[name], number(size)


def test_answers_of_others_are_read_in_no_time() -> None:
    answers = list(_read_answers())
    assert len(answers) == 4
    for read, size in answers:
        head, end = b'{"issuer":"https://a","keys":[', b"{}]}"
        for text, least in (
            (head + b'{"":0},' * size, len(end)),
            (head + b"{}," * size, len(end)),
            (b"<a>" + b"<a/>" * size, 4),
        ):
            cut = (size - least) // 4 * 4
            content = text[: cut - cut % 1] + (end if text[0] == 123 else b"</a>")
            taken = []
            for _ in range(5):
                began = time.thread_time()
                with suppress(Exception):
                    read(content)
                taken.append(time.thread_time() - began)
            assert in_references(min(taken)) < MOST_REFERENCES, (read, text[:40])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("watched")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        broker = WatchedBroker(folder, WATCH, internal_issuers=internal)
        with broker.running():
            installation = Installation(broker, issuer)
            yield World(installation, narrow_session(installation))


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_no_axis_holds_up_the_event_loop(world: World, axis: Axis) -> None:
    for size in grow(axis):
        request = axis.make(world, size)
        WATCH.reset()
        status = world.try_out(request)
        assert status < 500, f"{axis.name} of {size}"
        assert WATCH.units < MOST_UNITS, f"{axis.name} of {size}: {status}"


def largest(world: World, name: str) -> int:
    """The units of an axis's largest request."""
    _try_largest(world, name)
    return WATCH.units


def _try_largest(world: World, name: str) -> float:
    """The seconds of an axis's largest request."""
    axis = next(axis for axis in AXES if axis.name == name)
    request = axis.make(world, axis.largest)
    WATCH.reset()
    world.try_out(request)
    return WATCH.seconds


@pytest.mark.parametrize(
    "name", [axis.name for axis in AXES if axis.name.startswith("CreateSession")]
)
def test_a_chain_is_validated_off_the_event_loop(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noted(*params: Any) -> Any:
        threads.append(threading.get_ident())
        return verify_chain(*params)

    monkeypatch.setattr("broker.proofs.certificates.verify_chain", noted)
    seconds = min(_try_largest(world, name) for _ in range(3))
    assert in_references(seconds) < MOST_REFERENCES
    assert WATCH.thread not in threads
    assert len(threads) == (0 if "stranger" in name else 3)


async def at_once(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        (
            "SimulateCustomPolicy: patterns of actions",
            "broker.actions.iam.simulation.offload_steps",
            at_once,
        ),
        ("CreateSAMLProvider: comments", "broker.runtime.offload.LONG", 1 << 30),
    ],
)
def test_the_watch_sees_what_is_done_on_the_event_loop(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, place: str, value: object
) -> None:
    """Else the test above could not fail."""
    assert largest(world, name) < MOST_UNITS
    monkeypatch.setattr(place, value)
    assert largest(world, name) > MOST_UNITS
