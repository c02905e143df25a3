"""Fills the table: makes each row's people, lets them leave, and asks until all is dead.

A cell has the seconds until what somebody held was refused, or None where it lives on.
Places that a person cannot hold have no cell.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.leavers.cells import expected
from tests.leavers.places import PLACES, TRIES, IsAlive, Place
from tests.leavers.ways import PROMISE_SECONDS, Way
from tests.leavers.world import Account, World

ROWS_AT_ONCE = 3
_PLACES_AT_ONCE = 4
_PAUSE_SECONDS = 0.05
_LONG_SECONDS = 10
"""After them, once a second is often enough."""

Cells = dict[str, float | None]


@dataclass
class Held:
    """What a person holds in one place, and when it was first refused."""

    place: Place
    is_alive: IsAlive
    refused_seconds: float | None = None
    accepted_seconds: float = 0
    """When the last use began that was accepted."""

    tried: int = 0

    def is_alive_anywhere(self, world: World) -> bool:
        """Use it at every node; what is good once, at one of them."""
        self.tried += 1
        nodes = range(len(world.nodes))
        if self.place.is_spent:
            nodes = range(self.tried % len(nodes), len(nodes))[:1]
        return any(self.is_alive(node) for node in nodes)

    @property
    def is_used_up(self) -> bool:
        return self.place.is_spent and self.tried >= TRIES


class Row:
    """One way, and what its people hold.

    ``bound`` is how many times the promise is waited for; a use that begins after
    ``slack`` times the promise must not be accepted.
    """

    def __init__(self, world: World, way: Way, bound: float, slack: float) -> None:
        self.world, self.way = world, way
        self._bound_seconds = bound * way.promise_seconds
        self._promised_seconds = slack * way.promise_seconds
        self._held: dict[str, Held] = {}
        self._began = 0.0

    def fill(self) -> Cells:
        """Make the people, let them leave, and see when what they hold is dead.

        Raises:
            AssertionError: something was dead before.
        """
        account = self.world.accounts[self.way.name]
        with self.world.beside(account):
            self._hold(account)
            self._wait()
        return {name: held.refused_seconds for name, held in self._held.items()}

    def _hold(self, account: Account) -> None:
        people = self.way.people(account)
        self.way.arrive(people)
        for place in PLACES.values():
            is_alive = place.hold(people[-1] if place.mints else people[0])
            if is_alive is not None:
                self._held[place.name] = Held(place, is_alive)
        for held in self._held.values():
            if not held.place.is_spent:
                works = held.is_alive_anywhere(self.world)
                assert works, f"{self.way.name}: {held.place.name} never worked"
        self.way.leave(people)
        self._began = time.monotonic()

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _wait(self) -> None:
        """Until all is dead that must be; then look at what lives on."""
        known = expected()
        lasting = {name for name in self._held if known.lives(self.way.name, name)}
        dying = [held for name, held in self._held.items() if name not in lasting]
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as threads:
            while dying and self._seconds < self._bound_seconds:
                list(threads.map(self._ask, dying))
                dying = [held for held in dying if held.refused_seconds is None]
                time.sleep(_PAUSE_SECONDS if self._seconds < _LONG_SECONDS else 1)
            time.sleep(max(0.0, PROMISE_SECONDS - self._seconds))
            list(threads.map(self._see, [self._held[name] for name in lasting]))

    def _ask(self, held: Held) -> None:
        promise = self.way.promise_seconds
        times = (PROMISE_SECONDS / 2, promise, 0.9 * self._bound_seconds)
        if self.way.asked_seconds:
            times = (PROMISE_SECONDS / 2, promise / 2, *times[1:])
        if not held.place.is_spent or (
            held.tried < len(times) and self._seconds >= times[held.tried]
        ):
            self._see(held)

    def _see(self, held: Held) -> None:
        began = self._seconds
        if held.is_alive_anywhere(self.world):
            held.accepted_seconds = began
        else:
            # A program takes a while to start.
            held.refused_seconds = began if held.place.is_program else self._seconds

    def find_late(self) -> list[str]:
        """In words: what was accepted although the promise's time was over."""
        known = expected()
        return [
            f"{self.way.name}: {name} was accepted after"
            f" {held.accepted_seconds:.1f} seconds, of {self._promised_seconds:.0f}"
            for name, held in self._held.items()
            if held.accepted_seconds > self._promised_seconds
            and not known.lives(self.way.name, name)
        ]

    def find_returned(self) -> list[str]:
        """Of what was dead, what is alive again."""
        dead = [
            held for held in self._held.values() if held.refused_seconds is not None
        ]
        return [
            f"{self.way.name}: {held.place.name}"
            for held in dead
            if not held.is_used_up
            and held.place.name != "s3"  # its gateway has ended
            and held.is_alive_anywhere(self.world)
        ]


@dataclass
class Filled:
    """The rows that ran, and in words what went wrong with the others."""

    rows: list[Row]
    cells: dict[str, Cells]
    failures: list[str]

    def find_returned(self) -> list[str]:
        with ThreadPoolExecutor(ROWS_AT_ONCE) as threads:
            lists = threads.map(Row.find_returned, self.rows)
            return [name for names in lists for name in names]


def fill(
    world: World,
    ways: Sequence[Way],
    bound: float,
    *,
    slack: float = 1,
    at_once: int = ROWS_AT_ONCE,
) -> Filled:
    """Fill these rows, some at a time. See `Row` for ``bound`` and ``slack``."""
    filled = Filled([], {}, [])

    def run(way: Way) -> None:
        row = Row(world, way, bound, slack)
        try:
            filled.cells[way.name] = row.fill()
        except Exception as error:  # noqa: BLE001  # the other rows go on
            filled.failures.append(f"{way.name}: {type(error).__name__}: {error}")
        else:
            filled.rows.append(row)
            filled.failures += row.find_late()

    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(run, ways))
    filled.cells = {
        way.name: filled.cells[way.name] for way in ways if way.name in filled.cells
    }
    return filled
