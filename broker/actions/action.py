"""What an action declares, and the call that the pipeline carries to it.

An action never orchestrates gates: it says which proof it takes and which
permissions it needs, and the pipeline applies them before ``handle`` runs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from broker.audit.entry import AuditEntry
from broker.authz.need import Need
from broker.model.account import AccountId
from broker.model.caller import Caller
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.raw import RawRequest
from broker.sessions.spending import Spending
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.ledger.port import ReplayMark


class Proof(StrEnum):
    """What a caller must show."""

    SIGNATURE = "signature"
    SAML = "saml"
    WEB_IDENTITY = "web identity"


class Door(StrEnum):
    """Where a call came in."""

    API = "api"
    SAML = "saml"
    FEDERATION = "federation"
    SIGN_IN = "signin"
    CONSOLE = "console"


@dataclass(slots=True, kw_only=True)
class Call:
    """One call on its way; the pipeline fills it in step by step."""

    request_id: str
    """Also the audit record's id."""

    raw: RawRequest
    """The request as it came in."""

    door: Door
    """Where it came in."""

    now: datetime
    """The call's one ``now``."""

    region: str
    """Region of the credential scope, or the home region of an unsigned call."""

    entry: AuditEntry
    """The audit record in the making."""

    directory: DirectoryReader
    """Reads; inside a changing action they go through its transaction."""

    proved: Caller | None = None
    """Set by the *prove* step."""

    door_proof: Callable[[datetime], Awaitable[Caller]] | None = None
    """The *prove* step of a door that takes no signature, such as a cookie's."""

    identity_proof: Callable[[datetime], Awaitable[FederatedIdentity]] | None = None
    """The proof of a door that knows more of an assertion than its text."""

    identity: FederatedIdentity | None = None
    """What an assertion or web identity token proved."""

    spends: Spending | None = None
    """What the door's proof uses up with the mint."""

    prepared: object = None
    """What the action's ``prepare`` worked out before the transaction."""

    at_global_endpoint: bool = False
    """Whether it was sent to the one endpoint of all regions."""

    role: Role | None = None
    """The role whose trust policy was asked: what is minted is minted for it."""

    mfa_at: int | None = None
    """When the call's second factor was shown (seconds since 1970)."""

    opened: DirectoryChange | None = None
    """The transaction of an action that ``writes``."""

    @property
    def caller(self) -> Caller:
        """Who calls. Only there after the *prove* step."""
        if self.proved is None:
            raise RuntimeError("the call was not proved yet")
        return self.proved

    @property
    def account(self) -> AccountId:
        """The caller's account: the one that IAM actions act in."""
        return self.caller.account

    @property
    def mark(self) -> ReplayMark | None:
        """The replay mark of what the door's proof uses up."""
        return None if self.spends is None else self.spends.mark(self.request_id)

    @property
    def trusted_role(self) -> Role:
        """The role to be assumed. Only there after the *permit* step."""
        if self.role is None:
            raise RuntimeError("no role's trust policy was asked")
        return self.role

    @property
    def federated(self) -> FederatedIdentity:
        """The proved outside identity of an unsigned call."""
        if self.identity is None:
            raise RuntimeError("the call brought no federated proof")
        return self.identity

    @property
    def change(self) -> DirectoryChange:
        """The open transaction. Only there inside an action that ``writes``."""
        if self.opened is None:
            raise RuntimeError("declare the action with writes=True to change things")
        return self.opened


Given = Mapping[str, Any]
"""An operation's input, read and validated from its model's shape."""

Needs = Callable[[Any, Call], Awaitable[tuple[Need, ...]]]
Handle = Callable[[Any, Call], Awaitable[Mapping[str, Any]]]
Prepare = Callable[[Any, Call], Awaitable[None]]


async def needs_nothing(_given: Given, _call: Call) -> tuple[Need, ...]:
    """For actions that need no permission, such as ``GetCallerIdentity``."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One operation of a service.

    ``needs`` names the permissions; ``handle`` does the work and returns the output
    shape as a mapping. ``writes`` runs ``handle`` inside one directory transaction
    that also holds the audit record. ``audited`` lists the parameters that the
    record may show. ``prepare`` does what takes too long for a transaction, once the
    call is permitted and before the transaction begins. ``calls`` is how many calls it
    counts for in the account's rate limit: one that costs more counts for more, and
    what must never be refused for none. ``lists`` tells that answers can be long.
    """

    service: str
    name: str
    handle: Handle
    needs: Needs
    proof: Proof = Proof.SIGNATURE
    writes: bool = False
    audited: tuple[str, ...] = field(default=())
    prepare: Prepare | None = None
    calls: int = 1
    lists: bool = False

    def is_long(self, result: Mapping[str, Any]) -> bool:
        """Whether writing the answer out takes longer than others should wait."""
        return self.lists and _size(result) > _LONG_ANSWER


_LONG_ANSWER = 200_000
"""Characters of XML, roughly: about two milliseconds."""

_MEMBER = 60
"""Characters that a value takes besides its own."""


def _size(value: object) -> int:
    """How long a value is in an answer, counted no further than it is long."""
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
