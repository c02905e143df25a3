"""The credentials in memory: renewed early, served while they last.

One task talks to the broker. It asks every few seconds whether the role changed, and
gets new credentials when half the life of the present ones is over, a little sooner or
later, so that many machines do not come at once. What fails is tried again, ever less
often; meanwhile the present credentials are served until they expire. It asks every
minute whether the broker still accepts them: a session can be ended, and a new one be had.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from broker.agent.broker_api import BrokerAwayError, BrokerRefusedError
from broker.agent.credentials import V2, Credentials, Grant
from broker.agent.identity import Identity, IdentityEndedError, IdentityUnusableError

Value = TypeVar("Value")

RETRY_SECONDS_MAX = 30.0
WAIT_SECONDS = 0.9
"""How long a request waits for the first credentials: clients give up after a second."""

CHECK_SECONDS = 45.0
"""How soon it notices that credentials were ended; later where it asks for the role less
often, since there are many machines."""

_OFTEN_SECONDS = 2.0
_RETRY_SECONDS = 0.5
_IDLE_SECONDS = 5.0
"""How soon it notices that the machine slept, or that its clock was set."""

_SPREAD = 0.1
"""Of a span of time, up or down."""

_FAILURES = (
    BrokerAwayError,
    BrokerRefusedError,
    IdentityEndedError,
    IdentityUnusableError,
)
_log = logging.getLogger(__name__)


class Keeper:
    """Holds what one identity gets; ``on_change`` gets new credentials.

    ``now`` is the broker's time.
    """

    def __init__(
        self,
        identity: Identity,
        now: Callable[[], datetime],
        on_change: Callable[[Credentials | None], None] = lambda _: None,
    ) -> None:
        self._identity = identity
        self._now = now
        self._on_change = on_change
        self.grant: Grant | None = None
        """None until the broker has answered, and when the identity has ended."""

        self.error = ""
        """Why the last attempt failed."""

        self.has_ended = False
        """Whether the broker does not know this identity any more."""

        self._held: dict[str, Credentials] = {}
        self._renew_at: dict[str, datetime] = {V2: datetime.min.replace(tzinfo=UTC)}
        self._accepted: dict[str, Credentials] = {}
        """Those that the broker accepted; it knows none of an upstream."""

        self._check_at = float("inf")
        self._poll_at = float("-inf")
        self._failures = 0
        self._woken = asyncio.Event()
        self._told = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "broker")

    def find(self, delivery: str = V2) -> Credentials | None:
        """The present credentials, if they have not expired."""
        held = self._held.get(delivery)
        return held if held is not None and held.expires_at > self._now() else None

    async def wait_for(self, delivery: str = V2) -> Credentials | None:
        """The same, waiting a moment for those that are on their way."""
        if delivery not in self._renew_at:
            self._renew_at[delivery] = datetime.min.replace(tzinfo=UTC)
            self._woken.set()
        elif not self.error and self.find(delivery) is None:
            # They expired unnoticed: the machine slept, or its clock was set.
            self._woken.set()
        deadline = time.monotonic() + WAIT_SECONDS
        while (credentials := self.find(delivery)) is None:
            left = deadline - time.monotonic()
            has_none = self.grant is not None and not self.grant.role_name
            if left <= 0 or has_none or self.has_ended:
                return None
            self._told.clear()
            try:
                await asyncio.wait_for(self._told.wait(), left)
            except TimeoutError:
                return None
        return credentials

    async def wait_for_grant(self) -> Grant | None:
        """The role, waiting a moment for the first word of it."""
        if self.grant is None and not self.error:
            self._told.clear()
            try:
                await asyncio.wait_for(self._told.wait(), WAIT_SECONDS)
            except TimeoutError:
                return None
        return self.grant

    def wake(self) -> None:
        """Try at once."""
        self._poll_at = float("-inf")
        self._woken.set()

    def replace_identity(self, identity: Identity) -> None:
        """Become another identity; what the old one got is served until it is there."""
        self._identity = identity
        self._renew_at = dict.fromkeys(self._renew_at, datetime.min.replace(tzinfo=UTC))
        self.wake()

    def close(self) -> None:
        """Release the thread; a call in progress ends on its own."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def run(self) -> None:
        """Keep them until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self._step()
            except _FAILURES as error:
                self._note(error)
                delay = self._retry_seconds()
            except Exception as error:  # noqa: BLE001  # the one loop must outlive any surprise
                _log.exception("unexpected failure")
                self.error = f"unexpected: {error!r}"
                delay = RETRY_SECONDS_MAX
            else:
                if self.error:
                    _log.info("the broker accepts this machine again")
                self.error, self._failures = "", 0
                delay = self._seconds_left()
            self._told.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), delay)

    async def _step(self) -> None:
        is_refused = False
        if self.grant is None:
            # Credentials come with the role that they are of: one call is enough.
            try:
                await self._renew(V2)
            except BrokerRefusedError:
                is_refused = True
        if time.monotonic() >= self._poll_at:
            identity = self._identity
            grant = await self._in_thread(identity.get_grant)
            if identity is not self._identity:
                return  # replaced meanwhile
            self._take(grant)
            if is_refused:
                # A file may still have credentials from before a restart.
                self._on_change(None)
        for delivery in tuple(self._renew_at):
            if self.grant is None or not self.grant.role_name:
                break
            if self._renew_at[delivery] <= self._now():
                await self._renew(delivery)
        if time.monotonic() >= self._check_at:
            await self._check()

    async def _check(self) -> None:
        """Drop credentials that the broker accepted and does not accept any more."""
        identity, grant = self._identity, self.grant
        for delivery, held in tuple(self._held.items()):
            is_live = await self._in_thread(partial(identity.is_live, held))
            if identity is not self._identity:
                return  # replaced meanwhile
            if is_live:
                self._accepted[delivery] = held
            elif self._accepted.get(delivery) is held:
                _log.warning("the credentials were ended at the broker")
                self._drop()
                break
        seldom = grant.poll_seconds / _OFTEN_SECONDS if grant is not None else 0
        self._check_at = time.monotonic() + _spread(CHECK_SECONDS * max(1, seldom))

    async def _renew(self, delivery: str) -> None:
        identity = self._identity
        credentials, grant = await self._in_thread(
            partial(identity.get_credentials, delivery)
        )
        if identity is not self._identity:
            return  # replaced meanwhile
        life = (credentials.expires_at - self._now()).total_seconds()
        if life <= 0:
            raise BrokerAwayError("its credentials have expired: clocks differ")
        self._take(grant)
        self._held[delivery] = credentials
        self._renew_at[delivery] = self._now() + timedelta(seconds=_spread(life / 2))
        self._check_at = float("-inf")
        self._told.set()
        if delivery == V2:
            self._on_change(credentials)

    def _take(self, grant: Grant) -> None:
        """Note the role; credentials of another one are not served any more."""
        before = self.grant
        self.grant, self.has_ended = grant, False
        asks_again = _spread(grant.poll_seconds) if grant.poll_seconds else float("inf")
        self._poll_at = time.monotonic() + asks_again
        if before is not None and before.association_id != grant.association_id:
            _log.info("the role is now %s", grant.role_arn or "none")
            self._drop()
        self._told.set()

    def _drop(self) -> None:
        self._held.clear()
        self._renew_at = dict.fromkeys(self._renew_at, datetime.min.replace(tzinfo=UTC))
        self._on_change(None)

    def _note(self, error: Exception) -> None:
        text = str(error)
        if text != self.error:
            _log.warning("%s", text)
        self.error = text
        if isinstance(error, IdentityEndedError) and not self.has_ended:
            self.grant, self.has_ended = None, True
            self._drop()

    def _retry_seconds(self) -> float:
        """Ever longer, and spread: after an outage not all come at once."""
        self._failures = min(self._failures + 1, 10)
        most = min(_RETRY_SECONDS * 2**self._failures, RETRY_SECONDS_MAX)
        return random.uniform(most / 4, most)  # noqa: S311  # no secret

    def _seconds_left(self) -> float:
        """Until there is something to do."""
        now = time.monotonic()
        left = [_IDLE_SECONDS, self._poll_at - now, self._check_at - now]
        if self.grant is not None and self.grant.role_name:
            left += [
                (at - self._now()).total_seconds() for at in self._renew_at.values()
            ]
        return max(min(left), 0.01)

    async def _in_thread(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _spread(seconds: float) -> float:
    return seconds * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311  # no secret
