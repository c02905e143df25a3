"""Sign-ins to the portal and logins of terminals survive the cache."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table of handles."""
    op.create_table(
        "handles",
        sa.Column("space", _KEY, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("space", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_handles_expires_at", "handles", ["expires_at"])
