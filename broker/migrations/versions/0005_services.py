"""Registered services, their tokens, and the policies of their resources."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "services",
        sa.Column("service_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("service_id"),
        sa.UniqueConstraint("account", "name", name="services_name"),
    )
    op.create_table(
        "service_tokens",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("service_id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("addresses", sa.Text(), nullable=False, server_default="[]"),
        sa.PrimaryKeyConstraint("account", "token_id"),
    )
    op.create_table(
        "resource_policies",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("arn", _KEY, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "arn"),
    )
