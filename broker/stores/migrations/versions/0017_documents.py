"""Documents come last in their rows."""

from alembic import op

revision = "0017"
down_revision = "0016"

_ORDERS = {
    "saml_providers": (
        ("uuid", "account", "name", "created_at", "valid_until", "encryption_mode"),
        ("private_keys", "tags", "options"),
        ("metadata",),
    ),
    "services": (
        ("service_id", "account", "name", "created_at", "updated_at"),
        ("definition",),
    ),
    "upstreams": (
        ("account", "name", "access_key_id", "sealed_secret", "created_at"),
        ("updated_at", "definition"),
    ),
    "resource_policies": (("account", "arn", "created_at", "updated_at", "document"),),
    "trust_anchors": (
        ("anchor_id", "account", "region", "name", "enabled", "created_at"),
        ("updated_at", "tags", "certificates"),
    ),
    "certificate_profiles": (
        ("profile_id", "account", "region", "name", "role_arns"),
        ("managed_policy_arns", "duration_seconds", "accepts_session_name"),
        ("attribute_mappings", "enabled", "created_by", "created_at", "updated_at"),
        ("tags", "session_policy"),
    ),
    "certificate_lists": (
        ("list_id", "account", "anchor_id", "region", "name", "enabled", "created_at"),
        ("updated_at", "tags", "data"),
    ),
    "server_certificates": (
        ("certificate_id", "account", "name", "name_key", "path", "sealed_key"),
        ("uploaded_at", "expires_at", "tags", "body", "chain"),
    ),
    "policy_versions": (
        ("policy_id", "version_id", "account", "number", "created_at", "document"),
    ),
}


def upgrade() -> None:
    """Move them on SQLite, which reads a row from its beginning; not on PostgreSQL."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table, parts in _ORDERS.items():
        order = tuple(name for part in parts for name in part)
        with op.batch_alter_table(table, recreate="always", partial_reordering=[order]):
            pass
