"""The content of a verified SAML assertion or web identity token."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.principal import Principal


class RolePair(Struct, frozen=True):
    """A role and the provider that may open it, as an assertion names them."""

    role_arn: str
    provider_arn: str


class FederatedIdentity(Struct, frozen=True, kw_only=True):
    """A verified SAML assertion or web identity token, in AWS's terms.

    ``provider_id`` is the provider's own unique id, new at every creation.
    ``audience`` is what the answer's ``Audience`` shows. ``role_pairs`` are the pairs
    of a SAML assertion; ``allowed_roles`` the ARNs of a token's roles claim, None
    when the claim is absent. ``session_ends_at`` caps any session made from the
    proof. ``issued_at`` is when it issued the proof. ``provider_session`` is what its
    logouts call that session, empty if they do not. ``context`` holds every
    condition key of the proof (lower-case names) for the trust policy,
    ``session_context`` those that live on in the session. ``replay_id`` identifies the
    proof for the replay rule, None when it may be exchanged again; ``usable_until`` is
    the last instant at which it could pass. ``once_per_door`` allows one use at each
    door; until ``second_use_until`` a second use is allowed. ``token_id`` and ``sealed_lineage``
    are a web identity token's, the latter if the broker issued it. ``directory_value``
    is what the proof says of the attribute by which a SCIM directory knows the person;
    ``person`` is that person's id in it, empty if unknown. ``groups`` are the person's
    that the provider's group mapping may name: in the proof, or in that directory.
    ``group_roles`` are the roles that the mapping gives to them, and ``closed_roles``
    those that it gives to other groups only: no trust policy opens these.
    ``certificate`` is the target of a lineage that names the certificate which proved it.
    """

    __repr__ = object.__repr__

    principal: Principal
    account: AccountId
    provider_arn: str
    provider_id: str
    issuer: str
    subject: str
    subject_type: str = ""
    name_qualifier: str = ""
    audience: str = ""
    session_name: str | None = None
    role_pairs: tuple[RolePair, ...] = ()
    allowed_roles: frozenset[str] | None = None
    tags: Mapping[str, str] = {}
    transitive_keys: frozenset[str] = frozenset()
    source_identity: str | None = None
    session_duration_seconds: int | None = None
    session_ends_at: datetime | None = None
    issued_at: datetime | None = None
    provider_session: str = ""
    context: Mapping[str, tuple[str, ...]] = {}
    session_context: Mapping[str, tuple[str, ...]] = {}
    replay_id: tuple[str, ...] | None = None
    usable_until: datetime | None = None
    once_per_door: bool = False
    claims: Mapping[str, Any] = {}
    second_use_until: datetime | None = None
    token_id: str = ""
    sealed_lineage: str = ""
    directory_value: str = ""
    person: str = ""
    groups: tuple[str, ...] = ()
    group_roles: tuple[str, ...] = ()
    closed_roles: frozenset[str] = frozenset()
    certificate: str = ""
