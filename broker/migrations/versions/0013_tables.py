"""The tables that upgrades start from."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    _create_accounts()
    _create_identities()
    _create_credentials()
    _create_machines()
    _create_policies()
    _create_services()
    _create_providers()
    _create_provisioning()
    _create_ledger()
    _create_cache()


def _create_accounts() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        *_texts("keyring_fingerprint", nullable=True),
        *_numbers("created_at"),
        _json("marks", "{}"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "generations",
        *_keys("account"),
        *_numbers("generation"),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "accounts",
        *_keys("account"),
        *_keys("alias", nullable=True),
        *_blobs("session_salt"),
        *_numbers("created_at"),
        _json("quotas", "{}"),
        _json("options", "{}"),
        *_texts("password_policy", nullable=True),
        sa.PrimaryKeyConstraint("account"),
        sa.UniqueConstraint("alias"),
    )
    op.create_table(
        "revocations",
        *_keys("account", "target"),
        *_numbers("not_before_ms", nullable=True),
        *_numbers("expires_at"),
        *_texts("reason"),
        sa.PrimaryKeyConstraint("account", "target"),
    )


def _create_identities() -> None:
    op.create_table(
        "users",
        *_keys("user_id", "account"),
        *_texts("name"),
        *_keys("name_key", "path"),
        *_numbers("created_at"),
        _json("tags", "{}"),
        *_keys("boundary_arn", nullable=True),
        sa.PrimaryKeyConstraint("user_id"),
        sa.UniqueConstraint("account", "name_key", name="users_name"),
    )
    op.create_index("users_boundary", "users", ["account", "boundary_arn"])
    op.create_table(
        "access_keys",
        *_keys("access_key_id", "account"),
        *_keys("user_id", nullable=True),
        *_texts("status"),
        *_blobs("sealed_secret"),
        *_numbers("created_at"),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
    _create_partial_index(
        "access_keys_age", "access_keys", ["account", "created_at"], "status = 'Active'"
    )
    op.create_index("access_keys_owner", "access_keys", ["account", "user_id"])
    op.create_table(
        "used_access_key_ids",
        *_keys("access_key_id"),
        sa.PrimaryKeyConstraint("access_key_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "roles",
        *_keys("role_id", "account"),
        *_texts("name"),
        *_keys("name_key", "path"),
        *_texts("trust_policy"),
        *_numbers("created_at"),
        *_texts("description", nullable=True),
        *_integers("max_session_duration_seconds"),
        _json("tags", "{}"),
        *_keys("boundary_arn", nullable=True),
        sa.PrimaryKeyConstraint("role_id"),
        sa.UniqueConstraint("account", "name_key", name="roles_name"),
    )
    op.create_index("roles_boundary", "roles", ["account", "boundary_arn"])
    op.create_table(
        "groups",
        *_keys("group_id", "account"),
        *_texts("name"),
        *_keys("name_key", "path"),
        *_numbers("created_at"),
        sa.PrimaryKeyConstraint("group_id"),
        sa.UniqueConstraint("account", "name_key", name="groups_name"),
    )
    op.create_table(
        "group_members",
        *_keys("group_id", "user_id", "account"),
        sa.PrimaryKeyConstraint("group_id", "user_id"),
    )
    op.create_index("group_members_user", "group_members", ["account", "user_id"])


def _create_credentials() -> None:
    op.create_table(
        "login_profiles",
        *_keys("user_id", "account"),
        *_blobs("sealed"),
        *_numbers("created_at", "changed_at"),
        *_integers("reset_required"),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_index("ix_login_profiles_account", "login_profiles", ["account"])
    op.create_table(
        "mfa_devices",
        *_keys("account", "serial_key"),
        *_texts("serial"),
        *_integers("is_virtual"),
        *_blobs("sealed_seed"),
        *_numbers("created_at"),
        *_integers("period_seconds"),
        *_keys("user_id", nullable=True),
        *_numbers("enabled_at", nullable=True),
        _json("tags", "{}"),
        *_numbers("last_step"),
        *_integers("drift", "failures"),
        *_numbers("locked_until"),
        sa.PrimaryKeyConstraint("account", "serial_key"),
    )
    op.create_index("mfa_devices_user", "mfa_devices", ["account", "user_id"])
    op.create_table(
        "passkeys",
        *_keys("account", "serial_key"),
        *_texts("serial"),
        *_keys("user_id"),
        *_blobs("credential_id", "public_key"),
        *_numbers("enabled_at", "sign_count"),
        *_texts("transports", "aaguid"),
        *_integers("synced"),
        *_numbers("last_used_at", nullable=True),
        sa.PrimaryKeyConstraint("account", "serial_key"),
        sa.UniqueConstraint("account", "credential_id", name="passkeys_credential"),
    )
    op.create_index("passkeys_user", "passkeys", ["account", "user_id"])
    op.create_table(
        "user_credentials",
        *_keys("credential_id", "account", "kind", "user_id"),
        *_texts("status"),
        *_numbers("created_at"),
        *_texts("fingerprint", "body"),
        *_blobs("sealed"),
        *_numbers("expires_at", nullable=True),
        _json("details", "{}"),
        sa.PrimaryKeyConstraint("credential_id"),
    )
    _create_partial_index(
        "user_credentials_end",
        "user_credentials",
        ["account", "expires_at"],
        "expires_at IS NOT NULL",
    )
    op.create_index(
        "user_credentials_user", "user_credentials", ["account", "kind", "user_id"]
    )
    op.create_table(
        "server_certificates",
        *_keys("certificate_id", "account"),
        *_texts("name"),
        *_keys("name_key", "path"),
        *_texts("body"),
        *_texts("chain", nullable=True),
        *_blobs("sealed_key"),
        *_numbers("uploaded_at", "expires_at"),
        _json("tags", "{}"),
        sa.PrimaryKeyConstraint("certificate_id"),
        sa.UniqueConstraint("account", "name_key", name="server_certificates_name"),
    )


def _create_machines() -> None:
    op.create_table(
        "instance_profiles",
        *_keys("profile_id", "account"),
        *_texts("name"),
        *_keys("name_key", "path"),
        *_numbers("created_at"),
        *_keys("role_id", nullable=True),
        _json("tags", "{}"),
        sa.PrimaryKeyConstraint("profile_id"),
        sa.UniqueConstraint("account", "name_key", name="instance_profiles_name"),
    )
    op.create_index(
        "instance_profiles_role", "instance_profiles", ["account", "role_id"]
    )
    op.create_table(
        "deletion_tasks",
        *_keys("account", "task_id"),
        *_texts("status"),
        *_numbers("made_at"),
        *_texts("reason"),
        sa.PrimaryKeyConstraint("account", "task_id"),
    )
    op.create_table(
        "instances",
        *_keys("account", "instance_id"),
        *_texts("region"),
        *_blobs("public_key"),
        *_numbers("registered_at"),
        *_keys("registered_by"),
        *_keys("profile_id", nullable=True),
        *_keys("provider_id", "subject"),
        sa.PrimaryKeyConstraint("account", "instance_id"),
        sa.UniqueConstraint("account", "public_key", name="instances_key"),
    )
    op.create_index("instances_profile", "instances", ["account", "profile_id"])
    op.create_table(
        "join_tokens",
        *_keys("account", "token_id", "profile_id"),
        *_blobs("digest"),
        *_numbers("created_at", "expires_at"),
        *_texts("created_by"),
        _json("addresses", "[]"),
        *_keys("instance_id"),
        _json("lineage", "[]"),
        sa.PrimaryKeyConstraint("account", "token_id"),
        sa.UniqueConstraint("account", "digest", name="join_tokens_digest"),
    )
    op.create_table(
        "trust_anchors",
        *_keys("anchor_id", "account"),
        *_texts("region", "name", "certificates"),
        *_numbers("enabled", "created_at", "updated_at"),
        _json("tags", "{}"),
        sa.PrimaryKeyConstraint("anchor_id"),
    )
    op.create_index("ix_trust_anchors_account", "trust_anchors", ["account"])
    op.create_table(
        "certificate_profiles",
        *_keys("profile_id", "account"),
        *_texts("region", "name"),
        _json("role_arns", "[]"),
        _json("managed_policy_arns", "[]"),
        *_texts("session_policy", nullable=True),
        *_numbers("duration_seconds", "accepts_session_name"),
        _json("attribute_mappings", "{}"),
        *_numbers("enabled"),
        *_texts("created_by"),
        *_numbers("created_at", "updated_at"),
        _json("tags", "{}"),
        sa.PrimaryKeyConstraint("profile_id"),
    )
    op.create_index(
        "ix_certificate_profiles_account", "certificate_profiles", ["account"]
    )
    op.create_table(
        "certificate_lists",
        *_keys("list_id", "account", "anchor_id"),
        *_texts("region", "name"),
        *_blobs("data"),
        *_numbers("enabled", "created_at", "updated_at"),
        _json("tags", "{}"),
        sa.PrimaryKeyConstraint("list_id"),
    )
    op.create_index("ix_certificate_lists_account", "certificate_lists", ["account"])


def _create_policies() -> None:
    op.create_table(
        "inline_policies",
        *_keys("owner_id", "name", "account"),
        *_texts("document"),
        sa.PrimaryKeyConstraint("owner_id", "name"),
    )
    op.create_index("ix_inline_policies_account", "inline_policies", ["account"])
    op.create_table(
        "managed_policies",
        *_keys("policy_id", "account"),
        *_texts("name"),
        *_keys("name_key", "path"),
        *_texts("description", nullable=True),
        *_texts("default_version_id"),
        *_integers("next_version"),
        *_numbers("created_at", "updated_at"),
        _json("tags", "{}"),
        sa.PrimaryKeyConstraint("policy_id"),
        sa.UniqueConstraint("account", "name_key", name="managed_policies_name"),
    )
    op.create_table(
        "policy_versions",
        *_keys("policy_id"),
        *_texts("version_id"),
        *_keys("account"),
        *_integers("number"),
        *_texts("document"),
        *_numbers("created_at"),
        sa.PrimaryKeyConstraint("policy_id", "version_id"),
    )
    op.create_index("ix_policy_versions_account", "policy_versions", ["account"])
    op.create_table(
        "attachments",
        *_keys("owner_id", "policy_arn", "account", "name_key"),
        sa.PrimaryKeyConstraint("owner_id", "policy_arn"),
    )
    op.create_index("attachments_policy", "attachments", ["account", "policy_arn"])


def _create_services() -> None:
    op.create_table(
        "services",
        *_keys("service_id", "account", "name"),
        *_texts("definition"),
        *_numbers("created_at", "updated_at"),
        sa.PrimaryKeyConstraint("service_id"),
        sa.UniqueConstraint("account", "name", name="services_name"),
    )
    op.create_table(
        "service_tokens",
        *_keys("account", "token_id", "service_id"),
        *_blobs("digest"),
        *_numbers("created_at", "expires_at"),
        _json("addresses", "[]"),
        sa.PrimaryKeyConstraint("account", "token_id"),
    )
    op.create_table(
        "resource_policies",
        *_keys("account", "arn"),
        *_texts("document"),
        *_numbers("created_at", "updated_at"),
        sa.PrimaryKeyConstraint("account", "arn"),
    )
    op.create_table(
        "upstreams",
        *_keys("account", "name"),
        *_texts("definition", "access_key_id"),
        *_blobs("sealed_secret", nullable=True),
        *_numbers("created_at", "updated_at"),
        sa.PrimaryKeyConstraint("account", "name"),
    )


def _create_providers() -> None:
    op.create_table(
        "saml_providers",
        *_keys("uuid", "account", "name"),
        *_texts("metadata"),
        *_numbers("created_at", "valid_until"),
        *_texts("encryption_mode"),
        _json("private_keys", "[]"),
        _json("tags", "{}"),
        _json("options", "{}"),
        sa.PrimaryKeyConstraint("uuid"),
        sa.UniqueConstraint("account", "name", name="saml_providers_name"),
    )
    op.create_table(
        "oidc_providers",
        *_keys("unique_id", "account", "host_and_path"),
        *_texts("url"),
        _json("client_ids", "[]"),
        _json("thumbprints", "[]"),
        *_numbers("created_at"),
        _json("tags", "{}"),
        _json("options", "{}"),
        sa.PrimaryKeyConstraint("unique_id"),
        sa.UniqueConstraint("account", "host_and_path", name="oidc_providers_url"),
    )
    op.create_table(
        "ldap_providers",
        *_keys("unique_id", "account", "name"),
        *_texts("directory"),
        *_numbers("created_at"),
        _json("options", "{}"),
        sa.PrimaryKeyConstraint("unique_id"),
        sa.UniqueConstraint("account", "name", name="ldap_providers_name"),
    )
    op.create_table(
        "ldap_sign_ins",
        *_keys("provider_id", "subject", "account", "provider"),
        *_numbers("until", "asked_at"),
        sa.PrimaryKeyConstraint("provider_id", "subject"),
    )
    op.create_index("ix_ldap_sign_ins_asked_at", "ldap_sign_ins", ["asked_at"])


def _create_provisioning() -> None:
    op.create_table(
        "provisioned_users",
        *_keys("account", "provider_id", "user_id"),
        *_texts("user_name"),
        *_keys("name_key", "external_id", "email"),
        *_integers("active"),
        *_texts("document"),
        *_numbers("version", "created_at", "updated_at"),
        *_numbers("not_before", "departed_at", nullable=True),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_index(
        "provisioned_users_by_name",
        "provisioned_users",
        ["account", "provider_id", "name_key"],
    )
    op.create_index(
        "provisioned_users_departed",
        "provisioned_users",
        ["account", "provider_id", "departed_at"],
    )
    op.create_index(
        "provisioned_users_email",
        "provisioned_users",
        ["account", "provider_id", "email"],
    )
    op.create_index(
        "provisioned_users_external",
        "provisioned_users",
        ["account", "provider_id", "external_id"],
    )
    _create_partial_index(
        "provisioned_users_name",
        "provisioned_users",
        ["account", "provider_id", "name_key"],
        "departed_at IS NULL",
        unique=True,
    )
    op.create_table(
        "provisioned_groups",
        *_keys("account", "provider_id", "group_id"),
        *_texts("name"),
        *_keys("name_key", "external_id"),
        *_numbers("version", "created_at", "updated_at"),
        sa.PrimaryKeyConstraint("group_id"),
        sa.UniqueConstraint(
            "account", "provider_id", "name_key", name="provisioned_groups_name"
        ),
    )
    op.create_table(
        "provisioned_members",
        *_keys("account", "group_id", "user_id"),
        sa.PrimaryKeyConstraint("group_id", "user_id"),
    )
    op.create_index("provisioned_members_user", "provisioned_members", ["user_id"])
    op.create_table(
        "scim_tokens",
        *_keys("account", "token_id", "provider_id"),
        *_texts("provider_arn"),
        *_blobs("digest"),
        *_numbers("created_at", "expires_at"),
        _json("addresses", "[]"),
        sa.PrimaryKeyConstraint("account", "token_id"),
    )


def _create_ledger() -> None:
    op.create_table(
        "replay_marks",
        *_blobs("key"),
        *_texts("mint_id"),
        *_numbers("expires_at"),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_replay_marks_expires_at", "replay_marks", ["expires_at"])
    op.create_table(
        "audit",
        sa.Column("seq", _SEQUENCE, autoincrement=True, nullable=False),
        *_keys("event_id"),
        *_numbers("at"),
        *_keys("account"),
        *_texts("caller_arn"),
        *_keys("access_key_id", "minted_key_id"),
        *_texts("action", "decision", "provider_arn", "body"),
        sa.Column("kind", _KEY, server_default="change", nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    _create_partial_index(
        "audit_access_key_id",
        "audit",
        ["access_key_id", "at", "seq"],
        "access_key_id != ''",
    )
    op.create_index("audit_at", "audit", ["at", "seq"])
    _create_partial_index(
        "audit_failures",
        "audit",
        ["account", "decision", "at", "seq"],
        "decision <> 'allowed'",
    )
    op.create_index("audit_kind", "audit", ["account", "kind", "at", "seq"])
    _create_partial_index(
        "audit_minted_key_id", "audit", ["minted_key_id"], "minted_key_id != ''"
    )
    op.create_index("ix_audit_event_id", "audit", ["event_id"])
    op.create_table(
        "audit_counts",
        *_keys("account"),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        *_keys("measure", "name"),
        *_numbers("count"),
        sa.PrimaryKeyConstraint("account", "hour", "measure", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "uses",
        *_keys("account", "subject", "service", "action"),
        *_numbers("at"),
        *_texts("region"),
        sa.PrimaryKeyConstraint("account", "subject", "service", "action"),
    )
    op.create_table(
        "reports",
        *_keys("account", "report_id"),
        *_numbers("made_at"),
        *_texts("body"),
        sa.PrimaryKeyConstraint("account", "report_id"),
    )


def _create_cache() -> None:
    op.create_table(
        "cache_entries",
        *_texts("space"),
        *_blobs("key", "value"),
        *_numbers("expires_at_ms"),
        sa.PrimaryKeyConstraint("space", "key"),
    )
    op.create_index(
        "ix_cache_entries_expires_at_ms", "cache_entries", ["expires_at_ms"]
    )
    op.create_table(
        "cache_sessions",
        *_keys("access_key_id", "account"),
        *_numbers("expires_at"),
        *_texts("body"),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
    op.create_index("cache_sessions_account", "cache_sessions", ["account"])
    op.create_index("ix_cache_sessions_expires_at", "cache_sessions", ["expires_at"])


def _create_partial_index(
    name: str, table: str, columns: list[str], of: str, *, unique: bool = False
) -> None:
    where = sa.text(of)
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where
    )


def _keys(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, _KEY, nullable=nullable) for name in names]


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _json(name: str, default: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _integers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _numbers(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def _blobs(*names: str, nullable: bool = False) -> list[sa.Column[bytes]]:
    return [sa.Column(name, sa.LargeBinary(), nullable=nullable) for name in names]
