"""Upstreams: other STS endpoints that mint for roles of an account."""

from dataclasses import dataclass, field
from datetime import datetime

from broker.model.account import AccountId

UPSTREAM_SEAL = ("upstream-secret", "secret")
"""Purpose and column under which an upstream's secret is sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """An upstream of an account; ``definition`` is its JSON text.

    What a definition says stands in `broker.identities.upstream_definition`. Where the
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
