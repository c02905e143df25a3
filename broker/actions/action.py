"""Actions as they are declared, and the call that the pipeline passes to them.

An action never orchestrates gates: it says which proof it takes and which
permissions it needs, and the pipeline applies them before ``handle`` runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from broker.audit.entry import AuditEntry
from broker.errors import Throttling
from broker.kinds.rules import Work
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.request import Params, RequestContext
from broker.model.session import Caller
from broker.permit.need import Need
from broker.permit.rates import RateLimits
from broker.proofs.scheme import Scheme
from broker.runtime.batches import check_wanted
from broker.runtime.shares import METER
from broker.sessions.ends import OneTimeUse
from broker.sessions.issue import KeepCredentials
from broker.stores.audit_rows import ReplayMark
from broker.stores.directory.port import DirectoryChange, DirectoryReader

_PAUSE_SECONDS = 0.25
_PAUSES_MAX = 20

_LONG_ANSWER = 200_000
"""Characters of XML, roughly: about two milliseconds."""

_MEMBER = 60
"""Characters that a value takes besides its own."""


class Proof(StrEnum):
    """What a caller must show."""

    SIGNATURE = "signature"
    SAML = "saml"
    WEB_IDENTITY = "web identity"
    CERTIFICATE = "certificate"
    JOIN_TOKEN = "join token"  # noqa: S105  # a kind of proof
    MACHINE_TOKEN = "web identity of a machine"  # noqa: S105  # a kind of proof
    INSTANCE = "instance key"
    LDAP = "ldap"

    @property
    def is_parameter(self) -> bool:
        """Whether parameters say what the proof is for: they are read before it."""
        return self is not Proof.SIGNATURE


class Call(Struct, kw_only=True):
    """One call: what the pipeline's stages find out, and an action's declared steps see.

    ``request`` is how it came in, ``now`` its time, and ``read`` reads its input. Reads
    go through ``directory``: inside an action that ``writes`` that is its transaction.
    ``record`` is the audit record in the making, which a mint completes. The proof gives
    ``params``, ``caller`` and what follows it; ``region`` is the one that it names, or
    else the request's. ``needs`` are the permissions that were given, and ``prepared``
    is what ``prepare`` returned: both are there for ``handle`` alone. ``pauses`` is how
    often it may still wait for its account's share.
    """

    request: RequestContext
    now: datetime
    action: "Action"
    directory: DirectoryReader
    record: AuditEntry
    rates: RateLimits
    region: str
    read: Callable[[], Params] = dict
    proof: Scheme | None = None
    params: Params = {}
    caller: Caller = None  # type: ignore[assignment] # not before the proof
    identity: FederatedIdentity | None = None
    one_time_use: OneTimeUse | None = None
    keep: KeepCredentials | None = None
    needs: tuple[Need, ...] = ()
    prepared: object = None
    opened: DirectoryChange | None = None
    result: Mapping[str, Any] = {}
    pauses: int = _PAUSES_MAX

    @property
    def account(self) -> AccountId:
        """The caller's account: the one that IAM actions act in."""
        return self.caller.account

    async def afford(self) -> None:
        """Wait for a turn, if the account used much of the processor lately.

        What is too much for this second a data plane does in the next ones, as long as
        that is bearable.

        Raises:
            ClientGoneError: the client has gone.
            Throttling: the account has used its share.
        """
        shares = self.rates.shares
        while shares.is_spent(self.account) and (
            self.action.calls or self.action.counted
        ):
            self.pauses -= 1
            if self.pauses < 0 or not self.action.counted:
                raise Throttling(detail="the account's share of the processor is used")
            await asyncio.sleep(_PAUSE_SECONDS)
            check_wanted(self.request.has_left)
        meter = METER.get()
        if meter is not None:
            await shares.admit(meter)

    @property
    def mark(self) -> ReplayMark | None:
        """The replay mark of the door's own one-time proof, if any."""
        return (
            None
            if self.one_time_use is None
            else self.one_time_use.mark(self.request.request_id)
        )

    @property
    def trusted_role(self) -> Role:
        """The role whose trust policy allowed the call."""
        trust = self.needs[0].trust if self.needs else None
        if trust is None or trust.role is None:
            raise RuntimeError("no role's trust policy was asked")
        return trust.role

    @property
    def federated(self) -> FederatedIdentity:
        """The proved outside identity of an unsigned call."""
        if self.identity is None:
            raise RuntimeError("the call brought no federated proof")
        return self.identity

    @property
    def change(self) -> DirectoryChange:
        """The open transaction of an action that ``writes``."""
        if self.opened is None:
            raise RuntimeError("declare the action with writes=True to change things")
        return self.opened

    @property
    def work(self) -> Work:
        """What the rules of a kind are told of a call that ``writes``."""
        return Work(
            change=self.change,
            account=self.account,
            region=self.region,
            now=self.now,
            by=self.caller.principal.arn,
        )


Needs = Callable[[Any, Call], Awaitable[tuple[Need, ...]]]
Handle = Callable[[Any, Call], Awaitable[Mapping[str, Any] | None]]
Prepare = Callable[[Any, Call], Awaitable[object]]
Holds = Callable[[Any, Call], Awaitable[Sequence[AccountId]]]


async def needs_nothing(_given: Params, _call: Call) -> tuple[Need, ...]:
    """For actions that need no permission, such as ``GetCallerIdentity``."""
    return ()


class Action(Struct, frozen=True, kw_only=True):
    """One operation of a service.

    ``needs`` names the permissions; ``handle`` does the work and returns the output
    shape as a mapping, or None when it has no members. ``writes`` runs ``handle`` inside one directory transaction
    that also holds the audit record. ``audited`` lists the parameters that the
    record may show. ``prepare`` does what takes too long for a transaction, once the
    call is permitted and before the transaction begins; what it returns is the call's
    ``prepared``. ``holds`` names accounts of which no change runs beside the transaction.
    ``calls`` is how many calls it counts for in the account's rate limit:
    a costlier one counts for more, one that must never be refused for none. ``lists``
    says that answers can be long. ``counted`` is for the calls of a data plane, which
    leave no record each (`AuditEntry`), and of which only the work counts.
    """

    service: str
    name: str
    handle: Handle
    needs: Needs
    proof: Proof = Proof.SIGNATURE
    writes: bool = False
    audited: tuple[str, ...] = ()
    prepare: Prepare | None = None
    holds: Holds | None = None
    calls: int = 1
    lists: bool = False
    counted: bool = False

    def is_long(self, result: Mapping[str, Any]) -> bool:
        """Whether rendering the answer would keep other calls waiting."""
        return self.lists and _size(result) > _LONG_ANSWER


def console_action(
    name: str,
    needs: Needs,
    handle: Handle,
    *audited: str,
    **more: Any,  # noqa: ANN401  # as in `Action`
) -> Action:
    """An operation of the sign-in service, which pages of the console call."""
    return Action(
        service="signin",
        name=name,
        needs=needs,
        handle=handle,
        audited=audited,
        **more,
    )


def needing(*permissions: tuple[str, str]) -> Needs:
    """Needs of a call: actions, and what the ARN of IAM ends with; empty for ``*``."""

    async def needs(_given: Params, call: Call) -> tuple[Need, ...]:
        return tuple(
            Need(
                action=action,
                resource=iam_arn(call.account, below) if below else "*",
                account=call.account,
            )
            for action, below in permissions
        )

    return needs


def _size(value: object) -> int:
    """The rendered size of a value; counting stops once it is long."""
    if isinstance(value, str | bytes):
        return _MEMBER + len(value)
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return _MEMBER
    total = 0
    for part in value:
        total += _size(part)
        if total > _LONG_ANSWER:
            break
    return total
