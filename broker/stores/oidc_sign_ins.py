"""Sign-ins whose providers are asked by refresh token whether the person is still there.

A row for each sign-in, with its token, sealed. A row is claimed before its token is sent:
no two workers ever send the same one, and one that was sent without an answer is known
to be doubtful. The rows of one person are claimed together, by one worker for each
provider at a time.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import case, delete, func, insert, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.secret import Confidential, Hidden
from broker.stores.database import Database
from broker.stores.directory.statements import insert_into
from broker.stores.schema import OIDC_SIGN_INS, OIDC_WATCHES
from broker.stores.times import from_micros, to_micros

CLAIM = timedelta(seconds=30)
"""Longer than a batch takes that waits for every answer as long as it may."""

BATCH_MAX = 16
"""Sign-ins of a batch, but for those of one person, who are never parted."""

_PROVIDERS_MAX = 500
_PROBLEM_MAX = 300
_C = OIDC_SIGN_INS.c
_W = OIDC_WATCHES.c


class OidcSignIn(Confidential, frozen=True, kw_only=True):
    """A sign-in; ``provider`` is the host and path of the account's provider.

    ``access_key_id`` is that of the session that it opened, empty until it does, and
    ``sealed`` what is kept of it, empty without a refresh token. It counts ``until`` then.
    ``generation`` is that of the claim; ``is_doubtful`` says that the token may have been
    sent before without an answer.
    """

    sign_in_id: str
    account: AccountId
    provider: str
    provider_id: str
    client_id: str
    subject: str
    access_key_id: str = ""
    sealed: Hidden[bytes]
    began_at: datetime
    until: datetime
    generation: int = 0
    is_doubtful: bool = False


class WatchedProvider(Struct, frozen=True, kw_only=True):
    """A provider that has sign-ins, by its account, its host and path, and its id."""

    account: AccountId
    provider: str
    provider_id: str


class WatchState(Struct, frozen=True, kw_only=True):
    """How a provider is asked: about how many sign-ins, and how many it cannot be.

    ``failing_since`` is None while it answers; ``problem`` says what is wrong.
    """

    asked: int
    unasked: int
    failing_since: datetime | None = None
    problem: str = ""


class OidcSignIns:
    """Keeps them in the durable database.

    Every method raises ``StoreUnavailableError`` when that is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, sign_in: OidcSignIn) -> None:
        """Keep a sign-in under way: it is next due when its time is over."""
        until = to_micros(sign_in.until)
        await self._database.write(
            insert(OIDC_SIGN_INS).values(
                sign_in_id=sign_in.sign_in_id,
                account=sign_in.account,
                provider=sign_in.provider,
                provider_id=sign_in.provider_id,
                client_id=sign_in.client_id,
                subject=sign_in.subject,
                access_key_id=sign_in.access_key_id,
                sealed=sign_in.sealed,
                began_at=to_micros(sign_in.began_at),
                until=until,
                due_at=until,
                claimed_until=0,
                generation=0,
                doubts=0,
            )
        )

    async def attach(self, sign_in: OidcSignIn, due_at: datetime) -> None:
        """The sign-in opened a session; it is asked about from ``due_at`` on."""
        due_at = due_at if sign_in.sealed else sign_in.until
        await self._database.write(
            update(OIDC_SIGN_INS)
            .where(_C.sign_in_id == sign_in.sign_in_id)
            .values(
                access_key_id=sign_in.access_key_id,
                sealed=sign_in.sealed,
                until=to_micros(sign_in.until),
                due_at=to_micros(due_at),
            )
        )

    async def leave(
        self, now: datetime, *, sign_in_id: str = "", access_key_id: str = ""
    ) -> None:
        """The person signed out: the token is to be revoked at the provider."""
        at = to_micros(now)
        which = _C.access_key_id == access_key_id
        if sign_in_id:
            which = _C.sign_in_id == sign_in_id
        await self._database.write(
            update(OIDC_SIGN_INS).where(which).values(until=at, due_at=at)
        )

    async def find(self, sign_in_id: str) -> OidcSignIn | None:
        """One of them."""
        return await self._find(_C.sign_in_id == sign_in_id)

    async def find_by_session(self, access_key_id: str) -> OidcSignIn | None:
        """The one that opened a session."""
        return await self._find(_C.access_key_id == access_key_id)

    async def _find(self, condition: ColumnElement[bool]) -> OidcSignIn | None:
        rows = await self._database.rows(select(OIDC_SIGN_INS).where(condition))
        return _read(rows[0]) if rows else None

    async def list_due(self, now: datetime) -> tuple[WatchedProvider, ...]:
        """Providers with sign-ins that are due and not claimed."""
        at = to_micros(now)
        rows = await self._database.rows(
            select(_C.account, _C.provider, _C.provider_id)
            .where(_C.due_at <= at, _C.claimed_until <= at)
            .distinct()
            .limit(_PROVIDERS_MAX)
        )
        return tuple(WatchedProvider(**row._mapping) for row in rows)  # noqa: SLF001  # public, in spite of its name

    async def find_next_due(self, now: datetime) -> datetime | None:
        """When the first is due that is not due yet."""
        rows = await self._database.rows(
            select(_C.due_at)
            .where(_C.due_at > to_micros(now))
            .order_by(_C.due_at)
            .limit(1)
        )
        return from_micros(rows[0].due_at) if rows else None

    async def lease(self, provider_id: str, now: datetime, until: datetime) -> bool:
        """Whether the caller alone asks this provider until then."""
        async with self._database.transaction() as connection:
            statement = insert_into(connection.dialect.name, OIDC_WATCHES).values(
                provider_id=provider_id,
                leased_until=to_micros(until),
                failing_since=0,
                problem="",
            )
            leased = await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["provider_id"],
                    set_={"leased_until": statement.excluded.leased_until},
                    where=_W.leased_until <= to_micros(now),
                )
            )
            return leased.rowcount == 1

    async def extend_lease(self, provider_id: str, until: datetime) -> None:
        """Ask it for longer, or, with a time that has come, no more."""
        await self._database.write(
            update(OIDC_WATCHES)
            .where(_W.provider_id == provider_id)
            .values(leased_until=to_micros(until))
        )

    async def claim(self, provider_id: str, now: datetime) -> tuple[OidcSignIn, ...]:
        """A batch of sign-ins that are due, with all others of the same people.

        What the claims' tokens were sent for must be told with `keep` or `restore`.
        """
        at = to_micros(now)
        free = (_C.provider_id == provider_id, _C.claimed_until <= at)
        people = await self._database.rows(
            select(_C.subject, func.count().label("number"))
            .where(*free)
            .group_by(_C.subject)
            .having(func.min(_C.due_at) <= at)
            .order_by(func.min(_C.due_at))
            .limit(BATCH_MAX)
        )
        subjects: list[str] = []
        number = 0
        for row in people:
            number += row.number
            if subjects and number > BATCH_MAX:
                break
            subjects.append(row.subject)
        if not subjects:
            return ()
        # Those without token or session, or that are over, are nothing to ask about.
        asked = (_C.sealed != b"") & (_C.access_key_id != "") & (_C.until > at)
        claimed = await self._database.write(
            update(OIDC_SIGN_INS)
            .where(*free, _C.subject.in_(subjects), asked | (_C.due_at <= at))
            .values(
                claimed_until=to_micros(now + CLAIM),
                generation=_C.generation + 1,
                doubts=_C.doubts + 1,
            )
            .returning(*OIDC_SIGN_INS.c)
        )
        return tuple(_read(row) for row in claimed.all())

    async def keep(self, sign_in: OidcSignIn, sealed: bytes, due_at: datetime) -> bool:
        """Keep what an answer brought; False if another claimed the sign-in meanwhile."""
        return await self._settle(sign_in, due_at, sealed=sealed, doubts=0)

    async def restore(
        self, sign_in: OidcSignIn, due_at: datetime, *, was_lost: bool
    ) -> bool:
        """The token is as it was; ``was_lost`` says that this is not certain."""
        more = {} if was_lost else {"doubts": _C.doubts - 1}
        return await self._settle(sign_in, due_at, **more)

    async def keep_unasked(self, sign_in: OidcSignIn) -> bool:
        """Its token tells nothing any more: drop that, and count the sign-in as unasked."""
        return await self._settle(sign_in, sign_in.until, sealed=b"", doubts=0)

    async def end(self, sign_in: OidcSignIn, until: datetime, due_at: datetime) -> bool:
        """It was over by ``until``; its token is to be revoked at ``due_at``."""
        at = to_micros(until)
        return await self._settle(sign_in, due_at, until=at)

    async def keep_roles(self, sign_in: OidcSignIn, sealed: bytes) -> None:
        """Keep other roles beside the token, unless another claimed it meanwhile."""
        await self._database.write(
            update(OIDC_SIGN_INS).where(*_claim_of(sign_in)).values(sealed=sealed)
        )

    async def list_with_tokens(self, after: str, limit: int) -> tuple[OidcSignIn, ...]:
        """Some of those with tokens, in the order of their ids, from behind one on."""
        rows = await self._database.rows(
            select(OIDC_SIGN_INS)
            .where(_C.sealed != b"", _C.sign_in_id > after)
            .order_by(_C.sign_in_id)
            .limit(limit)
        )
        return tuple(map(_read, rows))

    async def replace_sealed(self, sign_in: OidcSignIn, sealed: bytes) -> bool:
        """Keep the same token, sealed anew; False if another one is kept meanwhile."""
        replaced = await self._database.write(
            update(OIDC_SIGN_INS)
            .where(
                _C.sign_in_id == sign_in.sign_in_id, _C.sealed == bytes(sign_in.sealed)
            )
            .values(sealed=sealed)
        )
        return replaced.rowcount == 1

    async def _settle(
        self, sign_in: OidcSignIn, due_at: datetime, **values: object
    ) -> bool:
        at = to_micros(due_at)
        if "until" not in values:
            # Who signed out meanwhile is due now.
            values["due_at"] = case((_C.until < at, _C.until), else_=at)
        settled = await self._database.write(
            update(OIDC_SIGN_INS)
            .where(*_claim_of(sign_in))
            .values({"claimed_until": 0, "due_at": at, **values})
        )
        return settled.rowcount == 1

    async def postpone(self, provider_id: str, due_at: datetime) -> None:
        """Ask the provider nothing before then."""
        at = to_micros(due_at)
        await self._database.write(
            update(OIDC_SIGN_INS)
            .where(_C.provider_id == provider_id, _C.due_at < at)
            .values(due_at=at)
        )

    async def has_others(
        self, provider_id: str, subject: str, now: datetime, *, besides: Collection[str]
    ) -> bool:
        """Whether the person has further sign-ins with tokens that are not over."""
        rows = await self._database.rows(
            select(_C.sign_in_id)
            .where(
                _C.provider_id == provider_id,
                _C.subject == subject,
                _C.sign_in_id.not_in(besides),
                _C.sealed != b"",
                _C.until > to_micros(now),
            )
            .limit(1)
        )
        return bool(rows)

    async def doubt(self, provider_id: str, subject: str) -> None:
        """The person's tokens may have been revoked with another of theirs."""
        await self._database.write(
            update(OIDC_SIGN_INS)
            .where(_C.provider_id == provider_id, _C.subject == subject)
            .values(doubts=_C.doubts + 1)
        )

    async def forget(self, sign_ins: Collection[OidcSignIn]) -> None:
        """Delete them, unless another claimed them meanwhile."""
        claims = [(sign_in.sign_in_id, sign_in.generation) for sign_in in sign_ins]
        await self._database.write(
            delete(OIDC_SIGN_INS).where(
                tuple_(_C.sign_in_id, _C.generation).in_(claims)
            )
        )

    async def note_state(
        self, provider_id: str, now: datetime, problem: str = ""
    ) -> None:
        """The provider answers, or does not for a reason."""
        values: dict[str, object] = {"failing_since": 0, "problem": ""}
        if problem:
            since = case(
                (_W.failing_since == 0, to_micros(now)), else_=_W.failing_since
            )
            values = {"failing_since": since, "problem": problem[:_PROBLEM_MAX]}
        changed = _W.provider_id == provider_id
        if not problem:
            changed &= _W.failing_since != 0
        rows = await self._database.rows(select(_W.provider_id).where(changed))
        if rows:
            await self._database.write(
                update(OIDC_WATCHES).where(changed).values(values)
            )

    async def state_of(self, provider_id: str, now: datetime) -> WatchState:
        """How the provider is asked now."""
        live = (_C.provider_id == provider_id, _C.until > to_micros(now))
        counts = {
            bool(row.has): row.number
            for row in await self._database.rows(
                select((_C.sealed != b"").label("has"), func.count().label("number"))
                .where(*live, _C.access_key_id != "")
                .group_by("has")
            )
        }
        failing = await self.list_failing(provider_id)
        since, problem = failing.get(provider_id, (None, ""))
        return WatchState(
            asked=counts.get(True, 0),
            unasked=counts.get(False, 0),
            failing_since=since,
            problem=problem,
        )

    async def list_failing(
        self, provider_id: str = ""
    ) -> dict[str, tuple[datetime, str]]:
        """Since when providers give no answer, and why, by their ids."""
        which = [_W.failing_since > 0]
        if provider_id:
            which.append(_W.provider_id == provider_id)
        rows = await self._database.rows(
            select(OIDC_WATCHES).where(*which).limit(_PROVIDERS_MAX)
        )
        return {
            row.provider_id: (from_micros(row.failing_since), row.problem)
            for row in rows
        }


def _claim_of(sign_in: OidcSignIn) -> tuple[ColumnElement[bool], ...]:
    return (
        _C.sign_in_id == sign_in.sign_in_id,
        _C.generation == sign_in.generation,
    )


def _read(row: Any) -> OidcSignIn:  # noqa: ANN401  # SQLAlchemy's
    return OidcSignIn(
        sign_in_id=row.sign_in_id,
        account=row.account,
        provider=row.provider,
        provider_id=row.provider_id,
        client_id=row.client_id,
        subject=row.subject,
        access_key_id=row.access_key_id,
        sealed=bytes(row.sealed),
        began_at=from_micros(row.began_at),
        until=from_micros(row.until),
        generation=row.generation,
        # A claim counts as one doubt, until its answer is told.
        is_doubtful=row.doubts > (1 if row.claimed_until else 0),
    )
