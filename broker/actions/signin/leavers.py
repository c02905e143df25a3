"""Ends the sessions of people who have left a directory.

A directory tells nobody that an account was closed, so it is asked: about each person
whose sessions may live, less than a minute after the last time, fifty with one search,
and about the groups of each that has roles by them.
Each person is asked about by one worker at a time, each directory for itself, so that
one that hangs delays no other's leavers.

Sign-ins end for good, and console sessions with all that was derived from them.

``ConsoleLogout`` and ``FrontChannelLogout`` end only what is named;
``EndConsoleSessions`` also what came from it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import structlog

from broker.actions.action import Action, Call, console_action, needs_nothing
from broker.actions.signin.lost_roles import background_record, end_lost_roles
from broker.errors import IdpCommunicationError
from broker.model.account import AccountId
from broker.model.entities import LdapProvider
from broker.model.revocation import REVOCATION_LIFE
from broker.proofs.ldap.connection import LdapUnavailableError
from broker.proofs.ldap.people import PersonRefusedError
from broker.proofs.ldap.prover import LdapProver, proof_of
from broker.runtime.clock import Clock
from broker.runtime.offload import in_background
from broker.sessions.ends import end_for_good, refuse_earlier
from broker.sessions.revoke import (
    SETTLING,
    revoke_key_id,
    revoke_person,
    revoke_session,
)
from broker.stores.cache.port import Cache, SessionRecord
from broker.stores.directory.kinds import LDAP_PROVIDER
from broker.stores.directory.port import Directory
from broker.stores.errors import ConflictError, StoreUnavailableError
from broker.stores.ldap_sign_ins import LdapSignIn, LdapSignIns

TICK_SECONDS = 5.0
ASK_AFTER = timedelta(seconds=40)
"""With a tick and the longest wait for a directory, less than a minute."""

_TAKEN = 500
"""People asked about in one round of a worker."""

_Vouched = tuple[LdapProvider, Sequence[LdapSignIn]]
"""A provider, and people it authenticated."""

_log = structlog.get_logger(__name__)


class Leavers:
    """Asks about people, and ends the sessions of those who left."""

    def __init__(
        self,
        directory: Directory,
        ldap: LdapProver,
        sign_ins: LdapSignIns,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._ldap = ldap
        self._sign_ins = sign_ins
        self._clock = clock

    def watching(
        self, *, interval_seconds: float = TICK_SECONDS
    ) -> AbstractAsyncContextManager[None]:
        """Ask in the background while the block runs."""
        return in_background(self._watch(interval_seconds), "leavers")

    async def ask(self) -> bool:
        """Ask about some who are due; whether there may be more.

        Raises:
            StoreUnavailableError, ConflictError: the database is away or busy.
        """
        now = self._clock.now()
        due = await self._sign_ins.take_due(now, before=now - ASK_AFTER, most=_TAKEN)
        by_provider: dict[tuple[AccountId, str, str], list[LdapSignIn]] = defaultdict(
            list
        )
        for sign_in in due:
            by_provider[sign_in.account, sign_in.provider, sign_in.provider_id].append(
                sign_in
            )
        by_directory: dict[str, list[_Vouched]] = defaultdict(list)
        for (account, name, provider_id), some in by_provider.items():
            provider = await self._directory.named(LDAP_PROVIDER, account, name)
            if provider is None or provider.unique_id != provider_id:
                # Its deletion ended all sessions that it authenticated.
                await self._sign_ins.forget(some, now)
            else:
                by_directory[provider.directory].append((provider, some))
        results = await asyncio.gather(
            *(self._ask_directory(some, now) for some in by_directory.values()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(due) == _TAKEN

    async def _ask_directory(self, vouched: Sequence[_Vouched], now: datetime) -> None:
        subjects = dict.fromkeys(
            sign_in.subject for _, some in vouched for sign_in in some
        )
        first, _ = vouched[0]
        try:
            over = await self._ldap.people_of(first).find_over(tuple(subjects), now)
        except (LdapUnavailableError, IdpCommunicationError) as error:
            _log.warning(
                "a directory cannot be asked about its people",
                directory=first.directory,
                error=str(error),
            )
            return
        for provider, some in vouched:
            gone = [sign_in for sign_in in some if sign_in.subject in over]
            if gone:
                await self._end(
                    provider,
                    {sign_in.subject: over[sign_in.subject] for sign_in in gone},
                )
                await self._sign_ins.forget(gone, self._clock.now())
            for sign_in in some:
                if sign_in.roles and sign_in.subject not in over:
                    await self._map_again(provider, sign_in, now)

    async def _map_again(
        self, provider: LdapProvider, sign_in: LdapSignIn, now: datetime
    ) -> None:
        """End the sessions of roles that the person's groups no longer have."""
        try:
            person = await self._ldap.people_of(provider).get_current(
                sign_in.subject, now
            )
        except (PersonRefusedError, LdapUnavailableError) as error:
            _log.warning(
                "a directory cannot be asked about a person's groups",
                directory=provider.directory,
                error=str(error),
            )
            return
        roles = proof_of(provider, person).roles
        if lost := sorted(set(sign_in.roles).difference(roles)):
            await end_lost_roles(
                self._directory,
                provider,
                provider.account,
                sign_in.subject,
                lost,
                now=self._clock.now(),
            )
        if set(roles) != set(sign_in.roles):
            await self._sign_ins.keep_roles(sign_in, roles)

    async def _end(self, provider: LdapProvider, over: Mapping[str, str]) -> None:
        """End everything that these people opened, by subject, with the reason."""
        async with self._directory.change(provider.account) as change:
            for subject, why in over.items():
                now = self._clock.now()
                await revoke_person(
                    change,
                    account=provider.account,
                    issuers=(provider.arn,),
                    subject=subject,
                    now=now,
                    # What was being minted while the directory was asked.
                    settling=SETTLING,
                    reason=why,
                )
                await change.record(
                    background_record(
                        provider.arn,
                        provider.account,
                        "EndDirectorySessions",
                        why,
                        now,
                        Subject=subject,
                    )
                )
                _log.info("a person left", provider=provider.arn, reason=why)

    async def _watch(self, interval_seconds: float) -> None:
        async with asyncio.TaskGroup() as rounds:
            while True:
                # Not awaited to its end: a directory that hangs holds up the people
                # of one round, who are not taken again before they are due.
                asked = rounds.create_task(self._ask_safely())
                done, _ = await asyncio.wait({asked}, timeout=interval_seconds)
                if done and not asked.result():
                    await asyncio.sleep(interval_seconds)

    async def _ask_safely(self) -> bool:
        try:
            return await self.ask()
        except (StoreUnavailableError, ConflictError) as error:
            _log.warning("cannot check for leavers", error=str(error))
        except Exception:  # noqa: BLE001  # the loop must outlive any round
            _log.exception("unexpected failure")
        return False


class EndMark(TypedDict):
    """Ends what was issued before; ``Until`` is in seconds since 1970."""

    Mark: str
    Until: float


class EndConsoleSessionsRequest(TypedDict):
    """The sessions that a logout ends, and marks for all else that its proofs open."""

    AccessKeyIds: Sequence[str]
    EndMarks: Sequence[EndMark]


def end_console_sessions(cache: Cache) -> Action:
    """The action, given what it works with."""

    # The cache may share the database's single writer, so it is read before the
    # transaction begins.
    async def find(
        params: EndConsoleSessionsRequest, _call: Call
    ) -> dict[str, SessionRecord | None]:
        return {key: await cache.find_session(key) for key in params["AccessKeyIds"]}

    return console_action(
        "EndConsoleSessions",
        needs_nothing,
        _end,
        "AccessKeyIds",
        prepare=find,
        writes=True,
        calls=0,
    )


async def _end(params: EndConsoleSessionsRequest, call: Call) -> None:
    for mark in params["EndMarks"]:
        await refuse_earlier(
            call.change,
            call.account,
            mark["Mark"],
            upto=mark["Until"],
            until=call.now + REVOCATION_LIFE,
        )
    prepared = call.prepared
    if not isinstance(prepared, dict):
        raise TypeError("nothing was prepared")
    reason = f"logout at {call.caller.principal.arn}"
    for access_key_id, record in prepared.items():
        if isinstance(record, SessionRecord) and record.account == call.account:
            await revoke_session(call.change, record, now=call.now, reason=reason)
        else:
            await revoke_key_id(
                call.change,
                account=call.account,
                access_key_id=access_key_id,
                now=call.now,
                reason=reason,
            )


class EndingRequest(TypedDict):
    """The marks of what ends (`broker.sessions.ends`), in the caller's account.

    ``ExpiresAt`` (seconds since 1970) is when the last of it would have ended anyway.
    """

    Marks: Sequence[str]
    ExpiresAt: int


async def _end_for_good(params: EndingRequest, call: Call) -> None:
    await end_for_good(
        call.change,
        call.account,
        params["Marks"],
        # What came from it may last longer: a machine's credentials, or a role's.
        until=max(
            datetime.fromtimestamp(params["ExpiresAt"], UTC), call.now + REVOCATION_LIFE
        ),
        reason=f"ended by {call.caller.principal.arn}",
    )


END_SIGN_INS = tuple(
    console_action(name, needs_nothing, _end_for_good, writes=True, calls=0)
    for name in ("ConsoleLogout", "FrontChannelLogout")
)
