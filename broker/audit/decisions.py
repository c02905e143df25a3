"""Decisions of a data plane: counted, and some of them kept.

One in so many allowed decisions has a record, and so has the first of the day of a
caller with an action and one access key (in each worker), and every refusal up to a
rate. A call has one record, of all that is kept of it, and who asks has up to a number a
minute: what they tell of requests is theirs to make up. The numbers of each service are
recorded every minute.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog
from msgspec import Struct

from broker.audit.entry import AuditEntry
from broker.audit.flood import RECORDS_PER_MINUTE, SOURCES_MAX
from broker.audit.writer import Auditor
from broker.errors import ServiceUnavailable
from broker.model.audit import COUNT_DECISIONS, Outcome
from broker.model.registered import RegisteredService
from broker.runtime.clock import Clock
from broker.runtime.entropy import new_request_id
from broker.runtime.offload import begin

COUNT_SECONDS = 60.0
FIRST_USES_MAX = 50_000
"""Callers with actions that a worker remembers; beyond them it forgets all."""

_MINUTE_SECONDS = 60
_OTHERS = ""
"""Who asks, beyond those that are told apart."""

FIRST_USE = "first use today"
"""Why a record is kept."""

_log = structlog.get_logger(__name__)

Observe = Callable[[str], None]
"""Counts a decision by its outcome."""


class _Tally(Struct):
    service: RegisteredService
    outcomes: dict[str, int] = {}


class DecisionLog:
    """One worker's decisions."""

    def __init__(self, auditor: Auditor, clock: Clock, observe: Observe) -> None:
        self._auditor = auditor
        self._clock = clock
        self._observe = observe
        self._tallies: dict[str, _Tally] = {}
        self._day = 0
        self._first_uses: set[tuple[str, str, str]] = set()
        self._minute = 0
        self._written: Counter[str] = Counter()
        """Records of allowed decisions in this minute, by who asked."""
        self._since_sample: dict[str, int] = {}
        self._since_sample_before: dict[str, int] = {}
        """Those of the day before, for services that are not used yet today."""
        self._counting: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def count(self, service: RegisteredService, outcome: Outcome) -> None:
        """Count a decision."""
        self._observe(outcome)
        tally = self._tallies.get(service.service_id)
        if tally is None:
            tally = self._tallies[service.service_id] = _Tally(service)
            if self._counting is None or self._counting.done():
                self._counting = begin(self._count_later())
        tally.outcomes[outcome] = tally.outcomes.get(outcome, 0) + 1

    def has_room(self, asker: str) -> bool:
        """Whether who asks may have one more record of what was allowed."""
        minute = int(self._clock.monotonic()) // _MINUTE_SECONDS
        if minute != self._minute:
            self._minute, self._written = minute, Counter()
        return self._written[self._place_of(asker)] < RECORDS_PER_MINUTE

    def _place_of(self, asker: str) -> str:
        is_known = asker in self._written or len(self._written) < SOURCES_MAX
        return asker if is_known else _OTHERS

    def find_reason_to_keep(
        self,
        service: RegisteredService,
        caller: str,
        action: str,
        now: datetime,
        sample_every: int,
    ) -> str:
        """Why an allowed decision has a record; empty when it needs none.

        ``caller`` is all by which first uses are told apart: nothing that the asking
        service made up.
        """
        if self.is_first_use(service, caller, action, now):
            return FIRST_USE
        before = self._since_sample_before.get(service.service_id, 0)
        since = self._since_sample.get(service.service_id, before) + 1
        self._since_sample[service.service_id] = since % sample_every
        return f"one in {sample_every}" if since >= sample_every else ""

    def is_first_use(
        self, service: RegisteredService, caller: str, action: str, now: datetime
    ) -> bool:
        """Whether it is the caller's first use of an action today."""
        day = now.toordinal()
        if day != self._day:
            self._begin_day(day)
        use = (service.service_id, caller, action)
        if use in self._first_uses:
            return False
        if len(self._first_uses) >= FIRST_USES_MAX:
            self._first_uses.clear()
        self._first_uses.add(use)
        return True

    def forget_first_uses(self) -> None:
        """Write them again: the database may have lost their records."""
        self._first_uses.clear()

    def _begin_day(self, day: int) -> None:
        """Forget first uses, and services that were not used for a day."""
        self._day = day
        self._first_uses.clear()
        self._since_sample_before, self._since_sample = self._since_sample, {}

    async def keep(self, entry: AuditEntry, asker: str = "") -> None:
        """Write a record; of refusals a few a second for each caller.

        One of what was allowed to ``asker`` counts for ``has_room``.

        Raises:
            ServiceUnavailable: it could not be taken.
        """
        entry.is_counted = bool(entry.error_code)
        if asker and not entry.is_counted:
            self._written[self._place_of(asker)] += 1
        try:
            await self._auditor.append(entry)
        except ServiceUnavailable:
            # The call is refused, so its next use will be the first one.
            self._first_uses.clear()
            raise

    async def close(self) -> None:
        """Write the numbers that are still open."""
        self._closing.set()
        try:
            if self._counting is not None:
                await self._counting
        finally:
            self._closing.clear()

    async def _count_later(self) -> None:
        # What is decided while numbers are written is counted for the next minute.
        while self._tallies:
            with suppress(TimeoutError):
                async with asyncio.timeout(COUNT_SECONDS):
                    await self._closing.wait()
            await self._write_tallies()

    async def _write_tallies(self) -> None:
        tallies, self._tallies = self._tallies, {}
        for tally in tallies.values():
            numbers = {name.capitalize(): n for name, n in tally.outcomes.items()}
            entry = AuditEntry(
                event_id=new_request_id(),
                at=self._clock.now(),
                door="",
                action=COUNT_DECISIONS,
                source_ip="",
                user_agent="",
                account=tally.service.account,
                resources=(tally.service.arn,),
                parameters=numbers,
                reason="decisions for a service, not all recorded singly",
            )
            try:
                await self._auditor.append(entry)
            except ServiceUnavailable:
                _log.warning("decisions are counted but not recorded", **numbers)
