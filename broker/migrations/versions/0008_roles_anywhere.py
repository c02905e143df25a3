"""IAM Roles Anywhere: trust anchors, profiles and revocation lists."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "trust_anchors",
        sa.Column("anchor_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False, index=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("certificates", sa.Text(), nullable=False),
        sa.Column("enabled", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("anchor_id"),
    )
    op.create_table(
        "certificate_profiles",
        sa.Column("profile_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False, index=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role_arns", sa.Text(), nullable=False, server_default="[]"),
        sa.Column(
            "managed_policy_arns", sa.Text(), nullable=False, server_default="[]"
        ),
        sa.Column("session_policy", sa.Text(), nullable=True),
        sa.Column("duration_seconds", sa.BigInteger(), nullable=False),
        sa.Column("accepts_session_name", sa.BigInteger(), nullable=False),
        sa.Column("attribute_mappings", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("enabled", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("profile_id"),
    )
    op.create_table(
        "certificate_lists",
        sa.Column("list_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False, index=True),
        sa.Column("anchor_id", _KEY, nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("enabled", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("list_id"),
    )
