"""People whom directories authenticated, so that leavers are noticed.

A row for each person whose sessions may live. It grants nothing: it says whom to ask
about again.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import and_, delete, or_, select, tuple_, update

from broker.model.account import AccountId
from broker.stores.database import Database
from broker.stores.directory.statements import insert_into
from broker.stores.schema import LDAP_SIGN_INS
from broker.stores.times import to_micros

KEPT = timedelta(hours=37)
"""From the last that was made of it; no session and no revocation lasts longer."""

_RENEWED_AFTER = timedelta(hours=1)
_C = LDAP_SIGN_INS.c


class LdapSignIn(Struct, frozen=True, kw_only=True):
    """A person of a directory; ``provider`` is the name of the account's provider.

    ``roles`` are the ARNs of those that their groups had since they were asked about.
    """

    account: AccountId
    provider: str
    provider_id: str
    subject: str
    roles: tuple[str, ...] = ()


class LdapSignIns:
    """Keeps them in the durable database.

    Every method raises ``StoreUnavailableError`` when that is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, sign_in: LdapSignIn, now: datetime) -> None:
        """Ask about this person from now on; durable when it returns."""
        # Read each time: another worker forgets whom it found to be gone.
        known = await self._database.rows(
            select(_C.until, _C.roles).where(
                _C.provider_id == sign_in.provider_id, _C.subject == sign_in.subject
            )
        )
        before = set(_read_roles(known[0].roles)) if known else set()
        is_new = not before.issuperset(sign_in.roles)
        if known and known[0].until > to_micros(now + KEPT) and not is_new:
            return
        # Those of before may have sessions: they are ended by who asks.
        roles = _write_roles(before.union(sign_in.roles))
        async with self._database.transaction() as connection:
            statement = insert_into(connection.dialect.name, LDAP_SIGN_INS).values(
                **{**asdict(sign_in), "roles": roles},
                # Longer by the time for which it is not written again.
                until=to_micros(now + KEPT + _RENEWED_AFTER),
                asked_at=to_micros(now),
            )
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["provider_id", "subject"],
                    set_={"until": statement.excluded.until, "roles": roles},
                )
            )

    async def ask_soon(self, provider_id: str, subject: str) -> None:
        """Let this person be the next to be asked about."""
        person = (_C.provider_id == provider_id, _C.subject == subject)
        await self._database.write(
            update(LDAP_SIGN_INS).where(*person).values(asked_at=0)
        )

    async def keep_roles(self, sign_in: LdapSignIn, roles: Iterable[str]) -> None:
        """The person's groups have these now, unless a new sign-in has added some."""
        person = (
            _C.provider_id == sign_in.provider_id,
            _C.subject == sign_in.subject,
            _C.roles == _write_roles(sign_in.roles),
        )
        changed = update(LDAP_SIGN_INS).where(*person)
        await self._database.write(changed.values(roles=_write_roles(roles)))

    async def take_due(
        self, now: datetime, *, before: datetime, most: int
    ) -> tuple[LdapSignIn, ...]:
        """Some who were asked about last before then; no other worker gets them."""
        due = and_(_C.asked_at < to_micros(before), _C.until > to_micros(now))
        # In a fixed order, so that workers never wait for each other in turn.
        some = select(_C.provider_id, _C.subject).where(due).order_by(_C.asked_at)
        taken = (
            update(LDAP_SIGN_INS)
            .where(tuple_(_C.provider_id, _C.subject).in_(some.limit(most)), due)
            .values(asked_at=to_micros(now))
            .returning(_C.account, _C.provider, _C.provider_id, _C.subject, _C.roles)
        )
        if not await self._database.rows(select(_C.subject).where(due).limit(1)):
            return ()
        async with self._database.transaction() as connection:
            rows = (await connection.execute(taken)).all()
        return tuple(
            LdapSignIn(
                account=row.account,
                provider=row.provider,
                provider_id=row.provider_id,
                subject=row.subject,
                roles=_read_roles(row.roles),
            )
            for row in rows
        )

    async def forget(self, sign_ins: Iterable[LdapSignIn], now: datetime) -> None:
        """Ask no more about these, nor about any whose time is over."""
        gone = [(sign_in.provider_id, sign_in.subject) for sign_in in sign_ins]
        which = or_(
            tuple_(_C.provider_id, _C.subject).in_(gone), _C.until <= to_micros(now)
        )
        await self._database.write(delete(LDAP_SIGN_INS).where(which))


def _write_roles(arns: Iterable[str]) -> str:
    return json.dumps(sorted(arns))


def _read_roles(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
