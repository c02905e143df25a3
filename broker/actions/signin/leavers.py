"""Ends the sessions of people who have left a directory.

A directory tells nobody that an account was closed, so it is asked: about each person
whose sessions may live, less than a minute after the last time, fifty with one search,
and about the groups of each that has roles by them.
Each person is asked about by one worker at a time, each directory for itself, so that
one that hangs delays no other's leavers.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import structlog

from broker.actions.signin.lost_roles import background_record, end_lost_roles
from broker.errors import IdpCommunicationError
from broker.model.account import AccountId
from broker.model.entities import LdapProvider
from broker.proofs.ldap.connection import LdapUnavailableError
from broker.proofs.ldap.people import PersonRefusedError
from broker.proofs.ldap.prover import LdapProver, proof_of
from broker.runtime.clock import Clock
from broker.runtime.offload import in_background
from broker.sessions.revoke import (
    SETTLING,
    revoke_person,
)
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
