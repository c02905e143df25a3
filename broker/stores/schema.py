"""Every table of directory, ledger and embedded cache, as SQLAlchemy metadata.

Times are integers: microseconds since 1970 in UTC, so that both databases keep them
exactly; the cache's are milliseconds. ``name_key`` is the lower-cased name that
uniqueness, look-up and order go by. Structured members (tags, options) are JSON text.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

METADATA = MetaData()

# Byte order on both databases: a locale's order would differ between them, and a
# marker would change its meaning with the server's settings.
_KEY: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite only gives rowids to a column that is exactly INTEGER PRIMARY KEY.
_SEQUENCE: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


def _json(name: str, default: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


INSTALLATION = Table(
    "installation",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The installation's identity, which its sealing keys are bound to.
    Column("keyring_fingerprint", Text, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    _json("marks", "{}"),
)

SEALING_KEYS = Table(
    "sealing_keys",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seals_from", BigInteger, nullable=True),
    Column("state", Text, nullable=False),
    Column("master", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=True),
)

# Rows outlive their account: a recreated account continues the count, so no worker can
# mistake its state for the old one's.
GENERATIONS = Table(
    "generations",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("generation", BigInteger, nullable=False),
)

# Which rows the changes of each account wrote lately, for what is remembered of them.
CHANGES = Table(
    "changes",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("rows", Text, nullable=False),
    sqlite_with_rowid=False,
)

ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("alias", _KEY, nullable=True, unique=True),
    Column("session_salt", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _json("quotas", "{}"),
    _json("options", "{}"),
    Column("password_policy", Text, nullable=True),
)

USERS = Table(
    "users",
    METADATA,
    Column("user_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("path", _KEY, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _json("tags", "{}"),
    Column("boundary_arn", _KEY, nullable=True),
    UniqueConstraint("account", "name_key", name="users_name"),
    Index("users_boundary", "account", "boundary_arn"),
)

ACCESS_KEYS = Table(
    "access_keys",
    METADATA,
    Column("access_key_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("user_id", _KEY, nullable=True),
    Column("status", Text, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("access_keys_owner", "account", "user_id"),
    Index(
        "access_keys_age",
        *("account", "created_at"),
        sqlite_where=text("status = 'Active'"),
        postgresql_where=text("status = 'Active'"),
    ),
)

GROUPS = Table(
    "groups",
    METADATA,
    Column("group_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("path", _KEY, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("account", "name_key", name="groups_name"),
)

GROUP_MEMBERS = Table(
    "group_members",
    METADATA,
    Column("group_id", _KEY, primary_key=True),
    Column("user_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Index("group_members_user", "account", "user_id"),
)

# ``sealed`` holds the password's hash and those of earlier passwords.
LOGIN_PROFILES = Table(
    "login_profiles",
    METADATA,
    Column("user_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("reset_required", Integer, nullable=False),
)

# Every id that was ever given to a long-term key, of whatever account.
USED_ACCESS_KEY_IDS = Table(
    "used_access_key_ids",
    METADATA,
    Column("access_key_id", _KEY, primary_key=True),
    sqlite_with_rowid=False,
)

ROLES = Table(
    "roles",
    METADATA,
    Column("role_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("path", _KEY, nullable=False),
    Column("trust_policy", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("description", Text, nullable=True),
    Column("max_session_duration_seconds", Integer, nullable=False),
    _json("tags", "{}"),
    Column("boundary_arn", _KEY, nullable=True),
    UniqueConstraint("account", "name_key", name="roles_name"),
    Index("roles_boundary", "account", "boundary_arn"),
)

INLINE_POLICIES = Table(
    "inline_policies",
    METADATA,
    Column("owner_id", _KEY, primary_key=True),
    Column("name", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False, index=True),
    Column("document", Text, nullable=False),
)

MANAGED_POLICIES = Table(
    "managed_policies",
    METADATA,
    Column("policy_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("path", _KEY, nullable=False),
    Column("description", Text, nullable=True),
    Column("default_version_id", Text, nullable=False),
    Column("next_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    _json("tags", "{}"),
    UniqueConstraint("account", "name_key", name="managed_policies_name"),
)

POLICY_VERSIONS = Table(
    "policy_versions",
    METADATA,
    Column("policy_id", _KEY, primary_key=True),
    Column("version_id", Text, primary_key=True),
    Column("account", _KEY, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

ATTACHMENTS = Table(
    "attachments",
    METADATA,
    Column("owner_id", _KEY, primary_key=True),
    Column("policy_arn", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Index("attachments_policy", "account", "policy_arn"),
)

SAML_PROVIDERS = Table(
    "saml_providers",
    METADATA,
    Column("uuid", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", _KEY, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Column("encryption_mode", Text, nullable=False),
    _json("private_keys", "[]"),
    _json("tags", "{}"),
    _json("options", "{}"),
    UniqueConstraint("account", "name", name="saml_providers_name"),
)

OIDC_PROVIDERS = Table(
    "oidc_providers",
    METADATA,
    Column("unique_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("host_and_path", _KEY, nullable=False),
    Column("url", Text, nullable=False),
    _json("client_ids", "[]"),
    _json("thumbprints", "[]"),
    Column("created_at", BigInteger, nullable=False),
    _json("tags", "{}"),
    _json("options", "{}"),
    UniqueConstraint("account", "host_and_path", name="oidc_providers_url"),
)

LDAP_PROVIDERS = Table(
    "ldap_providers",
    METADATA,
    Column("unique_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", _KEY, nullable=False),
    Column("directory", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    _json("options", "{}"),
    UniqueConstraint("account", "name", name="ldap_providers_name"),
)

# People whom a directory authenticated and who may have sessions; each is asked
# about again and again. It is not part of what decides, so it raises no generation.
LDAP_SIGN_INS = Table(
    "ldap_sign_ins",
    METADATA,
    Column("provider_id", _KEY, primary_key=True),
    Column("subject", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("provider", _KEY, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("asked_at", BigInteger, nullable=False, index=True),
)

REVOCATIONS = Table(
    "revocations",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("target", _KEY, primary_key=True),
    Column("not_before_ms", BigInteger, nullable=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

REPLAY_MARKS = Table(
    "replay_marks",
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("mint_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# What handles stand for, sealed; ``key`` is a handle's SHA-256.
HANDLES = Table(
    "handles",
    METADATA,
    Column("space", _KEY, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# The event id is indexed but not unique: a clash must never cost a mint its record.
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("event_id", _KEY, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("account", _KEY, nullable=False),
    Column("caller_arn", Text, nullable=False),
    Column("access_key_id", _KEY, nullable=False),
    Column("minted_key_id", _KEY, nullable=False),
    Column("action", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("provider_arn", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("kind", _KEY, nullable=False, server_default="change"),
    Index("audit_at", "at", "seq"),
    Index("audit_kind", "account", "kind", "at", "seq"),
    # What was allowed, as most calls are, costs no entry.
    Index(
        "audit_failures",
        *("account", "decision", "at", "seq"),
        sqlite_where=text("decision <> 'allowed'"),
        postgresql_where=text("decision <> 'allowed'"),
    ),
)
for _name, _columns in (
    ("access_key_id", ("access_key_id", "at", "seq")),
    ("minted_key_id", ("minted_key_id",)),
):
    # Most records have only one of the two: an empty one costs no index entry.
    Index(
        f"audit_{_name}",
        *(AUDIT.c[column] for column in _columns),
        sqlite_where=AUDIT.c[_name] != "",
        postgresql_where=AUDIT.c[_name] != "",
    )

# How many sign-ins and failures each hour had, so that no one has to count records.
# The row of the empty account says up to which ``seq`` records are counted.
AUDIT_COUNTS = Table(
    "audit_counts",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("measure", _KEY, primary_key=True),
    Column("name", _KEY, primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What was used last: an access key, a password, a principal's service or action. It is
# no part of what decides, so it raises no generation.
USES = Table(
    "uses",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("subject", _KEY, primary_key=True),
    Column("service", _KEY, primary_key=True),
    Column("action", _KEY, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("region", Text, nullable=False),
)

# Reports that one call makes and others read.
REPORTS = Table(
    "reports",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("report_id", _KEY, primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

# Seeds are sealed. ``user_id`` is null for an unassigned device and the account's
# number for its root; the verification state is compared and set as one.
MFA_DEVICES = Table(
    "mfa_devices",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("serial_key", _KEY, primary_key=True),
    Column("serial", Text, nullable=False),
    Column("is_virtual", Integer, nullable=False),
    Column("sealed_seed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("period_seconds", Integer, nullable=False),
    Column("user_id", _KEY, nullable=True),
    Column("enabled_at", BigInteger, nullable=True),
    _json("tags", "{}"),
    Column("last_step", BigInteger, nullable=False),
    Column("drift", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked_until", BigInteger, nullable=False),
    Index("mfa_devices_user", "account", "user_id"),
)

# Passkeys hold no secret. Their count changes with each use and decides nothing else,
# so it raises no generation.
PASSKEYS = Table(
    "passkeys",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("serial_key", _KEY, primary_key=True),
    Column("serial", Text, nullable=False),
    Column("user_id", _KEY, nullable=False),
    Column("credential_id", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("enabled_at", BigInteger, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("transports", Text, nullable=False),
    Column("aaguid", Text, nullable=False),
    Column("synced", Integer, nullable=False),
    Column("last_used_at", BigInteger, nullable=True),
    UniqueConstraint("account", "credential_id", name="passkeys_credential"),
    Index("passkeys_user", "account", "user_id"),
)

USER_CREDENTIALS = Table(
    "user_credentials",
    METADATA,
    Column("credential_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("kind", _KEY, nullable=False),
    Column("user_id", _KEY, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
    _json("details", "{}"),
    Index("user_credentials_user", "account", "kind", "user_id"),
    Index(
        "user_credentials_end",
        *("account", "expires_at"),
        sqlite_where=text("expires_at IS NOT NULL"),
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
)

SERVER_CERTIFICATES = Table(
    "server_certificates",
    METADATA,
    Column("certificate_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("path", _KEY, nullable=False),
    Column("body", Text, nullable=False),
    Column("chain", Text, nullable=True),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("uploaded_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    _json("tags", "{}"),
    UniqueConstraint("account", "name_key", name="server_certificates_name"),
)

INSTANCE_PROFILES = Table(
    "instance_profiles",
    METADATA,
    Column("profile_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("path", _KEY, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("role_id", _KEY, nullable=True),
    _json("tags", "{}"),
    UniqueConstraint("account", "name_key", name="instance_profiles_name"),
    Index("instance_profiles_role", "account", "role_id"),
)

# Machines that registered, and what admits one.
INSTANCES = Table(
    "instances",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("instance_id", _KEY, primary_key=True),
    Column("region", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("registered_by", _KEY, nullable=False),
    Column("profile_id", _KEY, nullable=True),
    Column("provider_id", _KEY, nullable=False),
    Column("subject", _KEY, nullable=False),
    UniqueConstraint("account", "public_key", name="instances_key"),
    Index("instances_profile", "account", "profile_id"),
)

JOIN_TOKENS = Table(
    "join_tokens",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("token_id", _KEY, primary_key=True),
    Column("profile_id", _KEY, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    _json("addresses", "[]"),
    Column("instance_id", _KEY, nullable=False),
    _json("lineage", "[]"),
    UniqueConstraint("account", "digest", name="join_tokens_digest"),
)

DELETION_TASKS = Table(
    "deletion_tasks",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("task_id", _KEY, primary_key=True),
    Column("status", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

# Services of the operator's own that ask for decisions, and with what they ask.
SERVICES = Table(
    "services",
    METADATA,
    Column("service_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("name", _KEY, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("account", "name", name="services_name"),
)

SERVICE_TOKENS = Table(
    "service_tokens",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("token_id", _KEY, primary_key=True),
    Column("service_id", _KEY, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    _json("addresses", "[]"),
)

RESOURCE_POLICIES = Table(
    "resource_policies",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("arn", _KEY, primary_key=True),
    Column("document", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# IAM Roles Anywhere: whose certificates open which roles.
TRUST_ANCHORS = Table(
    "trust_anchors",
    METADATA,
    Column("anchor_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False, index=True),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("certificates", Text, nullable=False),
    Column("enabled", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    _json("tags", "{}"),
)

CERTIFICATE_PROFILES = Table(
    "certificate_profiles",
    METADATA,
    Column("profile_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False, index=True),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    _json("role_arns", "[]"),
    _json("managed_policy_arns", "[]"),
    Column("session_policy", Text, nullable=True),
    Column("duration_seconds", BigInteger, nullable=False),
    Column("accepts_session_name", BigInteger, nullable=False),
    _json("attribute_mappings", "{}"),
    Column("enabled", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    _json("tags", "{}"),
)

CERTIFICATE_LISTS = Table(
    "certificate_lists",
    METADATA,
    Column("list_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False, index=True),
    Column("anchor_id", _KEY, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("enabled", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    _json("tags", "{}"),
)

_LIVING = text("departed_at IS NULL")

PROVISIONED_USERS = Table(
    "provisioned_users",
    METADATA,
    Column("account", _KEY, nullable=False),
    Column("provider_id", _KEY, nullable=False),
    Column("user_id", _KEY, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("external_id", _KEY, nullable=False),
    Column("email", _KEY, nullable=False),
    Column("active", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("not_before", BigInteger, nullable=True),
    Column("departed_at", BigInteger, nullable=True),
    Index(
        "provisioned_users_name",
        "account",
        "provider_id",
        "name_key",
        unique=True,
        sqlite_where=_LIVING,
        postgresql_where=_LIVING,
    ),
    Index("provisioned_users_by_name", "account", "provider_id", "name_key"),
    Index("provisioned_users_external", "account", "provider_id", "external_id"),
    Index("provisioned_users_email", "account", "provider_id", "email"),
    Index("provisioned_users_departed", "account", "provider_id", "departed_at"),
)

PROVISIONED_GROUPS = Table(
    "provisioned_groups",
    METADATA,
    Column("account", _KEY, nullable=False),
    Column("provider_id", _KEY, nullable=False),
    Column("group_id", _KEY, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", _KEY, nullable=False),
    Column("external_id", _KEY, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint(
        "account", "provider_id", "name_key", name="provisioned_groups_name"
    ),
)

PROVISIONED_MEMBERS = Table(
    "provisioned_members",
    METADATA,
    Column("account", _KEY, nullable=False),
    Column("group_id", _KEY, primary_key=True),
    Column("user_id", _KEY, primary_key=True),
    Index("provisioned_members_user", "user_id"),
)

SCIM_TOKENS = Table(
    "scim_tokens",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("token_id", _KEY, primary_key=True),
    Column("provider_id", _KEY, nullable=False),
    Column("provider_arn", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    _json("addresses", "[]"),
)

# Upstreams: other STS endpoints that mint for roles.
UPSTREAMS = Table(
    "upstreams",
    METADATA,
    Column("account", _KEY, primary_key=True),
    Column("name", _KEY, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("access_key_id", Text, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# The embedded cache. These tables stay empty when Redis is configured.
CACHE_ENTRIES = Table(
    "cache_entries",
    METADATA,
    Column("space", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
)

CACHE_SESSIONS = Table(
    "cache_sessions",
    METADATA,
    Column("access_key_id", _KEY, primary_key=True),
    Column("account", _KEY, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("body", Text, nullable=False),
    # With SQLite's row number behind it: new sessions of an account stand together.
    Index("cache_sessions_account", "account"),
)
