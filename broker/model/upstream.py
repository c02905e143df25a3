"""Upstreams: other STS endpoints that mint for roles of an account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.secret import Confidential, Hidden

UPSTREAM_SEAL = ("upstream-secret", "secret")
"""Purpose and column under which an upstream's secret is sealed."""


class UpstreamOrigin(Struct, frozen=True, kw_only=True):
    """Which upstream issued a session's credentials.

    They are sent to no other: ``endpoint`` is the address of its STS, which an upstream
    of the same ``name`` may have no more. ``ends_by`` is as in ``Session``.
    """

    name: str
    endpoint: str
    ends_by: int | None = None


class Upstream(Confidential, frozen=True, kw_only=True):
    """An upstream of an account; ``definition`` is its JSON text.

    What a definition says stands in `broker.kinds.upstreams`. Where the
    broker has a key pair there, ``access_key_id`` names it and ``sealed_secret`` holds
    the secret, sealed.
    """

    account: AccountId
    name: str
    definition: str
    access_key_id: str = ""
    sealed_secret: Hidden[bytes | None] = None
    created_at: datetime
    updated_at: datetime


def origin_row(origin: UpstreamOrigin | None) -> list[object]:
    """The origin as JSON; empty without one."""
    return [] if origin is None else [origin.name, origin.endpoint, origin.ends_by]


def read_origin(row: Sequence[Any]) -> UpstreamOrigin | None:
    """The inverse of ``origin_row``.

    Raises:
        ValueError: it is not an origin's.
    """
    if not row:
        return None
    name, endpoint, ends_by = row
    return UpstreamOrigin(name=name, endpoint=endpoint, ends_by=ends_by)
