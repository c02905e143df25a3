"""A request for an action, before anything of it is proved."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from broker.errors import BrokerError
from broker.model.raw import RawRequest

Params = Mapping[str, Any]
"""An operation's input, read and validated from its model's shape."""

CodeOf = Callable[[BrokerError], str]
"""A protocol's code of an error."""


class Door(StrEnum):
    """Where a call came in."""

    API = "api"
    SAML = "saml"
    FEDERATION = "federation"
    SIGN_IN = "signin"
    CONSOLE = "console"
    DECISIONS = "decisions"
    PORTAL = "portal"
    SCIM = "scim"


class RequestContext(Struct, frozen=True, kw_only=True):
    """What is known of every request, whatever it asks for.

    ``request_id`` is also the audit record's id; ``now`` is the one that the whole
    call uses. ``region`` is where a call is made whose proof names no region, and
    ``at_global_endpoint`` says that it was sent to the endpoint of all regions.
    ``code_of`` is what the client gets for an error, if its protocol has other codes.
    ``has_left`` tells whether the client went away, where that ends the work.
    """

    request_id: str
    raw: RawRequest
    door: Door
    now: datetime
    region: str
    at_global_endpoint: bool = False
    code_of: CodeOf | None = None
    has_left: Callable[[], bool] | None = None
