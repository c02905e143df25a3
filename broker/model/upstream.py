"""Upstreams: other STS endpoints that mint for roles of an account."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.model.account import AccountId

UPSTREAM_SEAL = ("upstream-secret", "secret")
"""Purpose and column under which an upstream's secret is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOrigin:
    """Which upstream issued a session's credentials.

    They are sent to no other: ``endpoint`` is the address of its STS, which an upstream
    of the same ``name`` may have no more. ``ends_by`` is as in ``Session``.
    """

    name: str
    endpoint: str
    ends_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An upstream of an account; ``definition`` is its JSON text.

    What a definition says stands in `broker.kinds.upstreams`. Where the
    broker has a key pair there, ``access_key_id`` names it and ``sealed_secret`` holds
    the secret, sealed.
    """

    account: AccountId
    name: str
    definition: str
    access_key_id: str = ""
    sealed_secret: bytes | None = field(default=None, repr=False)
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
