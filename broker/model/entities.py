"""IAM entities as the directory keeps them. Every one carries its account.

Policy documents are kept as the text that was stored; times are aware UTC
datetimes; paths begin and end with a slash; ``options`` holds the operator's
broker-only settings of an entity and is never reachable through AWS parameters.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.secret import Confidential, Hidden

Tags = Mapping[str, str]

PASSWORD_SEAL = ("login-profile", "password")
"""Purpose and column that password hashes are sealed for; the entity is the user."""

ACCESS_KEY_SEAL = ("access-key", "secret")
"""Purpose and column that a secret access key is sealed for; the entity is its id."""

CLIENT_SECRET_SEAL = ("oidc-client", "secret")
"""Purpose and column that a client secret is sealed for; the entity is the provider."""


class KeyStatus(StrEnum):
    """The states of a long-term access key."""

    ACTIVE = "Active"
    INACTIVE = "Inactive"


class User(Struct, frozen=True, kw_only=True, weakref=True):
    """An IAM user."""

    account: AccountId
    user_id: str
    name: str
    path: str
    created_at: datetime
    tags: Tags = {}
    boundary_arn: str | None = None

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:user{path}{name}``."""
        return iam_arn(self.account, f"user{self.path}{self.name}")


class Group(Struct, frozen=True, kw_only=True):
    """A group of users; it lends them its policies and is not a principal itself."""

    account: AccountId
    group_id: str
    name: str
    path: str
    created_at: datetime

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:group{path}{name}``."""
        return iam_arn(self.account, f"group{self.path}{self.name}")


class LoginProfile(Confidential, frozen=True, kw_only=True):
    """A user's password: ``sealed`` holds its hash and those of earlier passwords."""

    account: AccountId
    user_id: str
    sealed: Hidden[bytes]
    created_at: datetime
    changed_at: datetime
    reset_required: bool = False


class AccessKey(Confidential, frozen=True, kw_only=True):
    """A long-term key of a user, or of the account's root (``user_id`` is None).

    ``sealed_secret`` is the secret access key, sealed with a storage key.
    """

    account: AccountId
    access_key_id: str
    user_id: str | None
    status: KeyStatus
    sealed_secret: Hidden[bytes]
    created_at: datetime


class Role(Struct, frozen=True, kw_only=True, weakref=True):
    """A role; ``max_session_duration_seconds`` is 3600 to 43200."""

    account: AccountId
    role_id: str
    name: str
    path: str
    trust_policy: str
    created_at: datetime
    description: str | None = None
    max_session_duration_seconds: int = 3600
    tags: Tags = {}
    boundary_arn: str | None = None

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:role{path}{name}``."""
        return f"arn:aws:iam::{self.account}:role{self.path}{self.name}"


class InlinePolicy(Struct, frozen=True, kw_only=True):
    """A policy embedded in a user or role (``owner_id`` is its unique id)."""

    account: AccountId
    owner_id: str
    name: str
    document: str


class PolicyVersion(Struct, frozen=True, kw_only=True):
    """One version (``v1``, ``v2``, …) of a managed policy."""

    version_id: str
    document: str
    created_at: datetime


class ManagedPolicy(Struct, frozen=True, kw_only=True):
    """A customer managed policy, with the version that is in force."""

    account: AccountId
    policy_id: str
    name: str
    path: str
    description: str | None
    default_version: PolicyVersion
    next_version: int
    created_at: datetime
    updated_at: datetime
    tags: Tags = {}
    attachment_count: int = 0
    boundary_count: int = 0

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:policy{path}{name}``."""
        return iam_arn(self.account, f"policy{self.path}{self.name}")


class PolicyInForce(Struct, frozen=True, kw_only=True):
    """Which customer managed policy has a name, and what it says."""

    policy_id: str
    arn: str
    document: str


class EncryptionMode(StrEnum):
    """``AssertionEncryptionMode`` of a SAML provider."""

    ALLOWED = "Allowed"
    REQUIRED = "Required"


class SamlPrivateKey(Confidential, frozen=True, kw_only=True):
    """A decryption key of a SAML provider, sealed with a storage key.

    ``certificate`` publishes its public half, in DER; older keys have none.
    """

    key_id: str
    created_at: datetime
    sealed_pem: Hidden[bytes]
    certificate: bytes = b""


class SamlProvider(Struct, frozen=True, kw_only=True):
    """A SAML identity provider; ``uuid`` (``SAMLSP…``) is its unique id."""

    account: AccountId
    uuid: str
    name: str
    metadata: str
    created_at: datetime
    valid_until: datetime
    encryption_mode: EncryptionMode = EncryptionMode.ALLOWED
    private_keys: tuple[SamlPrivateKey, ...] = ()
    tags: Tags = {}
    options: Mapping[str, object] = {}

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:saml-provider/{name}``."""
        return iam_arn(self.account, f"saml-provider/{self.name}")

    @property
    def unique_id(self) -> str:
        """As other providers have one."""
        return self.uuid


class LdapProvider(Struct, frozen=True, kw_only=True):
    """A directory of the operator's, as an identity provider of an account.

    ``directory`` is its name in ``BROKER_DIRECTORIES_FILE``; ``unique_id`` is the
    broker's own (``LDAPP…``), new at every creation.
    """

    account: AccountId
    unique_id: str
    name: str
    directory: str
    created_at: datetime
    options: Mapping[str, object] = {}

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:ldap-provider/{name}``."""
        return iam_arn(self.account, f"ldap-provider/{self.name}")


class OidcProvider(Struct, frozen=True, kw_only=True):
    """An OpenID Connect provider.

    ``url`` is the issuer with its scheme, exactly as tokens must name it;
    ``unique_id`` is the broker's own (``OIDCP…``), new at every creation.
    """

    account: AccountId
    unique_id: str
    url: str
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]
    created_at: datetime
    tags: Tags = {}
    options: Mapping[str, object] = {}

    @property
    def host_and_path(self) -> str:
        """The issuer without its scheme: prefix of the provider's condition keys."""
        return self.url.partition("://")[2]

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:oidc-provider/{host and path}``."""
        return f"arn:aws:iam::{self.account}:oidc-provider/{self.host_and_path}"
