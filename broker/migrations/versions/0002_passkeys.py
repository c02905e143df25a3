"""Passkeys."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create their table."""
    op.create_table(
        "passkeys",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("serial_key", _KEY, nullable=False),
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enabled_at", sa.BigInteger(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", sa.Text(), nullable=False),
        sa.Column("aaguid", sa.Text(), nullable=False),
        sa.Column("synced", sa.Integer(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("account", "serial_key"),
        sa.UniqueConstraint("account", "credential_id", name="passkeys_credential"),
    )
    op.create_index("passkeys_user", "passkeys", ["account", "user_id"])
