"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    _create_accounts()
    _create_identities()
    _create_groups()
    _create_uses()
    _create_credentials()
    _create_machines()
    _create_policies()
    _create_providers()
    _create_ledger()
    _create_cache()


def _create_accounts() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("keyring_fingerprint", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("marks", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "generations",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "accounts",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("alias", _KEY, nullable=True),
        sa.Column("session_salt", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("quotas", sa.Text(), server_default="{}", nullable=False),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False),
        sa.Column("password_policy", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account"),
        sa.UniqueConstraint("alias"),
    )
    op.create_table(
        "revocations",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("target", _KEY, nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "target"),
    )


def _create_identities() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("path", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.Column("boundary_arn", _KEY, nullable=True),
        sa.PrimaryKeyConstraint("user_id"),
        sa.UniqueConstraint("account", "name_key", name="users_name"),
    )
    op.create_index("users_boundary", "users", ["account", "boundary_arn"])
    op.create_table(
        "access_keys",
        sa.Column("access_key_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
    op.create_index("access_keys_owner", "access_keys", ["account", "user_id"])
    op.create_table(
        "used_access_key_ids",
        sa.Column("access_key_id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("access_key_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "roles",
        sa.Column("role_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("path", _KEY, nullable=False),
        sa.Column("trust_policy", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("max_session_duration_seconds", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.Column("boundary_arn", _KEY, nullable=True),
        sa.PrimaryKeyConstraint("role_id"),
        sa.UniqueConstraint("account", "name_key", name="roles_name"),
    )
    op.create_index("roles_boundary", "roles", ["account", "boundary_arn"])


def _create_groups() -> None:
    op.create_table(
        "groups",
        sa.Column("group_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("path", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id"),
        sa.UniqueConstraint("account", "name_key", name="groups_name"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("group_id", "user_id"),
    )
    op.create_index("group_members_user", "group_members", ["account", "user_id"])
    op.create_table(
        "login_profiles",
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("reset_required", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_index("ix_login_profiles_account", "login_profiles", ["account"])


def _create_uses() -> None:
    op.create_table(
        "uses",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("subject", _KEY, nullable=False),
        sa.Column("service", _KEY, nullable=False),
        sa.Column("action", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "subject", "service", "action"),
    )
    op.create_table(
        "reports",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("report_id", _KEY, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "report_id"),
    )


def _create_credentials() -> None:
    op.create_table(
        "mfa_devices",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("serial_key", _KEY, nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("is_virtual", sa.Integer(), nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("period_seconds", sa.Integer(), nullable=False),
        sa.Column("user_id", _KEY, nullable=True),
        sa.Column("enabled_at", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("drift", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "serial_key"),
    )
    op.create_index("mfa_devices_user", "mfa_devices", ["account", "user_id"])
    op.create_table(
        "user_credentials",
        sa.Column("credential_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("kind", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("credential_id"),
    )
    op.create_index(
        "user_credentials_user", "user_credentials", ["account", "kind", "user_id"]
    )
    op.create_table(
        "server_certificates",
        sa.Column("certificate_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("path", _KEY, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=True),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("uploaded_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("certificate_id"),
        sa.UniqueConstraint("account", "name_key", name="server_certificates_name"),
    )


def _create_machines() -> None:
    op.create_table(
        "instance_profiles",
        sa.Column("profile_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("path", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("role_id", _KEY, nullable=True),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("profile_id"),
        sa.UniqueConstraint("account", "name_key", name="instance_profiles_name"),
    )
    op.create_index(
        "instance_profiles_role", "instance_profiles", ["account", "role_id"]
    )
    op.create_table(
        "deletion_tasks",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("task_id", _KEY, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "task_id"),
    )


def _create_policies() -> None:
    op.create_table(
        "inline_policies",
        sa.Column("owner_id", _KEY, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "name"),
    )
    op.create_index("ix_inline_policies_account", "inline_policies", ["account"])
    op.create_table(
        "managed_policies",
        sa.Column("policy_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("path", _KEY, nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("default_version_id", sa.Text(), nullable=False),
        sa.Column("next_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("policy_id"),
        sa.UniqueConstraint("account", "name_key", name="managed_policies_name"),
    )
    op.create_table(
        "policy_versions",
        sa.Column("policy_id", _KEY, nullable=False),
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id", "version_id"),
    )
    op.create_index("ix_policy_versions_account", "policy_versions", ["account"])
    op.create_table(
        "attachments",
        sa.Column("owner_id", _KEY, nullable=False),
        sa.Column("policy_arn", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "policy_arn"),
    )
    op.create_index("attachments_policy", "attachments", ["account", "policy_arn"])


def _create_providers() -> None:
    op.create_table(
        "saml_providers",
        sa.Column("uuid", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("encryption_mode", sa.Text(), nullable=False),
        sa.Column("private_keys", sa.Text(), server_default="[]", nullable=False),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("uuid"),
        sa.UniqueConstraint("account", "name", name="saml_providers_name"),
    )
    op.create_table(
        "oidc_providers",
        sa.Column("unique_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("host_and_path", _KEY, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("client_ids", sa.Text(), server_default="[]", nullable=False),
        sa.Column("thumbprints", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), server_default="{}", nullable=False),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("unique_id"),
        sa.UniqueConstraint("account", "host_and_path", name="oidc_providers_url"),
    )


def _create_ledger() -> None:
    op.create_table(
        "replay_marks",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("mint_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_replay_marks_expires_at", "replay_marks", ["expires_at"])
    op.create_table(
        "audit",
        sa.Column("seq", _SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("event_id", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("caller_arn", sa.Text(), nullable=False),
        sa.Column("access_key_id", _KEY, nullable=False),
        sa.Column("minted_key_id", _KEY, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("provider_arn", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(
        "audit_access_key_id",
        "audit",
        ["access_key_id"],
        sqlite_where=sa.text("access_key_id != ''"),
        postgresql_where=sa.text("access_key_id != ''"),
    )
    op.create_index("audit_account", "audit", ["account", "at", "seq"])
    op.create_index("audit_at", "audit", ["at", "seq"])
    op.create_index(
        "audit_minted_key_id",
        "audit",
        ["minted_key_id"],
        sqlite_where=sa.text("minted_key_id != ''"),
        postgresql_where=sa.text("minted_key_id != ''"),
    )
    op.create_index("ix_audit_event_id", "audit", ["event_id"])


def _create_cache() -> None:
    op.create_table(
        "cache_entries",
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("space", "key"),
    )
    op.create_index(
        "ix_cache_entries_expires_at_ms", "cache_entries", ["expires_at_ms"]
    )
    op.create_table(
        "cache_sessions",
        sa.Column("access_key_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
    op.create_index(
        "cache_sessions_account", "cache_sessions", ["account", "access_key_id"]
    )
    op.create_index("ix_cache_sessions_expires_at", "cache_sessions", ["expires_at"])
