"""What a registered service asks, and what it is told.

A question says who acts in one of three ways: a request that the principal signed,
live credentials, or the ARN of a principal without a session of its own. It says what
is done by actions and resources, or leaves that to the service's routes.
"""

from collections.abc import Mapping
from dataclasses import field

from broker.errors import BrokerError
from broker.model.caller import Caller
from broker.model.struct import struct

DECISIONS_MAX = 100
"""Actions times resources of one question."""


@struct
class ToldRequest:
    """A request as an enforcement point received it.

    ``headers`` have lower-case names and ``host`` among them. ``body_sha256`` is the
    hash of the body in hexadecimal, None where the enforcement point does not know it;
    ``content_length`` is then its size, -1 if even that is unknown.
    ``source_ip`` is empty and ``secure`` None when they are not known.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body_sha256: str | None = None
    content_length: int = -1
    source_ip: str = ""
    secure: bool | None = None


@struct
class Question:
    """May whoever it names do ``actions`` to ``resources``?

    ``service`` is a service's name or ARN, empty for the one whose token asks.
    ``context`` has the condition keys that the service brings, in its own spelling.
    ``ambiguous`` is why the request cannot be told: such a question is refused.
    """

    service: str = ""
    request: ToldRequest | None = None
    ambiguous: str = ""
    access_key_id: str = ""
    session_token: str | None = field(default=None, repr=False)
    principal: str = ""
    actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@struct
class Decided:
    """The decision on one action and one resource."""

    action: str
    resource: str
    allowed: bool


@struct
class DecisionAnswer:
    """Who it was, and what they may do.

    ``refusal`` is why nobody is proved to act, or what is asked cannot be decided;
    there is no caller then, or no decision. ``payload`` is what was signed of the
    body.
    """

    caller: Caller | None = None
    refusal: BrokerError | None = None
    payload: str = ""
    decisions: tuple[Decided, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether everything that was asked is allowed."""
        return bool(self.decisions) and all(one.allowed for one in self.decisions)
