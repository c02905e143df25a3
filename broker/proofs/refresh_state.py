"""The state of the last attempt to read a provider's published metadata.

It is in the shared cache, so it can only delay or advance the next attempt: the bounds
here hold whatever the cache says.
"""

import json
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from broker.model.entities import SamlProvider
from broker.stores.cache.port import Cache

COOL_DOWN = timedelta(seconds=10)
"""The minimum time between two attempts."""

USUAL_INTERVAL = timedelta(hours=4)
INTERVAL_MIN = timedelta(minutes=5)
INTERVAL_MAX = timedelta(hours=24)

_FIRST_PAUSE = timedelta(minutes=1)
_PAUSE_MAX = timedelta(hours=1)
_PAUSES_DOUBLED_MAX = 10
_LIFE_SHARE = 0.75
_SPACE = "saml-metadata"
_KEPT = timedelta(days=30)
_WORDS_MAX = 500


class RefreshState(Struct, frozen=True, kw_only=True):
    """The last attempt and its outcome.

    ``good_at`` is when a document was last accepted or found unchanged, ``changed_at``
    when one was last accepted. ``failures`` counts those since; ``problem`` says in
    words what was wrong with the last one.
    """

    url: str
    attempted_at: datetime
    next_at: datetime
    good_at: datetime | None = None
    changed_at: datetime | None = None
    failures: int = 0
    problem: str = ""

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to fetch again."""
        latest = self.attempted_at + INTERVAL_MAX
        return now >= min(self.next_at, latest) or self.attempted_at > now

    def rests(self, now: datetime, *, insist: bool = False) -> bool:
        """Whether an unscheduled fetch must wait.

        True in the cool-down after any attempt and, without ``insist``, in the pause
        after a failure.
        """
        if self.failures and not insist:
            return not self.is_due(now)
        return timedelta(0) <= now - self.attempted_at < COOL_DOWN


def after_success(
    before: RefreshState | None,
    *,
    url: str,
    now: datetime,
    changed: bool,
    cache_duration: timedelta | None,
    valid_until: datetime | None,
) -> RefreshState:
    """A good document was fetched; fetch again well before it expires."""
    interval = USUAL_INTERVAL if cache_duration is None else cache_duration
    interval = min(interval, INTERVAL_MAX)
    if valid_until is not None:
        interval = min(interval, _LIFE_SHARE * (valid_until - now))
    return RefreshState(
        url=url,
        attempted_at=now,
        next_at=now + max(interval, INTERVAL_MIN),
        good_at=now,
        changed_at=now if changed else (before.changed_at if before else None),
    )


def after_failure(
    before: RefreshState | None, *, url: str, now: datetime, words: str
) -> RefreshState:
    """The fetch failed; pauses grow from a minute to an hour."""
    failures = 1 + (before.failures if before else 0)
    doubled = min(failures - 1, _PAUSES_DOUBLED_MAX)
    return RefreshState(
        url=url,
        attempted_at=now,
        next_at=now + min(_FIRST_PAUSE * 2**doubled, _PAUSE_MAX),
        good_at=before.good_at if before else None,
        changed_at=before.changed_at if before else None,
        failures=failures,
        problem=words[:_WORDS_MAX],
    )


async def read_state(
    cache: Cache, provider: SamlProvider, url: str
) -> RefreshState | None:
    """The state for this provider and place; None when nothing is known.

    Raises:
        StoreUnavailableError: the cache is away.
    """
    stored = await cache.get(_SPACE, provider.uuid.encode())
    state = None if stored is None else _parse(stored)
    return state if state is not None and state.url == url else None


async def write_state(
    cache: Cache, provider: SamlProvider, state: RefreshState
) -> None:
    """Share the state with the other workers.

    Raises:
        StoreUnavailableError: the cache is away.
    """
    body = json.dumps(
        {
            "url": state.url,
            "attempted_at": state.attempted_at.timestamp(),
            "next_at": state.next_at.timestamp(),
            "good_at": state.good_at and state.good_at.timestamp(),
            "changed_at": state.changed_at and state.changed_at.timestamp(),
            "failures": state.failures,
            "problem": state.problem,
        }
    )
    await cache.put(
        _SPACE,
        provider.uuid.encode(),
        body.encode(),
        expires_at=state.attempted_at + _KEPT,
    )


def _parse(data: bytes) -> RefreshState | None:
    try:
        value = json.loads(data)
        return RefreshState(
            url=str(value["url"]),
            attempted_at=_at(value["attempted_at"]),
            next_at=_at(value["next_at"]),
            good_at=value["good_at"] and _at(value["good_at"]),
            changed_at=value["changed_at"] and _at(value["changed_at"]),
            failures=int(value["failures"]),
            problem=str(value["problem"])[:_WORDS_MAX],
        )
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
