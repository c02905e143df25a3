"""Every table of directory, ledger and embedded cache, as SQLAlchemy metadata.

Times are integers: microseconds since 1970 in UTC, so that both databases keep them
exactly; the cache's are milliseconds. ``name_key`` is the name, folded (`broker.model.names`), that
uniqueness, look-up and order go by. Structured members (tags, options) are JSON text.
"""

from typing import Any

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
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

METADATA = MetaData()

# Byte order on both databases: a locale's order would differ between them, and a
# marker would change its meaning with the server's settings.
_KEY: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite only gives rowids to a column that is exactly INTEGER PRIMARY KEY.
_SEQUENCE: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")

DOCUMENT = "document"
"""In the ``info`` of a column whose text may be long: lists leave it out."""

_TYPES: dict[str, Any] = {
    "": _KEY,
    "text": Text,
    "document": Text,
    "document blob": LargeBinary,
    "integer": Integer,
    "bigint": BigInteger,
    "sequence": _SEQUENCE,
    "blob": LargeBinary,
    "{}": Text,
    "[]": Text,
}


def _table(name: str, columns: str, *more: SchemaItem, **options: Any) -> Table:  # noqa: ANN401  # as SQLAlchemy
    """A table; a text that is compared by its bytes is a column without a type.

    ``!`` stands for a column of the primary key, ``?`` for one that may be null. JSON is
    ``{}`` or ``[]``, which is also its default. Columns of the type ``document`` come
    last: SQLite reads a row up to the last column that is asked for.
    """
    made: list[Column[Any]] = []
    for word in columns.split(","):
        column, _, value = word.strip(" \n!?").partition(" ")
        made.append(
            Column(
                column,
                _TYPES[value],
                primary_key="!" in word,
                nullable="?" in word,
                autoincrement=value == "sequence",
                server_default=value if value in ("{}", "[]") else None,
                info={DOCUMENT: True} if value.startswith(DOCUMENT) else {},
            )
        )
    made.sort(key=lambda column: bool(column.info))
    return Table(name, METADATA, *made, *more, **options)


def _mark() -> Column[int]:
    return Column("mark", BigInteger, nullable=False, server_default="0")


def _partial(name: str, where: str, *columns: str, unique: bool = False) -> Index:
    # SQLAlchemy loads the dialect that an option is for: PostgreSQL's is given when the
    # index is made, so that an embedded installation never loads it.
    return Index(name, *columns, unique=unique, sqlite_where=text(where))


# ``keyring_fingerprint`` is the installation's identity, which sealing keys are bound to.
INSTALLATION = _table(
    "installation",
    "id integer!, keyring_fingerprint text?, created_at bigint, marks {}",
)

SEALING_KEYS = _table(
    "sealing_keys",
    """
    number bigint!, kind text, created_at bigint, seals_from bigint?, state text,
    master text, wrapped blob?
    """,
)

# Rows outlive their account: a recreated account continues the count, so no worker can
# mistake its state for the old one's. ``mark`` is random: a database that went back
# counts the same numbers again, with other marks. It is 0 where an earlier version wrote.
GENERATIONS = _table("generations", "account!, generation bigint", _mark())

# Which rows the changes of each account wrote lately, for what is remembered of them.
CHANGES = _table(
    "changes",
    "account!, generation bigint!, rows text",
    _mark(),
    sqlite_with_rowid=False,
)

ACCOUNTS = _table(
    "accounts",
    """
    account!, alias?, session_salt blob, created_at bigint, quotas {}, options {},
    password_policy text?
    """,
    UniqueConstraint("alias"),
)

USERS = _table(
    "users",
    """
    user_id!, account, name text, name_key, path, created_at bigint, tags {},
    boundary_arn?
    """,
    UniqueConstraint("account", "name_key", name="users_name"),
    Index("users_boundary", "account", "boundary_arn"),
)

ACCESS_KEYS = _table(
    "access_keys",
    """
    access_key_id!, account, user_id?, status text, sealed_secret blob,
    created_at bigint
    """,
    Index("access_keys_owner", "account", "user_id"),
    _partial("access_keys_age", "status = 'Active'", "account", "created_at"),
)

GROUPS = _table(
    "groups",
    "group_id!, account, name text, name_key, path, created_at bigint",
    UniqueConstraint("account", "name_key", name="groups_name"),
)

GROUP_MEMBERS = _table(
    "group_members",
    "group_id!, user_id!, account",
    Index("group_members_user", "account", "user_id"),
)

# ``sealed`` holds the password's hash and those of earlier passwords.
LOGIN_PROFILES = _table(
    "login_profiles",
    """
    user_id!, account, sealed blob, created_at bigint, changed_at bigint,
    reset_required integer
    """,
    Index("ix_login_profiles_account", "account"),
)

# Every id that was ever given to a long-term key, of whatever account.
USED_ACCESS_KEY_IDS = _table(
    "used_access_key_ids", "access_key_id!", sqlite_with_rowid=False
)

ROLES = _table(
    "roles",
    """
    role_id!, account, name text, name_key, path, trust_policy text, created_at bigint,
    description text?, max_session_duration_seconds integer, tags {}, boundary_arn?
    """,
    UniqueConstraint("account", "name_key", name="roles_name"),
    Index("roles_boundary", "account", "boundary_arn"),
)

INLINE_POLICIES = _table(
    "inline_policies",
    "owner_id!, name!, account, document text",
    Index("ix_inline_policies_account", "account"),
)

MANAGED_POLICIES = _table(
    "managed_policies",
    """
    policy_id!, account, name text, name_key, path, description text?,
    default_version_id text, next_version integer, created_at bigint, updated_at bigint,
    tags {}
    """,
    UniqueConstraint("account", "name_key", name="managed_policies_name"),
)

POLICY_VERSIONS = _table(
    "policy_versions",
    """
    policy_id!, version_id text!, account, number integer, document document,
    created_at bigint
    """,
    Index("ix_policy_versions_account", "account"),
)

ATTACHMENTS = _table(
    "attachments",
    "owner_id!, policy_arn!, account, name_key",
    Index("attachments_policy", "account", "policy_arn"),
)

SAML_PROVIDERS = _table(
    "saml_providers",
    """
    uuid!, account, name, metadata document, created_at bigint, valid_until bigint,
    encryption_mode text, private_keys [], tags {}, options {}
    """,
    UniqueConstraint("account", "name", name="saml_providers_name"),
)

OIDC_PROVIDERS = _table(
    "oidc_providers",
    """
    unique_id!, account, host_and_path, url text, client_ids [], thumbprints [],
    created_at bigint, tags {}, options {}
    """,
    UniqueConstraint("account", "host_and_path", name="oidc_providers_url"),
)

LDAP_PROVIDERS = _table(
    "ldap_providers",
    "unique_id!, account, name, directory text, created_at bigint, options {}",
    UniqueConstraint("account", "name", name="ldap_providers_name"),
)

# People whom a directory authenticated and who may have sessions; each is asked
# about again and again. It is not part of what decides, so it raises no generation.
LDAP_SIGN_INS = _table(
    "ldap_sign_ins",
    """
    provider_id!, subject!, account, provider, until bigint, asked_at bigint, roles []
    """,
    Index("ix_ldap_sign_ins_asked_at", "asked_at"),
)

# Sign-ins at providers that are asked by refresh token whether the person is still
# there. ``access_key_id`` is that of the session, empty until it is opened; ``sealed`` is
# empty where there is no refresh token, or none any more. None of it decides anything.
OIDC_SIGN_INS = _table(
    "oidc_sign_ins",
    """
    sign_in_id!, account, provider text, provider_id, client_id text, subject,
    access_key_id, sealed blob, began_at bigint, until bigint, due_at bigint,
    claimed_until bigint, generation bigint, doubts integer
    """,
    Index("oidc_sign_ins_due", "due_at"),
    Index("oidc_sign_ins_person", "provider_id", "subject"),
    sqlite_with_rowid=False,
)

# Who asks a provider now, and since when it gives no answer (0 while it does).
OIDC_WATCHES = _table(
    "oidc_watches",
    "provider_id!, leased_until bigint, failing_since bigint, problem text",
)

REVOCATIONS = _table(
    "revocations",
    "account!, target!, not_before_ms bigint?, expires_at bigint, reason text",
)

REPLAY_MARKS = _table(
    "replay_marks",
    "key blob!, mint_id text, expires_at bigint",
    Index("ix_replay_marks_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# What handles stand for, sealed; ``key`` is a handle's SHA-256.
HANDLES = _table(
    "handles",
    "space!, key blob!, value blob, expires_at bigint",
    Index("ix_handles_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# The event id is indexed but not unique: a clash must never cost a mint its record.
AUDIT = _table(
    "audit",
    """
    seq sequence!, event_id, at bigint, account, caller_arn text, access_key_id,
    minted_key_id, action text, decision text, provider_arn text, body text
    """,
    Index("ix_audit_event_id", "event_id"),
    Column("kind", _KEY, nullable=False, server_default="change"),
    Index("audit_at", "at", "seq"),
    Index("audit_kind", "account", "kind", "at", "seq"),
    # What was allowed, as most calls are, costs no entry.
    _partial(
        "audit_failures", "decision <> 'allowed'", *("account", "decision", "at", "seq")
    ),
    # Most records have only one of the two: an empty one costs no index entry.
    _partial(
        "audit_access_key_id", "access_key_id != ''", "access_key_id", "at", "seq"
    ),
    _partial("audit_minted_key_id", "minted_key_id != ''", "minted_key_id"),
)

# How many sign-ins and failures each hour had, so that no one has to count records.
# The row of the empty account says up to which ``seq`` records are counted.
AUDIT_COUNTS = _table(
    "audit_counts",
    "account!, hour bigint!, measure!, name!, count bigint",
    sqlite_with_rowid=False,
)

# What was used last: an access key, a password, a principal's service or action. It is
# no part of what decides, so it raises no generation.
USES = _table("uses", "account!, subject!, service!, action!, at bigint, region text")

# Reports that one call makes and others read.
REPORTS = _table("reports", "account!, report_id!, made_at bigint, body document")

# Seeds are sealed. ``user_id`` is null for an unassigned device and the account's
# number for its root; the verification state is compared and set as one.
MFA_DEVICES = _table(
    "mfa_devices",
    """
    account!, serial_key!, serial text, is_virtual integer, sealed_seed blob,
    created_at bigint, period_seconds integer, user_id?, enabled_at bigint?, tags {},
    last_step bigint, drift integer, failures integer, locked_until bigint
    """,
    Index("mfa_devices_user", "account", "user_id"),
)

# Passkeys hold no secret. Their count changes with each use and decides nothing else,
# so it raises no generation.
PASSKEYS = _table(
    "passkeys",
    """
    account!, serial_key!, serial text, user_id, credential_id blob, public_key blob,
    enabled_at bigint, sign_count bigint, transports text, aaguid text, synced integer,
    last_used_at bigint?
    """,
    UniqueConstraint("account", "credential_id", name="passkeys_credential"),
    Index("passkeys_user", "account", "user_id"),
)

USER_CREDENTIALS = _table(
    "user_credentials",
    """
    credential_id!, account, kind, user_id, status text, created_at bigint,
    fingerprint text, body text, sealed blob, expires_at bigint?, details {}
    """,
    Index("user_credentials_user", "account", "kind", "user_id"),
    _partial("user_credentials_end", "expires_at IS NOT NULL", "account", "expires_at"),
)

SERVER_CERTIFICATES = _table(
    "server_certificates",
    """
    certificate_id!, account, name text, name_key, path, body document, chain document?,
    sealed_key blob, uploaded_at bigint, expires_at bigint, tags {}
    """,
    UniqueConstraint("account", "name_key", name="server_certificates_name"),
)

INSTANCE_PROFILES = _table(
    "instance_profiles",
    """
    profile_id!, account, name text, name_key, path, created_at bigint, role_id?,
    tags {}
    """,
    UniqueConstraint("account", "name_key", name="instance_profiles_name"),
    Index("instance_profiles_role", "account", "role_id"),
)

# Machines that registered, and what admits one.
INSTANCES = _table(
    "instances",
    """
    account!, instance_id!, region text, public_key blob, registered_at bigint,
    registered_by, profile_id?, provider_id, subject, lineage []
    """,
    UniqueConstraint("account", "public_key", name="instances_key"),
    Index("instances_profile", "account", "profile_id"),
)

# What each comes from, of which account that is, and when it was issued: by it those
# are found that a revocation ends.
INSTANCE_ORIGINS = _table(
    "instance_origins",
    """
    account!, instance_id!, of_account!, label!, since_ms bigint, until_ms bigint
    """,
    Index("instance_origins_label", "of_account", "label"),
)

JOIN_TOKENS = _table(
    "join_tokens",
    """
    account!, token_id!, profile_id, digest blob, created_at bigint, expires_at bigint,
    created_by text, addresses [], instance_id, lineage []
    """,
    UniqueConstraint("account", "digest", name="join_tokens_digest"),
)

DELETION_TASKS = _table(
    "deletion_tasks", "account!, task_id!, status text, made_at bigint, reason text"
)

# Services of the operator's own that ask for decisions, and with what they ask.
SERVICES = _table(
    "services",
    "service_id!, account, name, definition document, created_at bigint, updated_at bigint",
    UniqueConstraint("account", "name", name="services_name"),
)

SERVICE_TOKENS = _table(
    "service_tokens",
    """
    account!, token_id!, service_id, digest blob, created_at bigint, expires_at bigint,
    addresses []
    """,
)

RESOURCE_POLICIES = _table(
    "resource_policies",
    "account!, arn!, document document, created_at bigint, updated_at bigint",
)

# IAM Roles Anywhere: whose certificates open which roles.
TRUST_ANCHORS = _table(
    "trust_anchors",
    """
    anchor_id!, account, region text, name text, certificates document, enabled bigint,
    created_at bigint, updated_at bigint, tags {}
    """,
    Index("ix_trust_anchors_account", "account"),
)

CERTIFICATE_PROFILES = _table(
    "certificate_profiles",
    """
    profile_id!, account, region text, name text, role_arns [], managed_policy_arns [],
    session_policy document?, duration_seconds bigint, accepts_session_name bigint,
    attribute_mappings {}, enabled bigint, created_by text, created_at bigint,
    updated_at bigint, tags {}
    """,
    Index("ix_certificate_profiles_account", "account"),
)

CERTIFICATE_LISTS = _table(
    "certificate_lists",
    """
    list_id!, account, anchor_id, region text, name text, data document blob, enabled bigint,
    created_at bigint, updated_at bigint, tags {}
    """,
    Index("ix_certificate_lists_account", "account"),
)

PROVISIONED_USERS = _table(
    "provisioned_users",
    """
    account, provider_id, user_id!, user_name text, name_key, external_id, email,
    active integer, document text, version bigint, created_at bigint, updated_at bigint,
    not_before bigint?, departed_at bigint?
    """,
    _partial(
        "provisioned_users_name",
        "departed_at IS NULL",
        *("account", "provider_id", "name_key"),
        unique=True,
    ),
    Index("provisioned_users_by_name", "account", "provider_id", "name_key"),
    Index("provisioned_users_external", "account", "provider_id", "external_id"),
    Index("provisioned_users_email", "account", "provider_id", "email"),
    Index("provisioned_users_departed", "account", "provider_id", "departed_at"),
)

PROVISIONED_GROUPS = _table(
    "provisioned_groups",
    """
    account, provider_id, group_id!, name text, name_key, external_id, version bigint,
    created_at bigint, updated_at bigint
    """,
    UniqueConstraint(
        "account", "provider_id", "name_key", name="provisioned_groups_name"
    ),
)

PROVISIONED_MEMBERS = _table(
    "provisioned_members",
    "account, group_id!, user_id!",
    Index("provisioned_members_user", "user_id"),
)

SCIM_TOKENS = _table(
    "scim_tokens",
    """
    account!, token_id!, provider_id, provider_arn text, digest blob, created_at bigint,
    expires_at bigint, addresses []
    """,
)

# Upstreams: other STS endpoints that mint for roles.
UPSTREAMS = _table(
    "upstreams",
    """
    account!, name!, definition document, access_key_id text, sealed_secret blob?,
    created_at bigint, updated_at bigint
    """,
)

# The embedded cache. These tables stay empty when Redis is configured.
CACHE_ENTRIES = _table(
    "cache_entries",
    "space text!, key blob!, value blob, expires_at_ms bigint",
    Index("ix_cache_entries_expires_at_ms", "expires_at_ms"),
)

CACHE_SESSIONS = _table(
    "cache_sessions",
    "access_key_id!, account, expires_at bigint, body text",
    Index("ix_cache_sessions_expires_at", "expires_at"),
    # With SQLite's row number behind it: new sessions of an account stand together.
    Index("cache_sessions_account", "account"),
)
