"""Temporary credentials and the sessions they stand for, and who is calling."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.lineage import NO_LINEAGE, Lineage
from broker.model.principal import Principal
from broker.model.secret import Secret


class SessionKind(StrEnum):
    """Which operation made a session.

    ``CONSOLE`` is a user's (or the root's) own sign-in with a password, and whatever
    is made from that session without a change of principal. ``PORTAL`` is a person's
    sign-in to the access portal: it has no permissions of its own.
    """

    ASSUME_ROLE = "AssumeRole"
    SAML = "AssumeRoleWithSAML"
    WEB_IDENTITY = "AssumeRoleWithWebIdentity"
    LDAP = "AssumeRoleWithLDAPIdentity"
    FEDERATION_TOKEN = "GetFederationToken"  # noqa: S105  # an operation's name
    SESSION_TOKEN = "GetSessionToken"  # noqa: S105  # an operation's name
    ROOT_TASK = "AssumeRoot"
    CONSOLE = "ConsoleLogin"
    PORTAL = "Authenticate"

    @property
    def is_role(self) -> bool:
        """Whether the session acts as a role."""
        return self in _ROLE_KINDS


_ROLE_KINDS = frozenset(
    {
        SessionKind.ASSUME_ROLE,
        SessionKind.SAML,
        SessionKind.WEB_IDENTITY,
        SessionKind.LDAP,
    }
)


class SessionPolicies(Struct, frozen=True):
    """One layer of session policies: an inline text and managed policies' ARNs.

    Each layer is intersected with what stands below it. ``policy_ids`` are the unique
    ids of those policies, empty for AWS's: another one may get an ARN later. Tokens of
    version 0.2 have none.
    """

    policy: str | None
    policy_arns: tuple[str, ...]
    policy_ids: tuple[str, ...] = ()


class Session(Struct, frozen=True, kw_only=True):
    """What a session token holds: everything but the policies of its principal.

    ``principal_id`` is the role's or user's unique id, or the account's number for
    root. ``parent_key_id`` is the key that signed the mint, empty when a federated
    proof made it. ``provider_arn`` and ``provider_id`` (its unique id, the target of
    revocations) name the provider of that proof. ``identity_context`` holds the
    condition keys (lower-case names) of the federated identity that live on in the
    session. ``chain_depth`` is 0 for the first role after a long-term key or a
    federated proof. ``ends_by`` (seconds since 1970) is the last instant that the
    federated proof allows to any session made from this one, for those that may last
    longer than it does: console sessions. ``scope_count`` is how many scope-down
    policies (``GetScopedCredentials``) are on it. ``mint_id`` is 128 random bits as
    text, empty in tokens of version 1; ``lineage`` is what the session came from.
    """

    access_key_id: str
    account: AccountId
    kind: SessionKind
    principal_id: str
    name: str
    parent_key_id: str = ""
    issued_at_ms: int
    expires_at: int
    policies: tuple[SessionPolicies, ...] = ()
    tags: Mapping[str, str] = {}
    transitive_keys: frozenset[str] = frozenset()
    source_identity: str | None = None
    provider_arn: str | None = None
    provider_id: str = ""
    identity_context: Mapping[str, tuple[str, ...]] = {}
    mfa_at: int | None = None
    chain_depth: int = 0
    ends_by: int | None = None
    scope_count: int = 0
    mint_id: str = ""
    lineage: Lineage = NO_LINEAGE


class TemporaryCredentials(Struct, frozen=True, kw_only=True):
    """The four members of ``Credentials`` in an STS answer."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expiration: datetime


class Caller(Struct, frozen=True, kw_only=True):
    """Who is calling, after the proof was accepted.

    ``session`` is set when temporary credentials (or a console session) prove the
    call. ``principal_tags`` are the tags that ``aws:PrincipalTag/…`` reads: the
    entity's own, overridden by the session's. ``context`` holds further condition
    keys that the proof brought (``saml:…``, ``{issuer}:…``), lower-case names.
    ``closed_roles`` are ARNs of roles that the provider gives to other groups.
    """

    principal: Principal
    access_key_id: str = ""
    session: Session | None = None
    principal_tags: Mapping[str, str] = {}
    context: Mapping[str, tuple[str, ...]] = {}
    closed_roles: frozenset[str] = frozenset()

    @property
    def account(self) -> AccountId:
        """The account the caller acts in."""
        return self.principal.account
