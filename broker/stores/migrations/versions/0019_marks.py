"""Each change has a random mark, by which a database that went back is recognised."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the marks; 0 stands for a change from before."""
    for table in ("generations", "changes"):
        mark = sa.Column("mark", sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(table, mark)
