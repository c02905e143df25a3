"""Which rows the changes of each account wrote lately."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table; a change that is not in it may have written anything."""
    op.create_table(
        "changes",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account", "generation"),
        sqlite_with_rowid=False,
    )
