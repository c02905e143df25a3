"""Ends what people opened who have left an OpenID Connect provider.

Many providers tell no one that an account was closed, so they are asked: with the
refresh token of each sign-in, as often as the provider's operator says. One worker asks
a provider at a time, and claims a sign-in before it sends its token. A new token is kept
before anything ends.

``invalid_grant`` alone says that a sign-in is over. Whatever else a provider answers is
an outage or an operator's error, and ends nothing. Neither does a refusal after an answer
that was lost: a provider that rotates tokens refuses those that it sees twice.

Source: RFC 6749 5.2; RFC 9700 4.14; OpenID Connect Core 1.0 11 and 12.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from broker.actions.signin.lost_roles import background_record, end_lost_roles
from broker.errors import BrokerError, IdpCommunicationError, ServiceUnavailable
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.model.lineage import Trace, subject_digest
from broker.model.secret import Confidential
from broker.proofs.code_flow import CodeFlow, RefreshAnswer, RefreshOutcome
from broker.proofs.group_roles import offered_roles
from broker.proofs.outbound import DEADLINE_SECONDS
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.web_identity import WebIdentityProver
from broker.runtime.clock import Clock
from broker.runtime.offload import in_background
from broker.sessions.lineage import subject_target
from broker.sessions.revoke import (
    SETTLING,
    revoke_key_id,
    revoke_person,
)
from broker.sessions.vault import SealBrokenError
from broker.sessions.watched import (
    TOKEN_CHARACTERS_MAX,
    KeptToken,
    RolesByAccount,
    WatchedSignIns,
)
from broker.stores.directory.kinds import OIDC_PROVIDER
from broker.stores.directory.port import Directory
from broker.stores.directory.readings import FreshDirectory
from broker.stores.errors import ConflictError, StoreUnavailableError
from broker.stores.oidc_sign_ins import (
    CLAIM,
    OidcSignIn,
    OidcSignIns,
    WatchedProvider,
)

ASKED_AT_ONCE = 8
"""Of one provider."""

_TICK_SECONDS = 5.0
"""The longest time after which it is looked for what is due."""

_BUSY_SECONDS = 1.0
_SENDING = timedelta(seconds=2 * DEADLINE_SECONDS)
"""What is left of a claim when its token is sent, at least."""

_AFTER_OUTAGE = timedelta(seconds=30)
"""A provider that answered no one is asked again then."""

_REVOKING = timedelta(minutes=15)
"""How long it is tried to revoke a token after a sign-in's end."""

_WAITING, _WAITING_MAX = timedelta(minutes=5), timedelta(days=1)
"""How long a token waits to be revoked while its person has other sign-ins."""

_log = structlog.get_logger(__name__)


class _Asked(Confidential, frozen=True, kw_only=True):
    """A sign-in that was asked about, what was kept of it, and the answer."""

    sign_in: OidcSignIn
    kept: KeptToken
    answer: RefreshAnswer


class TokenWatch:
    """Asks about people, and ends the sessions of those who left."""

    def __init__(
        self,
        directory: Directory,
        fresh: FreshDirectory,
        flow: CodeFlow,
        prover: WebIdentityProver,
        sign_ins: OidcSignIns,
        *,
        watched: WatchedSignIns,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._fresh = fresh
        self._flow = flow
        self._prover = prover
        self._sign_ins = sign_ins
        self._watched = watched
        self._clock = clock
        self._asking: set[str] = set()

    def watching(self) -> AbstractAsyncContextManager[None]:
        """Ask in the background while the block runs."""
        return in_background(self._watch(), "token-watch")

    async def ask(self) -> None:
        """Ask about all who are due, and whom no other worker asks about.

        Raises:
            StoreUnavailableError, ConflictError: the database is away or busy.
        """
        await asyncio.gather(
            *(
                self._ask_provider(provider)
                for provider in await self._sign_ins.list_due(self._clock.now())
            )
        )

    async def find_unasked(self) -> Mapping[str, float]:
        """For how many seconds providers have given no answer, by their ids.

        None where the database cannot say.
        """
        try:
            failing = await self._sign_ins.list_failing()
        except StoreUnavailableError:
            return {}
        now = self._clock.now()
        return {
            provider_id: max((now - since).total_seconds(), 0.0)
            for provider_id, (since, _) in failing.items()
        }

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as rounds:
            while True:
                pause = _TICK_SECONDS
                try:
                    now = self._clock.now()
                    for provider in await self._sign_ins.list_due(now):
                        pause = _BUSY_SECONDS
                        # Not awaited: one that hangs delays no other's leavers.
                        if provider.provider_id not in self._asking:
                            rounds.create_task(self._ask_safely(provider))
                    due_at = await self._sign_ins.find_next_due(now)
                    if due_at is not None:
                        left = (due_at - self._clock.now()).total_seconds()
                        pause = min(pause, max(left, 0.0))
                except StoreUnavailableError as error:
                    _log.warning("cannot check for leavers", error=str(error))
                await asyncio.sleep(pause)

    async def _ask_safely(self, provider: WatchedProvider) -> None:
        try:
            await self._ask_provider(provider)
        except (StoreUnavailableError, ConflictError, ServiceUnavailable) as error:
            _log.warning("cannot check for leavers", error=str(error))
        except Exception:  # noqa: BLE001  # the loop must outlive any round
            _log.exception("unexpected failure")

    async def _ask_provider(self, watched: WatchedProvider) -> None:
        provider_id, now = watched.provider_id, self._clock.now()
        self._asking.add(provider_id)
        try:
            if not await self._sign_ins.lease(provider_id, now, now + CLAIM):
                return
            try:
                while await self._ask_batch(watched):
                    await self._sign_ins.extend_lease(
                        provider_id, self._clock.now() + CLAIM
                    )
            finally:
                await self._sign_ins.extend_lease(provider_id, self._clock.now())
        finally:
            self._asking.discard(provider_id)

    async def _ask_batch(self, watched: WatchedProvider) -> bool:
        """Whether there may be more to ask about."""
        # Read before the claim, which casts a doubt on tokens until they are told of.
        provider = await self._fresh.named(
            OIDC_PROVIDER, watched.account, watched.provider
        )
        options = ProviderOptions.parse(provider.options if provider else {})
        claimed_at = self._clock.now()
        claimed = await self._sign_ins.claim(watched.provider_id, claimed_at)
        if not claimed:
            return False
        if provider is None or provider.unique_id != watched.provider_id:
            # Its deletion ended all sessions that it authenticated.
            await self._sign_ins.forget(claimed)
            return True
        every = options.watch_interval
        limit = asyncio.Semaphore(ASKED_AT_ONCE)
        asked: list[_Asked] = []

        async def look(sign_in: OidcSignIn) -> None:
            kept = self._watched.find_opened(sign_in) if sign_in.sealed else None
            is_ours = sign_in.client_id == options.client_id
            if kept is None or not is_ours:
                # Its time is over; or its token is another client's, or opens no more.
                if sign_in.until > claimed_at and every is not None:
                    await self._sign_ins.keep_unasked(sign_in)
                else:
                    await self._sign_ins.forget([sign_in])
                return
            async with limit:
                if every is None or await self._is_over(provider, sign_in):
                    await self._let_go(provider, options, sign_in, kept)
                    return
                if self._clock.now() > claimed_at + CLAIM - _SENDING:
                    # Another worker may claim it before there is an answer.
                    await self._sign_ins.restore(sign_in, claimed_at, was_lost=False)
                    return
                answer = await self._refresh(provider, options, kept.token)
            result = _Asked(sign_in=sign_in, kept=kept, answer=answer)
            if await self._settle(result, claimed_at, every):
                asked.append(result)

        await asyncio.gather(*map(look, claimed))
        await self._map_again(provider, asked)
        await self._end_refused(provider, asked)
        return await self._note_state(provider, asked)

    async def _refresh(
        self, provider: OidcProvider, options: ProviderOptions, token: str
    ) -> RefreshAnswer:
        try:
            return await self._flow.refresh(provider, options, token)
        except SealBrokenError as error:
            return RefreshAnswer(outcome=RefreshOutcome.UNANSWERED, detail=str(error))

    async def _is_over(self, provider: OidcProvider, sign_in: OidcSignIn) -> bool:
        """Whether the sign-in's session has ended, however that came about."""
        if sign_in.until <= self._clock.now():
            return True
        began_ms = int(sign_in.began_at.timestamp() * 1000)
        digest = subject_digest(provider.url, sign_in.subject)
        keys = frozenset((sign_in.access_key_id,))
        trace = Trace(
            account=sign_in.account,
            since_ms=began_ms,
            mint_ids=frozenset(),
            key_ids=keys,
            old_key_ids=keys,
            marks=tuple(
                (target, began_ms)
                for target in (
                    sign_in.account,
                    provider.arn,
                    provider.unique_id,
                    subject_target(digest),
                )
            ),
        )
        return (await self._fresh.revocations(sign_in.account)).cover(trace)

    async def _let_go(
        self,
        provider: OidcProvider,
        options: ProviderOptions,
        sign_in: OidcSignIn,
        kept: KeptToken,
    ) -> None:
        """Revoke the token at the provider, once the person has no other, and forget it."""
        now, provider_id = self._clock.now(), provider.unique_id
        until = min(sign_in.until, now)
        if await self._sign_ins.has_others(
            provider_id, sign_in.subject, now, besides=[sign_in.sign_in_id]
        ):
            # Keycloak and Google end all of a person's tokens with one of them.
            if now > sign_in.until + _WAITING_MAX:
                await self._sign_ins.forget([sign_in])
            else:
                await self._sign_ins.end(sign_in, until, now + _WAITING)
            return
        try:
            was_revoked = await self._flow.revoke(provider, options, kept.token)
        except SealBrokenError:
            was_revoked = False
        if was_revoked or now > sign_in.until + _REVOKING:
            # Someone who signed in at that very moment may have lost that token, too.
            await self._sign_ins.doubt(provider_id, sign_in.subject)
            await self._sign_ins.forget([sign_in])
        else:
            await self._sign_ins.end(sign_in, until, now + _AFTER_OUTAGE)

    async def _settle(
        self, asked: _Asked, claimed_at: datetime, every: timedelta
    ) -> bool:
        """Keep what an answer says of the token; False if another worker has it."""
        sign_in, kept, answer = asked.sign_in, asked.kept, asked.answer
        # From when the question was asked: what happened since is seen by the next.
        due_at = claimed_at + every
        if answer.outcome is RefreshOutcome.GOOD:
            token = answer.refresh_token or kept.token
            if len(token) > TOKEN_CHARACTERS_MAX:
                token = kept.token
            sealed = self._watched.seal(
                sign_in.account, sign_in.sign_in_id, replace(kept, token=token)
            )
            return await self._sign_ins.keep(sign_in, sealed, due_at)
        if answer.outcome is RefreshOutcome.REFUSED:
            # Due again at once, should it not be possible to end it now.
            return await self._sign_ins.restore(sign_in, claimed_at, was_lost=False)
        was_lost = answer.outcome is RefreshOutcome.LOST
        return await self._sign_ins.restore(sign_in, due_at, was_lost=was_lost)

    async def _note_state(
        self, provider: OidcProvider, asked: Sequence[_Asked]
    ) -> bool:
        """Note whether the provider answers; whether to go on with the next batch."""
        failed = [
            result.answer
            for result in asked
            if result.answer.outcome in {RefreshOutcome.UNANSWERED, RefreshOutcome.LOST}
        ]
        now = self._clock.now()
        pauses = [answer.retry_after for answer in failed if answer.retry_after]
        if failed:
            _log.warning(
                "a provider cannot be asked about its people",
                provider=provider.arn,
                sign_ins=len(failed),
                error=failed[0].detail,
            )
        answers_none = bool(failed) and len(failed) == len(asked)
        if asked:
            problem = failed[0].detail if answers_none else ""
            await self._sign_ins.note_state(provider.unique_id, now, problem)
        if answers_none or pauses:
            pause = max((_AFTER_OUTAGE, *pauses)) if answers_none else max(pauses)
            await self._sign_ins.postpone(provider.unique_id, now + pause)
            return False
        return True

    async def _end_refused(
        self, provider: OidcProvider, asked: Sequence[_Asked]
    ) -> None:
        """End the sign-ins that the provider refuses, and people of whom it refuses all."""
        refused: dict[str, list[_Asked]] = defaultdict(list)
        doubtful: set[str] = set()
        for result in asked:
            if result.answer.outcome is not RefreshOutcome.REFUSED:
                continue
            sign_in = result.sign_in
            if not sign_in.is_doubtful:
                refused[sign_in.subject].append(result)
                continue
            doubtful.add(sign_in.subject)
            _log.warning(
                "a refresh token is refused after an answer was lost: nothing ends, and"
                " no one asks about this sign-in any more",
                provider=provider.arn,
                answer=result.answer.detail,
            )
            await self._sign_ins.keep_unasked(sign_in)
        for subject, results in refused.items():
            sign_ins = [result.sign_in for result in results]
            is_person = subject not in doubtful and not await self._sign_ins.has_others(
                provider.unique_id,
                subject,
                self._clock.now(),
                besides=[sign_in.sign_in_id for sign_in in sign_ins],
            )
            await self._end(provider, subject, sign_ins, is_person=is_person)
            await self._sign_ins.forget(sign_ins)
            _log.info(
                "a person left" if is_person else "a sign-in is over at its provider",
                provider=provider.arn,
                answers=[result.answer.detail for result in results],
            )

    async def _end(
        self,
        provider: OidcProvider,
        subject: str,
        sign_ins: Sequence[OidcSignIn],
        *,
        is_person: bool,
    ) -> None:
        now, account = self._clock.now(), provider.account
        reason = f"{provider.arn} refuses its refresh token"
        async with self._directory.change(account) as change:
            for sign_in in sign_ins:
                await revoke_key_id(
                    change,
                    account=account,
                    access_key_id=sign_in.access_key_id,
                    now=now,
                    reason=reason,
                )
            if is_person:
                await revoke_person(
                    change,
                    account=account,
                    issuers=(provider.url,),
                    subject=subject,
                    now=now,
                    settling=SETTLING,
                    reason=reason,
                )
            await change.record(
                background_record(
                    provider.arn,
                    account,
                    "EndProviderSessions",
                    reason,
                    now,
                    Subject=subject,
                    AccessKeyIds=[sign_in.access_key_id for sign_in in sign_ins],
                    Person=is_person,
                )
            )

    async def _map_again(self, provider: OidcProvider, asked: Sequence[_Asked]) -> None:
        """End the sessions of roles that new ID tokens no longer give."""
        for result in asked:
            if result.answer.outcome is RefreshOutcome.GOOD and result.answer.id_token:
                await self._map(provider, result)

    async def _map(self, provider: OidcProvider, asked: _Asked) -> None:
        sign_in, kept = asked.sign_in, asked.kept
        roles: dict[AccountId, tuple[str, ...]] = {}
        for account, before in kept.roles.items():
            now_given = await self._find_roles(sign_in, account, asked.answer.id_token)
            roles[account] = before if now_given is None else now_given
        if all(set(roles[account]) == set(kept.roles[account]) for account in roles):
            return
        for account, before in kept.roles.items():
            if lost := [arn for arn in before if arn not in roles[account]]:
                await end_lost_roles(
                    self._directory,
                    provider,
                    account,
                    sign_in.subject,
                    lost,
                    now=self._clock.now(),
                )
        # After that: if it fails, the next answer says the same again.
        await self._keep_roles(sign_in, roles)

    async def _find_roles(
        self, sign_in: OidcSignIn, account: AccountId, token: str
    ) -> tuple[str, ...] | None:
        """The roles that an ID token gives in an account now; None if it cannot be said."""
        try:
            identity = await self._prover.prove(
                token, account=account, now=self._clock.now()
            )
        except (IdpCommunicationError, ServiceUnavailable) as error:
            _log.warning("an ID token cannot be verified", error=str(error.detail))
            return None
        except BrokerError as error:
            if account != sign_in.account:
                return ()  # as at a sign-in
            _log.warning("a refreshed ID token is refused", error=str(error.detail))
            return None
        if (identity.subject, identity.audience) != (
            sign_in.subject,
            sign_in.client_id,
        ):
            _log.warning("a refreshed ID token is another's", account=account)
            return None
        return offered_roles(identity)

    async def _keep_roles(self, sign_in: OidcSignIn, roles: RolesByAccount) -> None:
        latest = await self._sign_ins.find(sign_in.sign_in_id)
        if latest is None or latest.generation != sign_in.generation:
            return
        kept = self._watched.find_opened(latest)
        if kept is not None:
            sealed = self._watched.seal(
                sign_in.account, sign_in.sign_in_id, replace(kept, roles=roles)
            )
            await self._sign_ins.keep_roles(sign_in, sealed)
