"""Whatever a caller makes larger, nobody else waits for it.

Each axis of a request grows on a real socket until it is refused or is as large as it
can be. What counts is the longest callback of the event loop, for as long nobody else
is served: in units of work that are the same on every machine (`tests.support.watched`).
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.protocols.x509 import verify_chain
from tests.scenarios.installation import Installation
from tests.support.axes import AXES, Axis, World, grow, narrow_session
from tests.support.oidc_issuer import serving
from tests.support.watched import Watch, WatchedBroker

MOST_UNITS = 150_000
"""About 30 ms of an idle core; `make bench` has the milliseconds."""

MOST_SECONDS = 0.02
"""Of processor time, for what is computed below Python, where no units are seen."""

WATCH = Watch(counts_units=True)


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

    def noted(*given: Any) -> Any:
        threads.append(threading.get_ident())
        return verify_chain(*given)

    monkeypatch.setattr("broker.authn.certificates.verify_chain", noted)
    assert min(_try_largest(world, name) for _ in range(3)) < MOST_SECONDS
    assert WATCH.thread not in threads
    assert len(threads) == (0 if "stranger" in name else 3)


async def at_once(work: Callable[[], Any], **_: object) -> Any:
    return work()


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        (
            "SimulateCustomPolicy: patterns of actions",
            "broker.actions.iam.simulation.offload",
            at_once,
        ),
        ("CreateSAMLProvider: comments", "broker.offload.LONG", 1 << 30),
    ],
)
def test_the_watch_sees_what_is_done_on_the_event_loop(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, place: str, value: object
) -> None:
    """Else the test above could not fail."""
    assert largest(world, name) < MOST_UNITS
    monkeypatch.setattr(place, value)
    assert largest(world, name) > MOST_UNITS
