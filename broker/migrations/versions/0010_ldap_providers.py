"""Directories as identity providers, and the people they authenticated."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "ldap_providers",
        sa.Column("unique_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False, server_default="{}"),
        sa.PrimaryKeyConstraint("unique_id"),
        sa.UniqueConstraint("account", "name", name="ldap_providers_name"),
    )
    op.create_table(
        "ldap_sign_ins",
        sa.Column("provider_id", _KEY, nullable=False),
        sa.Column("subject", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider_id", "subject"),
    )
    op.create_index("ix_ldap_sign_ins_asked_at", "ldap_sign_ins", ["asked_at"])
