"""Registered machines, and the join tokens that admit one each."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "instances",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("instance_id", _KEY, nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("registered_by", _KEY, nullable=False),
        sa.Column("profile_id", _KEY, nullable=True),
        sa.Column("provider_id", _KEY, nullable=False),
        sa.Column("subject", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("account", "instance_id"),
        sa.UniqueConstraint("account", "public_key", name="instances_key"),
    )
    op.create_index("instances_profile", "instances", ["account", "profile_id"])
    op.create_table(
        "join_tokens",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("profile_id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("instance_id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("account", "token_id"),
        sa.UniqueConstraint("account", "digest", name="join_tokens_digest"),
    )
