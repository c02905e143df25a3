"""The interface of authentication schemes."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from broker.errors import BrokerError
from broker.model.account import AccountId
from broker.model.federated import FederatedIdentity
from broker.model.request import Params, RequestContext
from broker.model.session import Caller
from broker.proofs.claimed_providers import ClaimedProvider
from broker.sessions.ends import OneTimeUse
from broker.sessions.issue import KeepCredentials

Read = Callable[[], Awaitable[Params]]
"""Reads the action's input, or refuses it."""


class ProofResult(Struct, frozen=True, kw_only=True):
    """The authenticated caller, and how the caller was proved.

    ``region`` is the one that was signed for; empty when the proof names none.
    ``identity`` is what an assertion or web identity token proved. A mint that the proof
    leads to uses up ``one_time_use``, and has ``keep`` keep its credentials first.
    ``details`` is what the proof says of itself, for the audit record.
    """

    caller: Caller
    region: str = ""
    identity: FederatedIdentity | None = None
    one_time_use: OneTimeUse | None = None
    keep: KeepCredentials | None = None
    details: Mapping[str, object] = {}


class ProofRefused(Exception):
    """A proof was refused, and the account it concerns is known.

    ``error`` is what the client gets. The rest is for the administrators concerned: the
    ``account``, the ``arn`` of the provider or user that the proof claims, and the
    ``provider_id`` of a provider, and what it says of itself (``details``). None of that
    is proved; a ``caller`` is, by an earlier step.
    """

    def __init__(
        self,
        error: BrokerError,
        *,
        account: AccountId,
        arn: str = "",
        provider_id: str = "",
        caller: Caller | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.account = account
        self.arn = arn
        self.provider_id = provider_id
        self.caller = caller
        self.details = details or {}

    @classmethod
    def of(cls, error: BrokerError, claimed: ClaimedProvider) -> "ProofRefused":
        """The refusal of a proof that was brought for a provider."""
        return cls(
            error,
            account=claimed.account,
            arn=claimed.provider.arn if claimed.provider else "",
            provider_id=claimed.provider_id,
        )


class Scheme(Protocol):
    """One way to prove who calls."""

    async def prove(
        self, request: RequestContext, service: str, action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """The proved caller, and the input as ``read`` gave it.

        A scheme whose proof is a parameter reads first; any other proves first, so that
        unauthenticated clients learn nothing about the input.

        Raises:
            BrokerError: the proof is refused.
            ProofRefused: The proof is refused, and the provider that it names is known.
        """
        ...


class DoorProof:
    """The proof that a door other than the API's takes: a cookie, a code, a token."""

    def __init__(self, prove: Callable[[datetime], Awaitable[ProofResult]]) -> None:
        self._prove = prove

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Prove, then read. Raises what the door's own proof raises."""
        proved = await self._prove(request.now)
        return proved, await read()
