"""Writes a call's audit entry after the work, whatever its end."""

import asyncio
from collections import deque

import structlog

from broker.audit.bursts import describe_burst
from broker.audit.entry import AuditEntry
from broker.audit.flood import SOURCES_MAX, Burst, Failure, FailureCounter
from broker.errors import (
    AccessDenied,
    BrokerError,
    InternalFailure,
    ProofError,
    ServiceUnavailable,
    UpstreamOutcomeUnknown,
    with_advice,
)
from broker.model.account import find_account_of_key_id
from broker.model.audit import Outcome
from broker.runtime.clock import Clock
from broker.runtime.offload import begin
from broker.stores.errors import StoreFailedError, StoreUnavailableError, refusal_of
from broker.stores.ledger.port import Ledger

_log = structlog.get_logger(__name__)

_COUNT_SECONDS = 1.1
"""After the second that is counted is over."""


class Auditor:
    """Makes sure that every call leaves exactly one record.

    The exceptions are floods of unproved failures (see ``flood``) and the calls of a
    data plane (see ``decisions``).
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._failures = FailureCounter()
        self._unwritten: deque[Burst] = deque(maxlen=SOURCES_MAX)
        """Counts of past seconds, oldest first; the newest are kept."""
        self._counting: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Write the counts that are still open."""
        if self._counting is not None:
            self._counting.cancel()
            await self._write_counts(float("inf"))

    async def fail(self, entry: AuditEntry, error: BaseException) -> None:
        """Complete the entry of a call that failed; one that is cancelled leaves none.

        Raises:
            ServiceUnavailable: the record could not be taken.
        """
        if isinstance(error, BrokerError):
            _fail(entry, error)
        elif isinstance(error, StoreFailedError):
            _fail(entry, refusal_of(error))
        elif isinstance(error, Exception):
            _fail(entry, InternalFailure(detail=type(error).__name__))
        else:
            return
        try:
            await self.append(entry)
        except ServiceUnavailable:
            # Only this one must not be sent again: what it was proved with is used up.
            if not isinstance(error, UpstreamOutcomeUnknown):
                raise

    async def append(self, entry: AuditEntry) -> None:
        """Write a completed entry, unless it is written or only counted.

        A mint or a change writes the record with its own effect and marks the entry
        as committed.

        Raises:
            ServiceUnavailable: the record could not be taken; the call must not
                answer as if it had been.
        """
        if entry.committed:
            return
        entry.committed = True
        if entry.is_counted and not entry.error_code:
            return
        if entry.error_code and (entry.is_counted or not entry.caller_arn):
            now = self._clock.monotonic()
            await self._write_counts(now)
            source = entry.caller_arn or entry.source_ip
            failure = Failure(source, entry.account, entry.decision)
            door = entry.door, entry.account if entry.is_counted else None
            if not self._failures.admit(failure, door, entry.event_id, entry.at, now):
                if self._counting is None or self._counting.done():
                    self._counting = begin(self._count_later())
                return
        await self._write(entry)

    async def _count_later(self) -> None:
        # What fails while counts are written is counted for the next second.
        while self._failures.is_counting or self._unwritten:
            await asyncio.sleep(_COUNT_SECONDS)
            await self._write_counts(self._clock.monotonic())

    async def _write_counts(self, now: float) -> None:
        self._unwritten.extend(self._failures.drain(now))
        while self._unwritten:
            burst = self._unwritten.popleft()
            try:
                await self._write(describe_burst(burst, self._clock.now()))
            except BaseException:
                # Cancelled by the end of the worker, or refused: for the next turn.
                self._unwritten.appendleft(burst)
                raise

    async def _write(self, entry: AuditEntry) -> None:
        try:
            await self._ledger.append(entry.complete())
        except StoreUnavailableError as error:
            _log.error("audit record refused", request_id=entry.event_id)
            raise ServiceUnavailable(
                detail="the audit spool is full or away"
            ) from error


def _fail(entry: AuditEntry, error: BrokerError) -> None:
    entry.error_code = error.code if entry.code_of is None else entry.code_of(error)
    entry.detail = with_advice(error.detail or error.message or "", error.advice)
    entry.decision = _outcome(entry, error)
    if isinstance(error, ProofError) and error.access_key_id:
        entry.access_key_id = error.access_key_id
        entry.account = entry.account or find_account_of_key_id(error.access_key_id)
    if entry.decision != Outcome.ERROR:
        # Whether the policies would have allowed it no longer matters.
        entry.reason = error.detail


def _outcome(entry: AuditEntry, error: BrokerError) -> Outcome:
    if isinstance(error, ProofError):
        return Outcome.REFUSED
    if isinstance(error, AccessDenied):
        # A password or a second factor is refused with it, too.
        is_proof = entry.is_proof_refused or not entry.caller_arn
        return Outcome.REFUSED if is_proof else Outcome.DENIED
    return Outcome.ERROR
